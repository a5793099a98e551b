"""Page Request Interface (PCIe Base Spec 10.5.2). Its errors are the IOMMU driver's to clear."""

from __future__ import annotations

from pcifma.regs.table import Access, Capability, Field, Register

PRI = Capability(
    id=0x0013,
    kind="extended",
    name="ECAP_PRI",
    key="pri",
    title="Page Request Interface",
    section="PCIe 10.5.2",
    registers=(
        Register(
            0x04,
            2,
            "page_request_control",
            "Page Request Control",
            (Field(0, 0, "enable", "Enable"), Field(1, 1, "reset", "Reset")),
            access=Access.RW,
            section="10.5.2.2",
        ),
        Register(
            0x06,
            2,
            "page_request_status",
            "Page Request Status",
            (
                Field(0, 0, "response_failure", "Response Failure", ereport="io.pciex.pri.rf", severity="nonfatal"),
                Field(
                    1,
                    1,
                    "unexpected_page_request_group_index",
                    "Unexpected Page Request Group Index",
                    ereport="io.pciex.pri.uprgi",
                    severity="nonfatal",
                ),
                Field(8, 8, "stopped", "Stopped", access=Access.RO),
                Field(15, 15, "prg_response_pasid_required", "PRG Response PASID Required", access=Access.RO),
            ),
            access=Access.RW1C,
            section="10.5.2.3",
        ),
        Register(0x08, 4, "outstanding_page_request_capacity", "Outstanding Page Request Capacity", section="10.5.2.4"),
        Register(
            0x0C, 4, "outstanding_page_request_allocation", "Outstanding Page Request Allocation", access=Access.RW, section="10.5.2.5"
        ),
    ),
)
