"""The fabric: all Functions of a machine and how they connect. An immutable snapshot with an id of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any

from pcifma.fabric.function import Function
from pcifma.fabric.sighting import Sighting
from pcifma.regs.bdf import Bdf

ROOT_PORT = 0x4
_PARTNER_ABOVE = frozenset({0x0, 0x1, 0x5, 0x7})  # Endpoint, Legacy Endpoint, Upstream Port, PCIe to PCI bridge


_NONE: Mapping[Bdf, Any] = MappingProxyType({})


class Fabric:
    """Functions by address, in address order.

    *below* has the Functions under each bridge, *virtual* the VFs of each PF (they are folded: no VF is below a bridge),
    *collectors* the RCEC of each RCiEP that one speaks for. *sightings* are what the next fabric is made from. An empty *id* is
    made from what the Functions are and how they connect.
    """

    def __init__(
        self,
        id: str,
        functions: Mapping[Bdf, Function],
        below: Mapping[Bdf, tuple[Bdf, ...]] = _NONE,
        *,
        virtual: Mapping[Bdf, tuple[Bdf, ...]] = _NONE,
        collectors: Mapping[Bdf, Bdf] = _NONE,
        sightings: Mapping[Bdf, Sighting] = _NONE,
    ) -> None:
        self._given_id = id
        self.functions = functions
        self.below, self.virtual, self.collectors = below, virtual, collectors
        self.sightings = sightings

    @cached_property
    def id(self) -> str:
        """16 hex digits that change when, and only when, a Function or a connection changes; worked out when first asked for."""
        return self._given_id or _digest(self.functions.values())

    @cached_property
    def capabilities(self) -> frozenset[str]:
        """The names of all capabilities that any Function has."""
        shapes = {id(f.capabilities): f.capabilities for f in self}
        return frozenset(c.name for shape in shapes.values() for c in shape)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fabric) and (self.functions, self.id, self.collectors) == (other.functions, other.id, other.collectors)

    def __hash__(self) -> int:
        return hash(self.id)

    def __iter__(self) -> Iterator[Function]:
        return iter(self.functions.values())

    def __getitem__(self, bdf: Bdf) -> Function:
        return self.functions[bdf]

    def get(self, bdf: Bdf) -> Function | None:
        """The Function at *bdf*, or None."""
        return self.functions.get(bdf)

    def parent(self, function: Function) -> Function | None:
        """The bridge above, or None on a root bus."""
        return None if function.parent is None else self.functions.get(function.parent)

    def children(self, function: Function) -> tuple[Function, ...]:
        """The Functions on the bridge's secondary bus, in address order; VFs are under their PF (*virtual_functions*)."""
        return tuple(self.functions[b] for b in self.below.get(function.bdf, ()))

    def virtual_functions(self, function: Function) -> tuple[Function, ...]:
        """The VFs of a PF, in address order."""
        return tuple(self.functions[b] for b in self.virtual.get(function.bdf, ()))

    def roots(self) -> tuple[Function, ...]:
        """The Functions with nothing above them, VFs left out, in address order."""
        return tuple(f for f in self if f.parent is None and f.physfn not in self.functions)

    def path(self, function: Function) -> tuple[Function, ...]:
        """From the Function on the root bus down to *function*, both included."""
        found = [function]
        while (above := self.parent(found[-1])) is not None and above not in found:
            found.append(above)
        return tuple(reversed(found))

    def root_port(self, function: Function) -> Function | None:
        """The Root Port that messages of *function* reach (itself, if it is one); None for RCiEPs and conventional PCI."""
        return next((f for f in self.path(function) if f.dev_type == ROOT_PORT), None)

    def collector(self, function: Function) -> Function | None:
        """The RCEC that messages of an RCiEP reach, or None."""
        rcec = self.collectors.get(function.bdf)
        return None if rcec is None else self.functions.get(rcec)

    def link_partner(self, function: Function) -> Function | None:
        """The port at the upper end of the link that *function* is the lower end of; None where there is no such link."""
        return self.parent(function) if function.dev_type in _PARTNER_ABOVE else None


def _digest(functions: Iterable[Function]) -> str:
    # What a Function is and how it connects; not what it is called, who drives it, or whether it sleeps just now.
    import hashlib  # noqa: PLC0415 - a machine where nothing happens needs no id, and this no libcrypto

    digest = hashlib.blake2b(digest_size=8)
    for f in functions:
        facts = (
            str(f.bdf), f.vendor, f.device, f.subsystem_vendor, f.subsystem_device, f.class_code, f.revision, f.header_type,
            f.dev_type, [(c.name, c.offset) for c in f.capabilities], str(f.parent), f.bus_range, f.serial, str(f.physfn),
        )  # fmt: skip
        digest.update(repr(facts).encode())
    return digest.hexdigest()
