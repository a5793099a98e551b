"""A Function of the fabric: a frozen fact, read once per fabric snapshot."""

from __future__ import annotations

from dataclasses import dataclass

from pcifma.regs.bdf import Bdf


@dataclass(frozen=True, slots=True)
class FoundCapability:
    """A capability as found in a chain: *name* is setpci's, *offset* in bytes from the start of configuration space."""

    name: str
    id: int
    extended: bool
    version: int
    offset: int


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a person finds the card: *label*, and *source* of that label (`slot-capability`, `smbios`, `sysfs`, `site`, …)."""

    label: str
    source: str


@dataclass(frozen=True, slots=True)
class Function:
    """One Function. *dev_type* is the Device/Port Type of its PCI Express capability (None: conventional PCI).

    *bus_range* is (secondary, subordinate) of a bridge. *parent* is the bridge above (None: on a root bus). *physfn* is the
    PF of a Virtual Function. *serial* is the Device Serial Number, 16 hex digits. *size* is how many bytes can be read.
    """

    bdf: Bdf
    vendor: int
    device: int
    subsystem_vendor: int
    subsystem_device: int
    class_code: int
    revision: int
    header_type: int
    multifunction: bool
    dev_type: int | None
    capabilities: tuple[FoundCapability, ...]
    size: int
    parent: Bdf | None = None
    bus_range: tuple[int, int] | None = None
    slot: Slot | None = None
    serial: str | None = None
    driver: str | None = None
    physfn: Bdf | None = None
    sysfs: str = ""
    note: str = ""

    def offset_of(self, capability: str) -> int | None:
        """Offset of the first capability with that setpci name; 0 for the header (empty name), None if absent."""
        if not capability:
            return 0
        return next((c.offset for c in self.capabilities if c.name == capability), None)
