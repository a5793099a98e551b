"""Registers and command line as coverage sees them: each read once, with the changes of assumed remedies laid over them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pcifma.access.seam import Host, Machine
from pcifma.errors import ReadError
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.function import Function
from pcifma.platform.reason import Bits, Change, Option, Ownership, Served
from pcifma.regs.bdf import Bdf
from pcifma.regs.table import Capability, Location


@dataclass(slots=True)
class View:
    """*changes* are assumed to be made; the registers read are shared by all views of one survey."""

    machine: Machine
    fabric: Fabric
    changes: tuple[Change, ...] = ()
    _read: dict[tuple[Bdf, Location], int | None] = field(default_factory=dict)
    _bits: dict[tuple[Bdf, Location], list[Bits]] = field(init=False, default_factory=dict)
    _owners: dict[tuple[int, int], Ownership] = field(init=False, default_factory=dict)
    _served: dict[Bdf, Served] = field(init=False, default_factory=dict)
    _touched: set[Bdf] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        for change in self.changes:
            if isinstance(change, Bits):
                self._bits.setdefault((change.bdf, change.location), []).append(change)
                self._touched.add(change.bdf)
            elif isinstance(change, Ownership):
                self._owners[change.root] = change
            elif isinstance(change, Served):
                self._served[change.port] = change
                self._touched.add(change.port)

    @property
    def host(self) -> Host:
        """The machine's facts."""
        return self.machine.host

    def assuming(self, changes: Iterable[Change]) -> View:
        """This view with *changes* made as well."""
        return View(self.machine, self.fabric, (*self.changes, *changes), self._read)

    def word(self, function: Function, capability: Capability, key: str) -> int | None:
        """The register's word; None where the Function lacks it or it cannot be read."""
        return self.at(function, capability.location(capability[key]))

    def at(self, function: Function, location: Location) -> int | None:
        """The word at *location*, assumed changes made; None where it cannot be read."""
        word = self._word(function, location)
        if word is not None:
            for change in self._bits.get((function.bdf, location), ()):
                word = change.on(word)
        return word

    def options(self) -> tuple[str, ...] | None:
        """Words of the kernel's command line; None where it is not known."""
        line = self.host.read("/proc/cmdline")
        if line is None:
            return None
        gone = {c.word for c in self.changes if isinstance(c, Option)}
        return tuple(w for w in line.decode(errors="replace").split() if w not in gone)

    def assumed_owner(self, root: tuple[int, int]) -> Ownership | None:
        """The owner that a change assumes for the host bridge *root*."""
        return self._owners.get(root)

    def assumed_service(self, port: Function) -> Served | None:
        """The service that a change assumes at *port*."""
        return self._served.get(port.bdf)

    def touches(self, function: Function) -> bool:
        """True if a change concerns *function*'s registers or the service at it."""
        return function.bdf in self._touched

    def _word(self, function: Function, location: Location) -> int | None:
        key = (function.bdf, location)
        if key not in self._read:
            self._read[key] = self._fetch(function, location)
        return self._read[key]

    def _fetch(self, function: Function, location: Location) -> int | None:
        base = function.offset_of(location.capability)
        config = self.machine.configs.get(function.bdf)
        if function.unread not in ("", "short") or base is None or config is None:
            return None
        try:
            return int.from_bytes(config.read(base + location.offset, location.width), "little")
        except ReadError:
            return None
