"""A Function of the fabric: a frozen fact, read once per fabric snapshot."""

from __future__ import annotations

from typing import NamedTuple

from pcifma.regs.bdf import Bdf
from pcifma.regs.form import PLAIN, Form


class FoundCapability(NamedTuple):
    """A capability as found in a chain: *name* is setpci's, *offset* in bytes from the start of configuration space.

    *version* of a standard capability is 0, but PCI Express says its own. *form* tells which registers it has (pcifma/regs/form.py).
    """

    name: str
    id: int
    extended: bool
    version: int
    offset: int
    form: Form = PLAIN


class Slot(NamedTuple):
    """Where a person finds the card: *label*, and *source* of that label (`slot-capability`, `smbios`, `sysfs`, `site`, …).

    *number* is the Physical Slot Number of the port above (1 to 8191), or None. *others* are labels of other sources.
    """

    label: str
    source: str
    number: int | None = None
    others: tuple[tuple[str, str], ...] = ()

    @property
    def agreed(self) -> bool | None:
        """Whether all sources mean the same slot; None where there is but one source."""
        if not self.others:
            return None
        return len({_last_number(label) for label in (self.label, *(label for label, _ in self.others))}) == 1


def _last_number(label: str) -> str:
    # "PCIe Slot 3", "SLOT 3 (G5 x16)" and "3" are one slot; a label without digits stands for itself.
    words = "".join(c if c.isalnum() else " " for c in label.partition("(")[0]).split()
    return next((w.lstrip("0") for w in reversed(words) if w.isdigit()), label)


class Function(NamedTuple):
    """One Function. *dev_type* is the Device/Port Type of its PCI Express capability (None: conventional PCI).

    *bus_range* is (secondary, subordinate) of a bridge. *parent* is the bridge above (None: on a root bus). *physfn* is the
    PF of a Virtual Function. *serial* is the Device Serial Number, 16 hex digits. *size* is how many bytes can be read.
    *slot* is where the card sits that this Function is on; *slot_below* is the slot that this port leads to. *unread* is
    empty, or why its registers could not be read: `asleep`, `gone`, `busy`, `short`, … *note* is for people. *bars* are where
    its memory BARs begin, *windows* the (first, last) addresses that a bridge forwards.
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
    slot_below: Slot | None = None
    unread: str = ""
    bars: tuple[int, ...] = ()
    windows: tuple[tuple[int, int], ...] = ()

    def offset_of(self, capability: str, number: int = 0) -> int | None:
        """Offset of the capability with that setpci name, counted from 0; 0 for the header (empty name), None if absent."""
        if not capability:
            return 0
        for found in self.capabilities:
            if found.name == capability:
                if not number:
                    return found.offset
                number -= 1
        return None

    def all(self, capability: str) -> tuple[FoundCapability, ...]:
        """The capabilities with that setpci name, in the order in which setpci counts them."""
        return tuple(c for c in self.capabilities if c.name == capability)
