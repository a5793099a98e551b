"""Data Object Exchange (PCIe Base Spec 7.9.24). Its error bit goes away with an abort, which is the driver's to make."""

from __future__ import annotations

from pcifma.regs.table import Access, Capability, Field, Register

DOE = Capability(
    id=0x002E,
    kind="extended",
    name="ECAP2e",
    key="doe",
    title="Data Object Exchange",
    section="PCIe 7.9.24",
    registers=(
        Register(
            0x04,
            4,
            "doe_capabilities",
            "DOE Capabilities",
            (
                Field(0, 0, "doe_interrupt_support", "DOE Interrupt Support"),
                Field(11, 1, "doe_interrupt_message_number", "DOE Interrupt Message Number"),
            ),
            section="7.9.24.2",
        ),
        Register(
            0x08,
            4,
            "doe_control",
            "DOE Control",
            (
                Field(0, 0, "doe_abort", "DOE Abort"),
                Field(1, 1, "doe_interrupt_enable", "DOE Interrupt Enable"),
                Field(31, 31, "doe_go", "DOE Go"),
            ),
            access=Access.RW,
            section="7.9.24.3",
        ),
        Register(
            0x0C,
            4,
            "doe_status",
            "DOE Status",
            (
                Field(0, 0, "doe_busy", "DOE Busy"),
                Field(1, 1, "doe_interrupt_status", "DOE Interrupt Status", access=Access.RW1C),
                Field(2, 2, "doe_error", "DOE Error", ereport="io.pciex.doe.err", severity="nonfatal"),
                Field(3, 3, "doe_async_message_status", "DOE Async Message Status", access=Access.RW1C),
                Field(31, 31, "data_object_ready", "Data Object Ready"),
            ),
            section="7.9.24.4",
        ),
    ),
)
