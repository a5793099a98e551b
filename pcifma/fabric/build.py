"""Make the fabric of a machine, and of its successor after hot-plug: only what changed is looked at again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace

from pcifma.access.seam import Host, Machine
from pcifma.fabric import tree
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.fmri import device_path
from pcifma.fabric.function import Function, Slot
from pcifma.fabric.label import slots
from pcifma.fabric.sighting import Sighting, sight
from pcifma.regs.bdf import Bdf


def build(machine: Machine) -> Fabric:
    """Look at every Function of *machine* once and connect them. What cannot be read stays in, with `unread` and a note."""
    return update(machine, Fabric("", {}), ())


def update(machine: Machine, before: Fabric, changed: Iterable[Bdf]) -> Fabric:
    """The fabric of *machine* now, given that only *changed* Functions (and new or vanished ones) differ from *before*.

    A Function that fell asleep keeps what was known of it when it was awake.
    """
    again = set(changed)
    sightings = {}
    for bdf in sorted({*machine.configs, *machine.unread}):
        known = before.sightings.get(bdf)
        if known is None or bdf in again:
            seen = sight(bdf, machine.configs.get(bdf), machine.host, machine.unread.get(bdf, ""))
            known = _remembered(seen, known)
        sightings[bdf] = known
    return _assemble(sightings, machine.host)


def _remembered(seen: Sighting, known: Sighting | None) -> Sighting:
    now = seen.function
    if now.unread != "asleep" or known is None or not known.function.capabilities:
        return seen
    if (now.vendor, now.device) != (known.function.vendor, known.function.device):
        return seen
    return replace(known, function=replace(known.function, unread=now.unread, note=now.note, driver=now.driver))


def _assemble(sightings: Mapping[Bdf, Sighting], host: Host) -> Fabric:
    functions = tree.connect(sightings)
    numbers = {bdf: s.slot_number for bdf, s in sightings.items() if s.slot_number is not None}
    labels = slots(functions.values(), numbers, host)
    draft = Fabric("", functions)
    placed = {f.bdf: _finish(draft, f, labels) for f in functions.values()}
    below: dict[Bdf, list[Bdf]] = {}
    virtual: dict[Bdf, list[Bdf]] = {}
    for f in placed.values():
        if f.physfn in placed:
            virtual.setdefault(f.physfn, []).append(f.bdf)
        elif f.parent is not None:
            below.setdefault(f.parent, []).append(f.bdf)
    return Fabric(
        id=_id(placed.values()),
        functions=placed,
        below={bdf: tuple(found) for bdf, found in below.items()},
        virtual={bdf: tuple(found) for bdf, found in virtual.items()},
        collectors=tree.collectors(sightings),
        sightings=sightings,
    )


def _finish(draft: Fabric, function: Function, labels: Mapping[Bdf, Slot]) -> Function:
    above = reversed(draft.path(function)[:-1])
    return replace(
        function,
        slot=next((labels[port.bdf] for port in above if port.bdf in labels), None),
        slot_below=labels.get(function.bdf),
        sysfs=function.sysfs or device_path(draft, function),
    )


def _id(functions: Iterable[Function]) -> str:
    # What a Function is and how it connects; not what it is called, who drives it, or whether it sleeps just now.
    digest = hashlib.blake2b(digest_size=8)
    for f in functions:
        facts = (
            str(f.bdf), f.vendor, f.device, f.subsystem_vendor, f.subsystem_device, f.class_code, f.revision, f.header_type,
            f.dev_type, [(c.name, c.offset) for c in f.capabilities], str(f.parent), f.bus_range, f.serial, str(f.physfn),
        )  # fmt: skip
        digest.update(repr(facts).encode())
    return digest.hexdigest()
