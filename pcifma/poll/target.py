"""What poll remembers of one target between looks: its watches, its plan, the words last seen, since when they stand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pcifma.fabric import fmri
from pcifma.fabric.fabric import Fabric
from pcifma.plugin.guard import Guard
from pcifma.plugin.manifest import Manifest
from pcifma.plugin.watch import Finding, Snapshot, Target, Watch
from pcifma.poll.counter import counted
from pcifma.poll.snapshot import Plan, Planner, is_held
from pcifma.poll.subject import Subject
from pcifma.regs.bdf import Bdf
from pcifma.regs.table import Location

if TYPE_CHECKING:
    from pcifma.plugin.module import Source


class Sourced(Protocol):
    """What the poller needs of a source plugin, in this process or in one of its own."""

    @property
    def name(self) -> str:
        """The manifest's name."""

    @property
    def source(self) -> Source:
        """The two functions."""


class Watcher(NamedTuple):
    """A source plugin and the guard around it. *bits_only* as in its manifest."""

    plugin: Sourced
    guard: Guard
    bits_only: bool = False

    @classmethod
    def of(cls, plugin: Sourced, report: Callable[[str, BaseException], None]) -> Watcher:
        """*plugin* with a guard that reports what it raises."""
        manifest = getattr(plugin, "manifest", None)
        return cls(plugin, Guard(plugin.name, report), isinstance(manifest, Manifest) and manifest.bits_only)


class Watched:
    """One target, its watches and its plan. *since*: boot time (ns) at which a held watch became true, *ripe* when it was last looked
    at for that. *unread*: why it was not read last time, and then *left_ns*, the wall time of the last look that read it. *whole_ns*:
    wall time of its last snapshot. *rebased*: the next one is a new baseline. *heard*: its counters when a record spoke of it and it
    had not been read yet.
    """

    __slots__ = ("before", "heard", "left_ns", "looked", "plan", "rebased", "ripe", "since", "subject", "unread", "watches", "whole_ns")

    def __init__(self, subject: Subject, watches: list[tuple[Watcher, Watch]], plan: Plan) -> None:
        self.subject, self.watches, self.plan = subject, watches, plan
        self.before: Snapshot | None = None
        self.heard: Snapshot | None = None
        self.since: dict[Location, int] = {}
        self.ripe: dict[Location, int] = {}
        self.unread = ""
        self.left_ns: int | None = None
        self.whole_ns: int | None = None
        self.looked = False
        self.rebased = False

    @property
    def whose(self) -> Bdf | Target | None:
        """How the ear calls it: the host is the streams' own."""
        target = self.subject.target
        return target.bdf if target.kind == "function" else None if target.kind == "host" else target

    @property
    def stands_for_all(self) -> bool:
        """True for a target that is none itself: it says who watches those that records speak of."""
        return self.subject.target.name == ANY

    def of(self, target: Target) -> Watched:
        """What *target*, of which a record speaks, is watched for by those who watch all of its kind."""
        return Watched(Subject(target, str(target), None), self.watches, Plan())

    def inherit(self, old: Watched) -> None:
        """Go on from *old*, the same target in the fabric before."""
        self.before, self.since, self.ripe = old.before, old.since, old.ripe
        self.unread, self.left_ns, self.whole_ns, self.looked = old.unread, old.left_ns, old.whole_ns, old.looked
        self.rebased, self.heard = old.rebased, old.heard

    def told(self, finding: Finding) -> Finding:
        """*finding* as it is published: after a repair it is part of the new baseline, and no error that came since."""
        if not self.rebased:
            return finding
        return finding._replace(severity="info", payload={**finding.payload, "baseline": "repair"})

    def watchers(self) -> list[Watcher]:
        """The sources that watch this target, each once, in order."""
        return list({id(w): w for w, _ in self.watches}.values())

    def speakers(self, now: Snapshot) -> list[Watcher]:
        """Those of them that have something to say of *now*: one of their bits is set, or more than a bit tells."""
        return list({id(w): w for w, watch in self.watches if not w.bits_only or _speaks(watch, now)}.values())

    def is_fast(self, location: Location | str) -> bool:
        """True if the fast tier would have seen a bit of *location* rise."""
        return any(w.location == location and w.tier == "fast" for _, w in self.watches)

    def saturated(self, watch: Watch) -> bool:
        """True while the bits of the register that *watch* stands behind are set."""
        if watch.behind is None or self.before is None:
            return False
        front = next((w for _, w in self.watches if w.location == watch.behind), None)
        word = self.before.word(watch.behind)
        return front is not None and word is not None and bool(word & front.mask)

    def is_saturated(self) -> bool:
        """True if any watch is."""
        return any(self.saturated(watch) for _, watch in self.watches)

    def hold(self, words: Mapping[tuple[Target, Location], int], now_ns: int) -> dict[Location, float]:
        """Update since when each held watch is true; for how long each has been, in seconds."""
        for _, watch in self.watches:
            if is_held(watch) and watch.location is not None:
                if _is_true(watch, words.get((self.subject.target, watch.location))):
                    self.since.setdefault(watch.location, now_ns)
                else:
                    self.since.pop(watch.location, None)
                    self.ripe.pop(watch.location, None)
        return {location: (now_ns - since) / 1e9 for location, since in self.since.items()}

    def ripens(self, now_ns: int) -> bool:
        """True when a held watch has been true for its hold time, and again after each further one."""
        if not self.since:
            return False
        held = ((w.location, w.hold) for _, w in self.watches if is_held(w) and w.location is not None)
        new = [at for at, hold in held if at in self.since and now_ns - self.ripe.get(at, self.since[at]) >= hold * 1e9]
        self.ripe |= dict.fromkeys(new, now_ns)
        return bool(new)

    def counting(self) -> tuple[str, ...]:
        """The facts that are counters."""
        return tuple(dict.fromkeys(path for _, watch in self.watches if watch.when == "count" for path in watch.facts))

    def counts(self, location: Location | str) -> bool:
        """True if *location*, a register or a fact, is a counter."""
        return any(w.when == "count" and (w.location == location or location in w.facts) for _, w in self.watches)

    def counters(self, now: Snapshot) -> list[tuple[str, int]]:
        """The words of `count` and `change` watches and the numbers of `count` facts, which a restart must remember."""
        found: list[tuple[str, int]] = []
        for _, watch in self.watches:
            if watch.when in ("count", "change"):
                word = None if watch.location is None else now.word(watch.location)
                found += [] if word is None else [(str(watch.location), word)]
                found += counted(now.facts, watch.facts) if watch.when == "count" else []
        return found


