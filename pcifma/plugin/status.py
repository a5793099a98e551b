"""What the daemon counts of itself, as a module sees it through Services.status(). Additive: a later version has more fields."""

from __future__ import annotations

from typing import Literal

import msgspec

from pcifma.event.case import Suspect
from pcifma.event.value import Severity

LOOK_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper bounds of the buckets of Looks.buckets, in seconds; one more bucket holds what took longer."""

CaseState = Literal["UNSOLVED", "SOLVED", "CLOSE_WAIT", "CLOSED", "REPAIRED", "RESOLVED"]


class Looks(msgspec.Struct, frozen=True, kw_only=True):
    """Looks since the daemon started. *last_ns*: wall time of the last completed one, None before the first.

    *buckets*: how many took no longer than each of LOOK_BOUNDS_S (not cumulative), then how many took longer; *spent_ns*: all
    together. *reads*, *writes*, *refused*: reads and writes of configuration space, and writes that were not made. *slow*: reads
    that took too long or did not come back, by address (a lower bound: not every single read is timed).
    """

    count: int = 0
    last_ns: int | None = None
    buckets: tuple[int, ...] = (0,) * (len(LOOK_BOUNDS_S) + 1)
    spent_ns: int = 0
    reads: int = 0
    writes: int = 0
    refused: int = 0
    slow: dict[str, int] = {}


class LogStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The log: ereports that were folded into others, errors of storage, and what keeps it from taking anything now (or empty)."""

    folded: int = 0
    errors: int = 0
    trouble: str = ""


class ModuleStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One module: why it was set aside (or empty), and the events that it was given and that it missed because of that."""

    name: str
    version: str
    failed: str = ""
    delivered: int = 0
    dropped: int = 0


class LatchedBit(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence that stands now: *register* is setpci's name or a fact's path. *residue*: healthy machines have it too."""

    device: str
    register: str
    bit: int
    class_: str
    severity: Severity
    masked: bool = False
    residue: bool = False


class CaseStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A published case that is not resolved. *opened_ns* is wall time; suspects come most certain first."""

    uuid: str
    code: str
    state: CaseState
    severity: str
    urgency: str
    opened_ns: int
    suspects: tuple[Suspect, ...]
    injected: bool = False


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon as it is now. *unread*: reason by address. *maintenance*: planned work goes on. *last_drill_ns*: wall time of the
    last drill that passed, None if none is known. Times in ns since 1970.
    """

    version: str
    started_ns: int = 0
    functions: int = 0
    unread: dict[str, str] = {}
    looks: Looks = Looks()
    log: LogStatus = LogStatus()
    modules: tuple[ModuleStatus, ...] = ()
    cases: tuple[CaseStatus, ...] = ()
    latched: tuple[LatchedBit, ...] = ()
    maintenance: bool = False
    last_drill_ns: int | None = None
