"""The resource cache: what is known to be faulty, by target identity, so that it outlives restarts, reboots and moved buses.

An entry is one suspect of one case. A target is as bad as the worst of its entries; once none is bad, its last word counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from pcifma.event.case import Suspect, SuspectStatus
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.fmri import identity
from pcifma.fmd.engine.case import FAULTY
from pcifma.fmd.log.batch import ResourceRow
from pcifma.regs.bdf import Bdf

_WORST = ("unusable", "faulty", "degraded", "not-present")


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """An entry: the *target*'s identity, the id of its *case* and index *n* of the *suspect*, when that was last changed (wall ns).

    *was* is the status to come back to when an absent part is seen again.
    """

    target: str
    case: int
    n: int
    suspect: Suspect
    changed_wall_ns: int
    was: SuspectStatus | None = None

    @property
    def state(self) -> SuspectStatus:
        """faulty, unusable, not-present, degraded, repaired, replaced or acquitted."""
        return self.suspect.status

    def row(self) -> ResourceRow:
        """As the log stores it."""
        return ResourceRow(self.target, self.case, self.n, self.state, _ENCODER.encode(self))


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Resource)


def place(target: str) -> str:
    """Where a target sits, without which part it is; a target that is no Function is its own place."""
    return target.rsplit("/", 2)[0] if target.count("/") >= 3 else target


def part(target: str) -> tuple[str, str]:
    """Which part it is: (vendor:device:subsystem, serial or "-")."""
    _, ids, serial = target.rsplit("/", 2) if target.count("/") >= 3 else ("", "", "-")
    return ids, serial


def replaced(before: str, now: str) -> bool:
    """True if another part sits in the same place: another kind, or another serial. Without serials, equal kinds cannot be told."""
    (ids, serial), (new_ids, new_serial) = part(before), part(now)
    return ids != new_ids or ("-" not in (serial, new_serial) and serial != new_serial)


def target_of(fabric: Fabric, device: str) -> str:
    """The identity of the Function at address *device*; anything else is its own identity."""
    try:
        function = fabric.get(Bdf.parse(device))
    except ValueError:
        return device
    return device if function is None else identity(fabric, function)


class ResourceCache:
    """All entries, by (case, n)."""

    def __init__(self, rows: Iterable[ResourceRow] = ()) -> None:
        entries = (_DECODER.decode(row.body) for row in rows)
        self.entries: dict[tuple[int, int], Resource] = {(entry.case, entry.n): entry for entry in entries}

    def put(self, entry: Resource) -> None:
        """Add *entry*, or replace the one of the same suspect."""
        self.entries[entry.case, entry.n] = entry

    def state(self, target: str) -> str:
        """ok, or the state of *target*'s worst entry; once none is bad, of the one changed last."""
        known = sorted((e for e in self.entries.values() if e.target == target), key=lambda entry: entry.changed_wall_ns)
        states = [entry.state for entry in known]
        return next((bad for bad in _WORST if bad in states), states[-1] if states else "ok")

    def changes(self, fabric: Fabric) -> Iterator[tuple[Resource, SuspectStatus]]:
        """What *fabric* says of bad parts: those that were replaced, that are gone, and that are back."""
        present = {place(target): target for target in (identity(fabric, function) for function in fabric)}
        for entry in list(self.entries.values()):
            if entry.state in FAULTY and entry.target.count("/") >= 3:
                status = _seen(entry, present.get(place(entry.target)))
                if status != entry.state:
                    yield entry, status


def _seen(entry: Resource, now: str | None) -> SuspectStatus:
    if now is None:
        return "not-present"
    if replaced(entry.target, now):
        return "replaced"
    return entry.was or entry.state if entry.state == "not-present" else entry.state