ANY = "*"
"""The name of a target that stands for every one of its kind that a record speaks of."""


def _speaks(watch: Watch, now: Snapshot) -> bool:
    if now.record is not None or watch.when != "set" or watch.location is None:
        return True
    return bool((now.word(watch.location) or 0) & watch.mask)


def _is_true(watch: Watch, word: int | None) -> bool:
    return word is not None and bool((~word if watch.when == "clear" else word) & watch.mask)


def watched(fabric: Fabric, claims: Sequence[tuple[Watcher, Sequence[Watch]]], *, listening: bool) -> list[Watched]:
    """Bring together what all sources declare, target by target: Functions in address order, then others by name. Watches of records
    count where anybody is *listening*.
    """
    by_target: dict[Target, list[tuple[Watcher, Watch]]] = {}
    for watcher, watches in claims:
        for watch in watches:
            if listening or watch.tier != "event":
                by_target.setdefault(watch.target, []).append((watcher, watch))
    planner = Planner(fabric)
    there = sorted((target for target in by_target if _exists(fabric, target)), key=_order)
    return [_watched(fabric, planner, target, by_target[target]) for target in there]


def _exists(fabric: Fabric, target: Target) -> bool:
    return target.kind != "function" or target.bdf in fabric.functions


def unmet(known: Iterable[Watched], everyone: Sequence[Watched], told: Iterable[object]) -> list[Watched]:
    """Whom records speak of and nobody has named: watched as all of their kind are. *told* has whom they speak of."""
    names = {target.whose for target in known} if told else set()
    strange = (whose for whose in told if isinstance(whose, Target) and whose not in names)
    return [found for whose in strange for found in _like(everyone, whose)]


def _like(everyone: Sequence[Watched], target: Target) -> list[Watched]:
    return [of_all.of(target) for of_all in everyone if of_all.subject.target.kind == target.kind][:1]


def _order(target: Target) -> tuple[int, object]:
    return (0, target.bdf) if target.kind == "function" else (1, (target.kind, target.name))


def _watched(fabric: Fabric, planner: Planner, target: Target, watches: list[tuple[Watcher, Watch]]) -> Watched:
    function = fabric.get(target.bdf) if target.kind == "function" else None
    identity = partial(fmri.identity, fabric, function) if function is not None else str(target)
    return Watched(Subject(target, identity, function), watches, planner.plan(target, watches))
