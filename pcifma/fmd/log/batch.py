"""What is handed to the log in one piece: all of a batch becomes durable in one transaction, or none of it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pcifma.event.case import ListEvent
from pcifma.event.ereport import Ereport
from pcifma.event.written import WriteOutcome
from pcifma.poll.latched import Baseline, Standing


@dataclass(frozen=True, slots=True)
class Position:
    """Where the poller's numbers go on after a restart: its next *tick* and its next *snapshot* (behind every ENA)."""

    tick: int = 0
    snapshot: int = 1


@dataclass(frozen=True, slots=True)
class FabricSnapshot:
    """A fabric as it was found: its *id*, wall time in ns, and the snapshot itself as JSON."""

    id: str
    wall_ns: int
    body: bytes


@dataclass(frozen=True, slots=True)
class RegisterWrite:
    """One configuration write, for the ledger of all writes ever made.

    Appended twice under one *id*: before the write with *after* None, and when it has been read back. *width* in bytes.
    *why* is one line; *ereports* are the uuids that the bits stand on, *case* and *command* what an operator with *uid* and *pid*
    ordered it for (empty and None: the daemon's own acknowledgement).
    """

    id: str
    wall_ns: int
    boot: str
    device: str
    register: str
    width: int
    before: int | None
    value: int
    after: int | None
    why: str
    ereports: tuple[str, ...] = ()
    case: str = ""
    command: str = ""
    uid: int | None = None
    pid: int | None = None

    @property
    def outcome(self) -> WriteOutcome:
        """`done`; `clear`: the bits were clear by then, so nothing was written; `refused`; `unknown`: a crash or a timeout hid it."""
        if self.after is None:
            return "unknown" if self.value else "refused"
        return "done" if self.value else "clear"


@dataclass(frozen=True, slots=True)
class CaseRow:
    """A case as stored: *id* is its number in this log, *key* its owner's name for it, *body* the engine's JSON of it."""

    id: int
    uuid: str
    module: str
    key: str
    state: str
    body: bytes


@dataclass(frozen=True, slots=True)
class ResourceRow:
    """One suspect in the resource cache: *target* identity, the *case*'s id, index *n* in its list, *state*, and the rest as JSON."""

    target: str
    case: int
    n: int
    state: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A module's state after the event numbered *cursor*, as the difference from its previous checkpoint.

    *put* and *drop* are keyed by (kind, key) with kind `serd`, `buffer`, `timer`, `stat` or `posted`. *boot* and *wall_offset_ns* (wall
    minus boot time) say on which timeline the times inside run. *failed* is why the module was set aside, or empty.
    """

    module: str
    cursor: int
    boot: str
    wall_offset_ns: int
    failed: str = ""
    put: Mapping[tuple[str, str], bytes] = field(default_factory=dict)
    drop: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """One unit of the log. *boot_ns* is the boot time of its events; the log gives each ereport and list event its seq.

    The poller fills *ereports*, *latched*, *baselines*, *forgotten* (targets whose baseline goes and whose latched bits stand no
    more, before new ones come; occurrences stay), *position* and *fabrics*; whoever writes registers fills *writes*; the engine
    the rest. *notes* are small texts of the daemon's own, by name; the latest stays.
    *evidence* pairs a case's id with the seq of an ereport that retention must keep; *released* are the ids of cases that need
    theirs no longer.
    """

    boot_ns: int
    ereports: tuple[Ereport, ...] = ()
    latched: tuple[Standing, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    forgotten: tuple[str, ...] = ()
    position: Position | None = None
    fabrics: tuple[FabricSnapshot, ...] = ()
    writes: tuple[RegisterWrite, ...] = ()
    lists: tuple[ListEvent, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()
    cases: tuple[CaseRow, ...] = ()
    resources: tuple[ResourceRow, ...] = ()
    evidence: tuple[tuple[int, int], ...] = ()
    released: tuple[int, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
