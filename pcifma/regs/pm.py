"""PCI Power Management (PCIe Base Spec 7.5.2). PMCSR is never written; its power state says whether a Function may be read at all."""

from __future__ import annotations

from pcifma.regs.table import Access, Capability, Field, Register

CAPABILITIES = (
    Field(2, 0, "version", "Version"),
    Field(3, 3, "pme_clock", "PME Clock"),
    Field(4, 4, "immediate_readiness_on_return_to_d0", "Immediate Readiness on Return to D0"),
    Field(5, 5, "device_specific_initialization", "Device Specific Initialization"),
    Field(8, 6, "aux_current", "Aux Current"),
    Field(9, 9, "d1_support", "D1 Support"),
    Field(10, 10, "d2_support", "D2 Support"),
    Field(15, 11, "pme_support", "PME Support"),
)

CONTROL_STATUS = (
    Field(1, 0, "powerstate", "PowerState", names={0: "D0", 1: "D1", 2: "D2", 3: "D3hot"}),
    Field(3, 3, "no_soft_reset", "No_Soft_Reset", access=Access.RO),
    Field(8, 8, "pme_en", "PME_En"),
    Field(12, 9, "data_select", "Data_Select"),
    Field(14, 13, "data_scale", "Data_Scale", access=Access.RO),
    Field(15, 15, "pme_status", "PME_Status", access=Access.RW1CS),
)

PM = Capability(
    id=0x01,
    kind="standard",
    name="CAP_PM",
    key="pm",
    title="PCI Power Management",
    section="PCIe 7.5.2",
    registers=(
        Register(0x02, 2, "power_management_capabilities", "Power Management Capabilities", CAPABILITIES, section="7.5.2.1"),
        Register(
            0x04,
            2,
            "power_management_control_status",
            "Power Management Control/Status",
            CONTROL_STATUS,
            access=Access.RW,
            section="7.5.2.2",
        ),
        Register(0x07, 1, "data", "Data", section="7.5.2.3"),
    ),
)
