"""Make the fabric of a machine, and of its successor after hot-plug: only what changed is looked at again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pcifma.access.seam import Host, Machine
from pcifma.fabric import tree
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.fmri import root_path
from pcifma.fabric.function import Function, Slot
from pcifma.fabric.label import slots
from pcifma.fabric.sighting import BRIDGE, Sighting, numbers, sight
from pcifma.regs.bdf import Bdf

_FOR_NOW = frozenset({"asleep", "gone", "busy", "slow", "read"})


def build(machine: Machine) -> Fabric:
    """Look at every Function of *machine* once and connect them. What cannot be read stays in, with `unread` and a note."""
    return update(machine, Fabric("", {}), ())


def update(machine: Machine, before: Fabric, changed: Iterable[Bdf]) -> Fabric:
    """The fabric of *machine* now, given that only *changed* Functions (and new or vanished ones) differ from *before*.

    A Function that does not answer now, as it sleeps or is in reset, keeps what was known of it when it did: it stays who it is. So
    does one that answers without its bus or serial number.
    """
    again, known = set(changed), before.sightings
    every = sorted({*machine.configs, *machine.unread})
    new = [bdf for bdf in every if bdf not in known or bdf in again]
    seen = dict(zip(new, sight(new, machine.configs, machine.host, machine.unread), strict=True))
    sightings = {bdf: _numbered(_remembered(seen[bdf], known.get(bdf)), machine.host) if bdf in seen else known[bdf] for bdf in every}
    return _assemble(sightings, machine.host)


def _remembered(seen: Sighting, known: Sighting | None) -> Sighting:
    now = seen.function
    if known is None or (now.vendor, now.device) != (known.function.vendor, known.function.device):
        return seen
    if not now.unread:
        # What a reset, or a faulty device, has taken from it is not what another one has: it has numbers of its own.
        was = known.function
        return seen._replace(function=now._replace(bus_range=now.bus_range or was.bus_range, serial=now.serial or was.serial))
    if now.unread not in _FOR_NOW or not known.function.capabilities:
        return seen
    return known._replace(function=known.function._replace(unread=now.unread, note=now.note, driver=now.driver))


def _numbered(seen: Sighting, host: Host) -> Sighting:
    # A link reset takes the numbers from a switch. What is below it stays what it was, with the same counters in sysfs.
    function = seen.function
    if function.unread or function.header_type != BRIDGE or function.bus_range is not None:
        return seen
    return seen._replace(function=function._replace(bus_range=numbers(function.bdf, host)))


def _assemble(sightings: Mapping[Bdf, Sighting], host: Host) -> Fabric:
    places = tree.connect(sightings)
    numbers = {bdf: s.slot_number for bdf, s in sightings.items() if s.slot_number is not None}
    labels = slots((place.function for place in places), numbers, host)
    placed = _placed(places, labels)
    below: dict[Bdf, list[Bdf]] = {}
    virtual: dict[Bdf, list[Bdf]] = {}
    for f in placed.values():
        if f.physfn in placed:
            virtual.setdefault(f.physfn, []).append(f.bdf)
        elif f.parent is not None:
            below.setdefault(f.parent, []).append(f.bdf)
    return Fabric(
        "",
        placed,
        below={bdf: tuple(found) for bdf, found in below.items()},
        virtual={bdf: tuple(found) for bdf, found in virtual.items()},
        collectors=tree.collectors(sightings),
        sightings=sightings,
    )


def _placed(places: Iterable[tree.Place], labels: Mapping[Bdf, Slot]) -> dict[Bdf, Function]:
    # From the root buses down, so that what is above a Function has its path and its slot already.
    paths: dict[Bdf, str] = {}
    seats: dict[Bdf, Slot | None] = {}
    found: dict[Bdf, Function] = {}
    for function, parent, notes in places:
        bdf = function.bdf
        above = paths.get(parent) if parent is not None else None
        paths[bdf] = path = f"{above or root_path(bdf)}/{bdf}"
        seats[bdf] = slot = (labels.get(parent) or seats.get(parent)) if parent is not None else None
        found[bdf] = function._replace(
            parent=parent,
            slot=slot,
            slot_below=labels.get(bdf),
            sysfs=function.sysfs or path,
            note="; ".join((function.note, *notes)) if notes and function.note else "; ".join(notes) or function.note,
        )
    return found
