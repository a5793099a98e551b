"""How Functions connect: bus numbers decide, live and in a capture alike, so both give the same tree.

A bridge's secondary bus is always above its own bus number (PCI-to-PCI Bridge Spec 3.2.5.3); ranges that are not so are
nonsense and connect nothing, so the tree has no loops whatever the registers hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from pcifma.fabric.function import Function
from pcifma.fabric.sighting import ALL_ONES, Sighting
from pcifma.regs.bdf import Bdf

_RCIEP, _RCEC = 0x9, 0xA
_HAS_LINK_ABOVE = frozenset({0x0, 0x1, 0x5, 0x7})


class Bus(NamedTuple):
    """A bridge's claim: its secondary bus up to its subordinate bus, in its segment."""

    bridge: Bdf
    first: int
    last: int


class Place(NamedTuple):
    """Where *function* sits: below *parent*, or on a root bus; *notes* are for people. A VF has its physfn and ids filled in."""

    function: Function
    parent: Bdf | None
    notes: tuple[str, ...] = ()


def connect(sightings: Mapping[Bdf, Sighting]) -> list[Place]:
    """The place of every Function, in address order: what is above a Function comes before it."""
    by_segment: dict[int, list[Sighting]] = {}
    for bdf in sorted(sightings):
        by_segment.setdefault(bdf.segment, []).append(sightings[bdf])
    return [place for segment in by_segment.values() for place in _segment(segment)]


def collectors(sightings: Mapping[Bdf, Sighting]) -> dict[Bdf, Bdf]:
    """The RCEC of each RCiEP that one speaks for (PCIe Base Spec 7.9.10)."""
    speakers = [(bdf, s.collector) for bdf, s in sorted(sightings.items()) if s.collector is not None and s.function.dev_type == _RCEC]
    found: dict[Bdf, Bdf] = {}
    for bdf, sighting in sightings.items() if speakers else ():
        if sighting.function.dev_type != _RCIEP:
            continue
        for rcec, collector in speakers:
            own_bus = bdf.bus == rcec.bus and collector.devices >> bdf.device & 1
            far_bus = collector.buses is not None and collector.buses[0] <= bdf.bus <= collector.buses[1]
            if bdf.segment == rcec.segment and (own_bus or far_bus):
                found.setdefault(bdf, rcec)
    return found


def _segment(sightings: list[Sighting]) -> Iterator[Place]:
    nearest = _nearest(_buses(s.function for s in sightings))
    virtual = _virtual(sightings)
    for sighting in sightings:
        function = _as_virtual(sighting.function, virtual.get(sighting.function.bdf))
        # A VF may sit on a bus that no bridge names (the PF's bus plus one): it hangs where its PF hangs.
        seat = function.physfn if function.physfn is not None else function.bdf
        holders = nearest.get(seat.bus, [])
        if function.bus_range is not None:  # what claims to be a VF and a bridge is not below itself
            holders = [bus for bus in holders if bus.bridge != function.bdf]
        yield _place(function, seat, holders)


def _buses(functions: Iterable[Function]) -> list[Bus]:
    claims = []
    for f in functions:
        if f.bus_range is not None and f.bdf.bus < f.bus_range[0] <= f.bus_range[1]:
            claims.append(Bus(f.bdf, *f.bus_range))
    return claims


def _nearest(buses: Iterable[Bus]) -> dict[int, list[Bus]]:
    # By bus: those that claim it and begin nearest to it.
    found: dict[int, list[Bus]] = {}
    for bus in buses:
        for number in range(bus.first, bus.last + 1):
            holders = found.setdefault(number, [])
            if not holders or bus.first > holders[0].first:
                found[number] = [bus]
            elif bus.first == holders[0].first:
                holders.append(bus)
    return found


def _place(function: Function, seat: Bdf, holders: list[Bus]) -> Place:
    if not holders:
        return Place(function, None, ("no port above is visible",) if function.dev_type in _HAS_LINK_ABOVE else ())
    nearest = holders[0].first
    notes = [] if nearest == seat.bus else [f"the bridge to bus {seat.bus:02x} is not visible"]
    if len(holders) > 1:
        notes.append(f"bus {nearest:02x} is claimed by {', '.join(str(bus.bridge) for bus in holders)}")
    return Place(function, holders[0].bridge, tuple(notes))


def _virtual(sightings: list[Sighting]) -> dict[Bdf, Sighting]:
    # Existing Functions are tested against each PF's range, not the range walked: 65535 VFs may be claimed by a broken register.
    physical = [s for s in sightings if s.virtual is not None]
    found: dict[Bdf, Sighting] = {}
    for function in (s.function for s in sightings) if physical else ():
        for pf in physical:
            if function.physfn == pf.function.bdf or (function.physfn is None and _is_virtual(function, pf)):
                found.setdefault(function.bdf, pf)
    return found


def _is_virtual(function: Function, pf: Sighting) -> bool:
    span = pf.virtual
    if span is None or function.header_type != 0 or function.bdf == pf.function.bdf:
        return False
    distance = function.bdf.requester_id - pf.function.bdf.requester_id - span.offset
    if span.stride == 0:
        return distance == 0 and span.number > 0
    return distance >= 0 and distance % span.stride == 0 and distance // span.stride < span.number


def _as_virtual(function: Function, pf: Sighting | None) -> Function:
    if pf is None or pf.virtual is None:
        return function
    function = function._replace(physfn=pf.function.bdf)
    if function.vendor != ALL_ONES:
        return function
    # A VF's own Vendor and Device ID read as all ones (SR-IOV 9.3.4.1.1); its PF says what it is.
    return function._replace(vendor=pf.function.vendor, device=pf.virtual.device)
