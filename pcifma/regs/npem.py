"""Native PCIe Enclosure Management (PCIe Base Spec 7.9.19): the lamps beside a slot. A diagnosis may ask for them; nothing here errs."""

from __future__ import annotations

from pcifma.regs.table import Access, Capability, Field, Register

_LAMPS = (
    "OK",
    "Locate",
    "Fail",
    "Rebuild",
    "PFA",
    "Hot Spare",
    "In a Critical Array",
    "In a Failed Array",
    "Invalid Device Type",
    "Disabled",
)


def _lamps(suffix: str) -> tuple[Field, ...]:
    titles = [f"NPEM {lamp} {suffix}" for lamp in _LAMPS]
    return tuple(Field(i, i, title.lower().replace(" ", "_"), title) for i, title in enumerate(titles, 2))


NPEM = Capability(
    id=0x0029,
    kind="extended",
    name="ECAP_NPEM",
    key="npem",
    title="Native PCIe Enclosure Management",
    section="PCIe 7.9.19",
    registers=(
        Register(
            0x04,
            4,
            "npem_capability",
            "NPEM Capability",
            (Field(0, 0, "npem_capable", "NPEM Capable"), Field(1, 1, "npem_reset_capable", "NPEM Reset Capable"), *_lamps("Capable")),
            section="7.9.19.2",
        ),
        Register(
            0x08,
            4,
            "npem_control",
            "NPEM Control",
            (Field(0, 0, "npem_enable", "NPEM Enable"), Field(1, 1, "npem_initiate_reset", "NPEM Initiate Reset"), *_lamps("Control")),
            access=Access.RW,
            section="7.9.19.3",
        ),
        Register(
            0x0C,
            4,
            "npem_status",
            "NPEM Status",
            (Field(0, 0, "npem_command_completed", "NPEM Command Completed", access=Access.RW1C),),
            section="7.9.19.4",
        ),
    ),
)
