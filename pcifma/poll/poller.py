"""The poller: one look after another, for all sources at once.

    first look ── every declared register ──> snapshot
    fast tier  ── one 2-byte read a Function ─┐
    saturated  ── the registers behind it ────┼── changed? ──> snapshot ──> normalise ──> news? ──> ereports
    slow tier  ── the other watches ──────────┘

Where everything changes at once, a look is taken in parts, one a call: they have one tick, and one look before them.
It reads, and never writes. It alone owns what was seen before (the latched set), and hands its changes over with the ereports. Who is
due is the rota's, what is news the settlement's, who could not be read `Unread`'s.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from pcifma.access.seam import Host, Machine
from pcifma.fabric.build import update as rebuilt
from pcifma.fabric.fabric import Fabric
from pcifma.plugin import boundary
from pcifma.plugin.watch import Snapshot, Target, Watch
from pcifma.poll.absence import ASLEEP
from pcifma.poll.counter import Ledger
from pcifma.poll.ear import Ear, Heard, Whose
from pcifma.poll.fact import Facts
from pcifma.poll.latched import LatchedSet
from pcifma.poll.look import Look
from pcifma.poll.rota import FAST, SLOW, Rota
from pcifma.poll.settlement import Settlement
from pcifma.poll.snapshot import take
from pcifma.poll.subject import Moment, Past
from pcifma.poll.target import Sourced, Watched, Watcher, watched
from pcifma.poll.triage import BatchReader
from pcifma.poll.unread import Unread
from pcifma.regs.bdf import Bdf
from pcifma.regs.table import Location

if TYPE_CHECKING:
    from pcifma.poll.ereport import Maker

class _Begun(NamedTuple):
    # A look that was begun: who is due, and the records that speak of some of them.
    when: Moment
    slow: bool
    due: Sequence[int]
    told: Mapping[Whose, Sequence[Heard]]


FAST_NS = 1_000_000_000
SLOW_NS = 30_000_000_000


class Poller:
    """Looks at *machine* for *plugins*. `look()` when `due_ns` (boot time) has come; `update()` when the fabric has changed.

    Without *polls* a Function is looked at when it is new, and when a record speaks of it. *once*: there will be one look and no
    other, so nothing is kept that the next would be compared with. *span_s*: so much processor time may one call take (and one target
    more); what is left then is for the next call.
    """

    def __init__(
        self,
        machine: Machine,
        fabric: Fabric,
        plugins: Sequence[Sourced],
        *,
        latched: LatchedSet | None = None,
        maker: Maker | None = None,
        tick: int = 0,
        reader: BatchReader | None = None,
        streams: Sequence[str] = (),
        fast_ns: int = FAST_NS,
        slow_ns: int = SLOW_NS,
        polls: bool = True,
        once: bool = False,
        span_s: float = math.inf,
    ) -> None:
        self.machine, self.fabric = machine, fabric
        self.polls = polls
        self.latched = latched or LatchedSet(lambda: machine.boot)
        if maker is not None:
            self.maker = maker
        self._once, self._span_s = once, span_s
        self._begun: _Begun | None = None
        self.fast_ns, self.slow_ns = fast_ns, slow_ns
        self._reader = reader
        self.tick = tick
        self.due_ns = self.slow_due_ns = machine.clock.boot_ns()
        self._failures: list[tuple[str, BaseException]] = []
        self.watchers = [Watcher.of(plugin, self._set_aside) for plugin in plugins]
        self._past = Past()
        self._ear = Ear(machine.host, streams)
        self._facts = Facts(machine.host)
        self._ledger = Ledger(slow_ns)
        self._unread = Unread(machine, lambda: self.maker, self._past)
        self._settlement = Settlement(self.latched, self._ear, self._ledger, maker=lambda: self.maker, past=self._past)
        self._plan()

    @cached_property
    def maker(self) -> Maker:
        """Makes the ereports; where there is none to make it is not even imported."""
        from pcifma.poll.ereport import Maker  # noqa: PLC0415

        return Maker(self.machine.name, self.machine.boot, self.fabric)

    def update(self, fabric: Fabric) -> None:
        """Take a new fabric: what is new gets a first look, what is gone is said to be gone, the rest goes on."""
        if self._begun is not None:  # what is left of it is found changed by the next look, and its records come again with it
            left = {self._rota.targets[index].whose for index in self._begun.due}
            self._ear.give_back({whose: told for whose, told in self._begun.told.items() if whose in left})
            self._advance(self._begun.when, slow=self._begun.slow)
        known = {(t.subject.identity, t.subject.target): t for t in self._rota.targets}
        self.fabric = self.maker.fabric = fabric
        self._plan()
        for index, target in enumerate(self._rota.targets):
            old = known.pop((target.subject.identity, target.subject.target), None)
            if old is not None:
                target.unread = old.unread
                target.heard = old.heard
                self._unread.note(target)
            if old is not None and old.plan == target.plan:
                target.inherit(old)
                if target.looked and not target.unread:  # else it may be back as it was, and that is no change of a register
                    self._rota.done(index)
        for old in known.values():
            self._unread.vanish(old)

    def load(self, plugin: Sourced) -> None:
        """Let one more source watch, from the next look on."""
        watcher = Watcher.of(plugin, self._set_aside)
        self.watchers.append(watcher)
        self.update(self.fabric)
        self._rota.ask_for(watcher)

    def unload(self, name: str) -> None:
        """Let the source *name* go; what it saw stays seen."""
        self.watchers = [watcher for watcher in self.watchers if watcher.plugin.name != name]
        self.update(self.fabric)

    def pace(self, fast_ns: int, slow_ns: int) -> None:
        """Look every *fast_ns* and *slow_ns* from now on; what is due later than that is due now."""
        now_ns = self.machine.clock.boot_ns()
        self.fast_ns, self.slow_ns = fast_ns, slow_ns
        self._ledger.pace(slow_ns)
        self.due_ns = min(self.due_ns, now_ns + fast_ns)
        self.slow_due_ns = min(self.slow_due_ns, now_ns + slow_ns)

    def word(self, bdf: Bdf, location: Location) -> int | None:
        """The register as the Function's last snapshot has it, or None."""
        found = (t.before.word(location) for t in self.targets() if t.before is not None and t.subject.target == Target.function(bdf))
        return next(found, None)

    def targets(self) -> Sequence[Watched]:
        """What is looked at, as it was seen last."""
        return self._rota.targets

    def examine(self, bdf: Bdf, *, rebase: bool = False) -> None:
        """Look at the Function whole next time: its status was cleared. *rebase*: what is latched then is a new baseline, and no news."""
        for target in self._rota.ask(Target.function(bdf)):
            target.rebased |= rebase

    def look(self) -> Look:
        """Look now, or go on with the look that was begun: news since the last look, in the order of contract 1.1."""
        clock = self.machine.clock
        look = Look(Moment(self.tick, clock.wall_ns(), clock.boot_ns()), self.fabric)
        self._facts.begin()
        begun = self._begun or self._begin(look)
        left = self._examine_some(look, begun)
        look.fabric, look.functions, look.unread = self.fabric, len(self.fabric.functions), dict(self._unread.missing)
        self._say_failures(look)
        look.latched = self.latched.take_changes()
        if left:
            self._begun, look.whole, self.due_ns = begun._replace(due=left), False, look.when.boot_ns
        else:
            self._advance(begun.when, slow=begun.slow)
        return look

    def _begin(self, look: Look) -> _Begun:
        slow = look.when.boot_ns >= self.slow_due_ns
        self._settlement.begin()
        self._look_again_at_unread(slow=slow)
        self._unread.say_vanished(look)
        told = self._ear.listen(look.when.boot_ns) if self._ear.listens else {}
        self._rota.meet(told)
        return _Begun(look.when, slow, self._due(look, slow=slow, told=told), told)

    def _examine_some(self, look: Look, begun: _Begun) -> list[int]:
        # Who is left when the time is over. Whom somebody waits for is none of them.
        end_s, asked, told = time.thread_time() + self._span_s, self._rota.asked - self._rota.asleep, begun.told
        left: list[int] = []
        for index in sorted(asked.union(begun.due)) if self._begun is not None else begun.due:
            if index not in asked and look.examined and time.thread_time() >= end_s:
                left.append(index)
                continue
            look.examined += 1
            self._examine(index, look, told.get(self._rota.targets[index].whose, ()) if told else ())
        return left

    def _plan(self) -> None:
        claims = []
        for watcher in self.watchers:
            watches = watcher.guard.call(_declare, watcher.plugin, self.fabric, self.machine.host)
            claims.append((watcher, watches or []))
        every = watched(self.fabric, claims, listening=self._ear.listens)
        self._rota = Rota(self.machine, self.fabric, every, facts=self._facts, reader=self._reader)
        self._settlement.on(self.fabric)
        self._unread.on(self.fabric)

    def _look_again_at_unread(self, *, slow: bool) -> None:
        # What the fabric could not see when it was built (asleep, not ready, gone) is built again once that has changed.
        again = self._unread.answering(slow=slow and self.tick > 0)
        if again:
            fabric = rebuilt(self.machine, self.fabric, again)
            if any(fabric[bdf].unread != self.fabric[bdf].unread for bdf in again):
                self.update(fabric)

    def _due(self, look: Look, *, slow: bool, told: Mapping[Whose, object]) -> list[int]:
        rota = self._rota
        woken = rota.wake(slow=slow)
        for index in sorted(rota.asleep):
            self._unread.mark(rota.targets[index], ASLEEP, look)
        found = rota.named(woken, told)
        if self.polls and len(found) < len(rota.targets):  # else a first look: nothing to compare with
            changed, reads = rota.changed(look.when.boot_ns, SLOW if slow else FAST, facts=slow)
            found |= changed
            look.reads += reads
        return sorted(found - (rota.asleep - rota.spoken_of(told)))

    def _examine(self, index: int, look: Look, told: Sequence[Heard] = ()) -> None:
        target = self._rota.targets[index]
        if index in self._rota.asleep:
            self._hear(target, look, told)
            return
        # Counters first: an error that comes between is then seen before it is counted, and the ledger knows it again.
        counting = target.counting() if target.plan.counting and not self._once else ()
        facts = self._facts.of(target.subject, counting)
        got = take(self.machine, target.subject.target, target.plan)
        look.reads += got.reads
        self._rota.done(index)
        if got.unread:
            target.looked = True
            self._rota.forget(index)
            self._unread.mark(target, self._unread.reason(target, got.unread), look)
            self._hear(target, look, told)
            return
        if got.short or (target.subject.function is not None and target.subject.function.unread == "short"):
            self._unread.mark(target, "short", look)
        else:
            self._unread.answered(target)
        if self._once and not told and got.silent(target.plan):
            return
        held = target.hold(got.words, look.when.boot_ns)
        facts |= self._facts.of(target.subject, [path for path in target.plan.facts if path not in facts])
        now = Snapshot(target.subject.target, look.when.tick, look.when.boot_ns, got.words, facts, held, frozenset(got.torn))
        self._settlement.settle(target, now, look, told)
        if not self._once:
            self._remember(index, now, look)

    def _hear(self, target: Watched, look: Look, told: Sequence[Heard]) -> None:
        # The kernel knows more of what sleeps or is gone than can be read, and has counted what it tells.
        told = self._ear.hold(told)
        if not told:
            return
        facts = self._facts.of(target.subject, target.counting())
        now = Snapshot(target.subject.target, look.when.tick, look.when.boot_ns, {}, facts)
        self._settlement.settle(target, now, look, told)
        if target.before is not None:
            target.before = target.before._replace(facts={**target.before.facts, **facts})
        else:
            target.heard = now

    def _remember(self, index: int, now: Snapshot, look: Look) -> None:
        target = self._rota.targets[index]
        saturated = target.is_saturated()
        target.before, target.looked, target.whole_ns, target.left_ns, target.rebased = now, True, look.when.wall_ns, None, False
        self._rota.note(index, saturated=saturated)
        self.latched.looked(target.subject.identity, look.when.wall_ns, target.counters(now))

    def _set_aside(self, name: str, error: BaseException) -> None:
        self._failures.append((name, error))

    def _say_failures(self, look: Look) -> None:
        look.ereports += [self.maker.module(name, error, look.when) for name, error in self._failures]
        self._failures.clear()

    def _advance(self, when: Moment, *, slow: bool) -> None:
        self._begun = None
        self.tick += 1
        self._past.look_ns = when.wall_ns
        if slow:
            self._past.slow_ns = when.wall_ns
            self.slow_due_ns = when.boot_ns + self.slow_ns
        self.due_ns = when.boot_ns + self.fast_ns


def _declare(plugin: Sourced, fabric: Fabric, host: Host) -> list[Watch]:
    given = plugin.source.watches(fabric, host)
    # Built-in sources declare thousands of watches: tests hold theirs to the boundary, since looking at each takes longer than the look.
    return list(given) if getattr(plugin, "origin", "") == "built-in" else boundary.watches(given)
