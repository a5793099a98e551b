"""Root Complex Event Collector Endpoint Association (PCIe Base Spec 7.9.10): whose errors a collector hears."""

from __future__ import annotations

from pcifma.regs.table import Capability, Field, Register

RCEC = Capability(
    id=0x0007,
    kind="extended",
    name="ECAP_RCEC",
    key="rcec",
    title="Root Complex Event Collector Endpoint Association",
    section="PCIe 7.9.10",
    registers=(
        Register(0x04, 4, "association_bitmap_for_rcieps", "Association Bitmap for RCiEPs", section="7.9.10.2"),
        Register(
            0x08,
            4,
            "rcec_associated_bus_numbers",
            "RCEC Associated Bus Numbers",
            (Field(15, 8, "rcec_next_bus", "RCEC Next Bus"), Field(23, 16, "rcec_last_bus", "RCEC Last Bus")),
            since=2,
            section="7.9.10.3",
        ),
    ),
)
