"""What a source plugin declares: targets, watches, what else to read, and what it makes of a snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

from pcifma.access.seam import Record
from pcifma.event.value import PayloadValue, Severity
from pcifma.regs.bdf import Bdf
from pcifma.regs.table import Location

When = Literal["set", "clear", "change", "count", "stays"]
Tier = Literal["fast", "slow", "event"]
TargetKind = Literal["function", "cpu", "domain", "host"]


class Target(NamedTuple):
    """What is looked at: a Function (by address), a physical CPU, a guest domain, or the host itself. The name `*` of a CPU or domain
    stands for every one that a record speaks of.
    """

    kind: TargetKind
    name: str

    @staticmethod
    def function(bdf: Bdf) -> Target:
        """The Function at *bdf*."""
        return _function(bdf)

    @property
    def bdf(self) -> Bdf:
        """The address of a Function target; ValueError for another kind."""
        return _address(self.name)

    def __str__(self) -> str:
        return self.name if self.kind in ("function", "host") else f"{self.kind}{self.name}"


HOST = Target("host", "host")
_KNOWN_TARGETS = 8192  # more Functions than most machines have: every source names each of them


@lru_cache(maxsize=_KNOWN_TARGETS)
def _function(bdf: Bdf) -> Target:
    return Target("function", str(bdf))


@lru_cache(maxsize=_KNOWN_TARGETS)
def _address(name: str) -> Bdf:
    return Bdf.parse(name)


# What is not said, shared by all that do not say it.
_NO_FACTS: Mapping[str, bytes | None] = {}
_NONE_HELD: Mapping[Location, float] = {}
_NO_PAYLOAD: Mapping[str, PayloadValue] = {}


class Read(NamedTuple):
    """One register to read for a snapshot, at the watch's own target or another. *again*: read once more after all the
    others; where the two differ the snapshot says so (`Snapshot.torn`), since then the details belong to a later error.
    """

    location: Location
    target: Target | None = None
    again: bool = False


class Watch(NamedTuple):
    """A register (or host fact) whose state means trouble.

    *mask* selects bits of *location*. *when*: `set` (a masked bit is 1), `clear` (is 0, with *hold*: for that many seconds),
    `change` (differs from before), `count` (a counter), `stays` (set at every look for *hold* seconds). *reads*, in their order,
    make the snapshot that normalise is given. *facts* are Host paths that go with it: files, the names in a directory (a path that
    ends in `/`, a line each), the text of a link (that ends in `@`); `{sysfs}` stands for the target's sysfs directory. A watch
    without *location* looks at its *facts* in the slow tier, and a change makes a snapshot. What is found on the location or a fact
    of a `count` watch is news each time, with its `count`; the numbers outlive a restart. *behind* names a register of the same
    target, itself watched in the fast tier, whose masked bits rise whenever this one's do: this one is then read only on a first
    look, in the slow tier, and while those bits stand (the Function is *saturated*).
    """

    target: Target
    location: Location | None = None
    mask: int = 0xFFFFFFFF
    when: When = "set"
    hold: float = 0.0
    tier: Tier = "slow"
    behind: Location | None = None
    reads: tuple[Read, ...] = ()
    facts: tuple[str, ...] = ()


class Snapshot(NamedTuple):
    """One target's registers and facts, as read together. Raw words; what could not be read is missing.

    *words* is keyed by (target, location). *held_s* says for how many seconds each watch with *hold* has been true, by its
    location. *record* is set where a listener's record, not a look, made this snapshot. *time_ns* is boot time.
    """

    target: Target
    tick: int
    time_ns: int
    words: Mapping[tuple[Target, Location], int]
    facts: Mapping[str, bytes | None] = _NO_FACTS
    held_s: Mapping[Location, float] = _NONE_HELD
    torn: frozenset[Location] = frozenset()
    record: Record | None = None

    def word(self, location: Location, target: Target | None = None) -> int | None:
        """The raw word at *location* of *target* (default: the snapshot's own), or None if it was not read."""
        return self.words.get((target or self.target, location))


class Evidence(NamedTuple):
    """The bit that an ereport stands on. *location* is a register, or a fact's path where no register is. A condition that
    is no single bit takes a number of the plugin's choice, documented in docs/events.
    """

    target: Target
    location: Location | str
    bit: int


class Finding(NamedTuple):
    """What a plugin says of one set bit. The core makes the ereport of it: uuid, ENA, time, interval, trust.

    A plugin reports every bit that is set in the snapshot, each time; the core knows which are news.
    *class_* starts with `ereport.`. The core writes back, where that is allowed, the bit of *evidence* and no other.
    """

    class_: str
    evidence: Evidence
    severity: Severity
    payload: Mapping[str, PayloadValue] = _NO_PAYLOAD
    residue: bool = False
    count: int = 1  # type: ignore[assignment] # hides tuple's own
