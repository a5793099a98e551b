"""MSI-X (PCIe Base Spec 7.7.2). The table and the pending bits stand in a BAR, out of a poller's reach."""

from __future__ import annotations

from pcifma.regs.table import Access, Capability, Field, Register

MSIX = Capability(
    id=0x11,
    kind="standard",
    name="CAP_MSIX",
    key="msix",
    title="MSI-X",
    section="PCIe 7.7.2",
    registers=(
        Register(
            0x02,
            2,
            "message_control",
            "Message Control",
            (
                Field(10, 0, "table_size", "Table Size", access=Access.RO),
                Field(14, 14, "function_mask", "Function Mask"),
                Field(15, 15, "msi_x_enable", "MSI-X Enable"),
            ),
            access=Access.RW,
            section="7.7.2.2",
        ),
        Register(
            0x04,
            4,
            "table_offset_table_bir",
            "Table Offset/Table BIR",
            (Field(2, 0, "table_bir", "Table BIR"), Field(31, 3, "table_offset", "Table Offset")),
            section="7.7.2.3",
        ),
        Register(
            0x08,
            4,
            "pba_offset_pba_bir",
            "PBA Offset/PBA BIR",
            (Field(2, 0, "pba_bir", "PBA BIR"), Field(31, 3, "pba_offset", "PBA Offset")),
            section="7.7.2.4",
        ),
    ),
)
