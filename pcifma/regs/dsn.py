"""Device Serial Number (PCIe Base Spec 7.9.3): an EUI-64, low half first."""

from __future__ import annotations

from pcifma.regs.table import Capability, Register

DSN = Capability(
    id=0x0003,
    kind="extended",
    name="ECAP_DSN",
    key="dsn",
    title="Device Serial Number",
    section="PCIe 7.9.3",
    registers=(
        Register(0x04, 4, "serial_number_lower_dw", "Serial Number Lower DW", section="7.9.3.2"),
        Register(0x08, 4, "serial_number_upper_dw", "Serial Number Upper DW", section="7.9.3.2"),
    ),
)


def serial(lower: int, upper: int) -> str:
    """The serial number as 16 hex digits."""
    return f"{upper:08x}{lower:08x}"
