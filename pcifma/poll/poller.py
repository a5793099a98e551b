"""The poller: one look after another, for all sources at once.

    first look ── every declared register ──> snapshot
    fast tier  ── one 2-byte read a Function ─┐
    saturated  ── the registers behind it ────┼── changed? ──> snapshot ──> normalise ──> news? ──> ereports
    slow tier  ── the other watches ──────────┘

It reads, and never writes. It alone owns what was seen before (the latched set), and hands its changes over with the ereports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from pcifma.access.seam import Host, Machine
from pcifma.errors import PluginError
from pcifma.fabric.build import update as rebuilt
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.function import Function
from pcifma.plugin import boundary
from pcifma.plugin.watch import Evidence, Finding, Snapshot, Target, Watch
from pcifma.poll.absence import ASLEEP, REMEDIES, Sleepers, asleep
from pcifma.poll.counter import Ledger, restored
from pcifma.poll.ear import Ear, Heard, News, Whose, is_kept, sayers, shows, snapshots, timed
from pcifma.poll.fact import Facts
from pcifma.poll.latched import LatchedSet, Standing
from pcifma.poll.quota import Quota
from pcifma.poll.snapshot import answers, take
from pcifma.poll.subject import Moment, Seen
from pcifma.poll.target import Sourced, Watched, Watcher, unmet, watched
from pcifma.poll.triage import BatchReader, Triage, entries
from pcifma.regs.bdf import Bdf
from pcifma.regs.table import Location

if TYPE_CHECKING:
    from pcifma.event.ereport import Ereport
    from pcifma.poll.ereport import Maker

FAST_NS = 1_000_000_000
SLOW_NS = 30_000_000_000


class Look:
    """What one look gave. *evidence* goes with *ereports* that stand on a register bit: (uuid, evidence). *unread* by address.

    *latched* belongs into the same transaction as *ereports*; nothing may be written back to hardware before that is durable.
    """

    def __init__(self, when: Moment, fabric: Fabric) -> None:
        self.when, self.fabric = when, fabric
        self.ereports: list[Ereport] = []
        self.evidence: list[tuple[str, Evidence]] = []
        self.latched: tuple[Standing, ...] = ()
        self.unread: dict[str, str] = {}
        self.functions = 0
        self.reads = 0

    @property
    def read(self) -> int:
        """How many Functions were looked at whole."""
        return self.functions - len(self.unread)


class Poller:
    """Looks at *machine* for *plugins*. `look()` when `due_ns` (boot time) has come; `update()` when the fabric has changed.

    Without *polls* a Function is looked at when it is new, and when a record speaks of it. *once*: there will be one look and no
    other, so nothing is kept that the next would be compared with.
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
    ) -> None:
        self.machine, self.fabric = machine, fabric
        self.polls = polls
        self.latched = latched or LatchedSet(lambda: machine.boot)
        if maker is not None:
            self.maker = maker
        self._once = once
        self.fast_ns, self.slow_ns = fast_ns, slow_ns
        self._reader = reader
        self.ear = Ear(machine.host, streams)
        self.tick = tick
        self.due_ns = self.slow_due_ns = machine.clock.boot_ns()
        self._failures: list[tuple[str, BaseException]] = []
        self.watchers = [Watcher.of(plugin, self._set_aside) for plugin in plugins]
        self._occurrence: dict[tuple[str, str], int] = {}
        self._vanished: list[Watched] = []
        self._targets: list[Watched] = []
        self._last_look_ns: int | None = None
        self._last_slow_ns: int | None = None
        self._facts = Facts(machine.host)
        self._ledger = Ledger(slow_ns)
        self._plan()

    @cached_property
    def maker(self) -> Maker:
        """Makes the ereports; where there is none to make it is not even imported."""
        from pcifma.poll.ereport import Maker  # noqa: PLC0415

        return Maker(self.machine.name, self.machine.boot, self.fabric)

    def update(self, fabric: Fabric) -> None:
        """Take a new fabric: what is new gets a first look, what is gone is said to be gone, the rest goes on."""
        known = {(t.subject.identity, t.subject.target): t for t in self._targets}
        self.fabric = self.maker.fabric = fabric
        self._plan()
        for index, target in enumerate(self._targets):
            old = known.pop((target.subject.identity, target.subject.target), None)
            if old is not None:
                target.unread = old.unread
                self._note_missing(target)
            if old is not None and old.plan == target.plan:
                target.inherit(old)
                self._unlooked -= {index} if target.looked else set()
        self._vanished += [old for old in known.values() if old.subject.function is not None and not old.subject.function.unread]

    def load(self, plugin: Sourced) -> None:
        """Let one more source watch, from the next look on."""
        watcher = Watcher.of(plugin, self._set_aside)
        self.watchers.append(watcher)
        self.update(self.fabric)
        self._unlooked |= {i for i, target in enumerate(self._targets) if any(w is watcher for w in target.watchers())}

    def pace(self, fast_ns: int, slow_ns: int) -> None:
        """Look every *fast_ns* and *slow_ns* from now on; what is due later than that is due now."""
        now_ns = self.machine.clock.boot_ns()
        self.fast_ns, self.slow_ns = fast_ns, slow_ns
        self._ledger.pace(slow_ns)
        self.due_ns = min(self.due_ns, now_ns + fast_ns)
        self.slow_due_ns = min(self.slow_due_ns, now_ns + slow_ns)

    def unload(self, name: str) -> None:
        """Let the source *name* go; what it saw stays seen."""
        self.watchers = [watcher for watcher in self.watchers if watcher.plugin.name != name]
        self.update(self.fabric)

    def word(self, bdf: Bdf, location: Location) -> int | None:
        """The register as the Function's last snapshot has it, or None."""
        found = (t.before.word(location) for t in self._targets if t.before is not None and t.subject.target == Target.function(bdf))
        return next(found, None)

    def targets(self) -> Sequence[Watched]:
        """What is looked at, as it was seen last."""
        return self._targets

    def examine(self, bdf: Bdf, *, rebase: bool = False) -> None:
        """Look at the Function whole next time: its status was cleared. *rebase*: what is latched then is a new baseline, and no news."""
        for index in (i for i, target in enumerate(self._targets) if target.subject.target == Target.function(bdf)):
            self._unlooked.add(index)
            self._targets[index].rebased |= rebase

    def look(self) -> Look:
        """Look now: news since the last look, in the order of contract 1.1."""
        clock = self.machine.clock
        look = Look(Moment(self.tick, clock.wall_ns(), clock.boot_ns()), self.fabric)
        slow = look.when.boot_ns >= self.slow_due_ns
        self._facts.begin()
        self._quota.begin()
        self._look_again_at_unread(slow=slow)
        self._say_vanished(look)
        told = self.ear.listen(look.when.boot_ns) if self.ear.listens else {}
        self._targets += unmet(self._targets, self._everyone, told)
        for index in self._due(look, slow=slow, told=told):
            self._examine(index, look, told.get(self._targets[index].whose, ()) if told else ())
        look.fabric, look.functions, look.unread = self.fabric, len(self.fabric.functions), dict(self._missing)
        self._say_failures(look)
        look.latched = self.latched.take_changes()
        self._advance(look.when, slow=slow)
        return look

    # Which targets to examine.

    def _plan(self) -> None:
        claims = []
        for watcher in self.watchers:
            watches = watcher.guard.call(_declare, watcher.plugin, self.fabric, self.machine.host)
            claims.append((watcher, watches or []))
        every = watched(self.fabric, claims, listening=self.ear.listens)
        self._targets, self._everyone = [t for t in every if not t.stands_for_all], [t for t in every if t.stands_for_all]
        self._quota = Quota(len(self.fabric.functions))
        self._sleepers = Sleepers(self.machine.host, self.fabric)
        self._unseen = [f for f in self.fabric if f.unread in (ASLEEP, "busy", "gone")]
        self._unlooked = set(range(len(self._targets)))
        self._holding = [i for i, t in enumerate(self._targets) if t.plan.holding]
        self._with_facts = [i for i, t in enumerate(self._targets) if t.plan.triggers]
        self._missing = {str(f.bdf): f.unread for f in self.fabric if f.unread}
        self._asleep: set[int] = set()
        self._triage: dict[str, Triage] = {}

    def _due(self, look: Look, *, slow: bool, told: Mapping[Whose, object]) -> list[int]:
        found = self._sort_sleepers(look, slow=slow) | self._unlooked
        if told:
            found |= {i for i, target in enumerate(self._targets) if target.whose in told}
        if len(found) == len(self._targets):
            return sorted(found - self._asleep)  # a first look: nothing to compare with
        if not self.polls:
            return sorted(found - self._asleep)
        found.update(i for i in self._holding if self._targets[i].ripens(look.when.boot_ns))
        for tier in ("fast", "saturated", "slow") if slow else ("fast", "saturated"):
            found.update(self._tier(tier).changed())
            look.reads += len(self._tier(tier))
        if slow:
            found.update(i for i in self._with_facts if self._facts_changed(self._targets[i]))
        return sorted(found - self._asleep)

    def _tier(self, tier: str) -> Triage:
        if tier not in self._triage:
            self._triage[tier] = Triage(entries(self.machine, self._targets, _SELECT[tier], self._asleep), self._targets, self._reader)
        return self._triage[tier]

    def _sort_sleepers(self, look: Look, *, slow: bool) -> set[int]:
        # Facts say who sleeps; nobody is touched to find out. Returns who has woken.
        sleeping = self._sleepers.now(slow=slow)
        before = self._asleep
        targets = enumerate(self._targets) if sleeping else ()
        self._asleep = {i for i, t in targets if t.subject.function is not None and t.subject.function.bdf in sleeping}
        if self._asleep != before:
            self._triage.clear()
        for i in sorted(self._asleep):
            self._mark_unread(self._targets[i], ASLEEP, look)
        return before - self._asleep

    def _look_again_at_unread(self, *, slow: bool) -> None:
        # What the fabric could not see when it was built (asleep, not ready, gone) is built again once that has changed.
        again = [f.bdf for f in self._unseen if self._may_answer_now(f, slow=slow)]
        if again:
            fabric = rebuilt(self.machine, self.fabric, again)
            if any(fabric[bdf].unread != self.fabric[bdf].unread for bdf in again):
                self.update(fabric)

    def _may_answer_now(self, function: Function, *, slow: bool) -> bool:
        if function.unread == ASLEEP:
            return not asleep(self.machine.host, self.fabric, function)
        return function.unread == "busy" or answers(self.machine, function.bdf) or (slow and self.tick > 0)

    # One target.

    def _examine(self, index: int, look: Look, told: Sequence[Heard] = ()) -> None:
        target = self._targets[index]
        got = take(self.machine, target.subject.target, target.plan)
        look.reads += got.reads
        self._unlooked.discard(index)
        if got.unread:
            target.looked = True
            self._mark_unread(target, self._absent(target, got.unread), look)
            if told := self.ear.hold(told):  # the kernel knows more of what is gone than can be read
                self._settle(target, Snapshot(target.subject.target, look.when.tick, look.when.boot_ns, {}), look, told)
            return
        if got.short or (target.subject.function is not None and target.subject.function.unread == "short"):
            self._mark_unread(target, "short", look)
        elif self._missing:
            target.unread = ""
            self._note_missing(target)
        if self._once and not told and got.silent(target.plan):
            return
        held = target.hold(got.words, look.when.boot_ns)
        facts = self._facts.of(target.subject, target.plan.facts)
        now = Snapshot(target.subject.target, look.when.tick, look.when.boot_ns, got.words, facts, held, frozenset(got.torn))
        self._settle(target, now, look, told)
        if not self._once:
            self._remember(index, now, look)

    def _settle(self, target: Watched, now: Snapshot, look: Look, told: Sequence[Heard] = ()) -> None:
        # What is news becomes ereports; what stood and was seen clear leaves the latched set.
        identity = target.subject.identity
        told = self.ear.renewed(identity, now, told, self.latched.standing(identity)) if told else told
        shown = snapshots(now, told)
        present: set[tuple[str, int]] = set()
        news: dict[tuple[str, int], News] = {}
        records: list[News] = []
        counters: set[tuple[str, int]] = set()
        uncleared: set[str] = set()
        before = target.before or self._remembered(target, look.when)
        for snapshot, finding, plugin in self._sightings(target, shown, before):
            key = (str(finding.evidence.location), finding.evidence.bit)
            counters |= {key} if target.plan.counting and target.counts(finding.evidence.location) else set()
            saying = sayers(snapshot, finding.evidence, told)
            read = not saying or shows(now, finding.evidence)
            present |= {key} if read else set()
            stands = key not in counters and self.latched.stands(identity, *key)
            uncleared |= {finding.class_} if read and is_kept(finding.evidence.location) else set()
            one = self.ear.news(identity, finding, plugin, saying, read=read, stands=stands)
            if one is not None and snapshot.record is not None:
                records.append(one)
            elif one is not None:
                news.setdefault(key, one)
        self._let_fall(identity, now, present)
        if target.plan.counting:
            first = self._seen(target, look.when, fast=False).first_look
            self._ledger.settle(identity, news, counters, now_ns=now.time_ns, first=first, uncleared=uncleared)
        granted: list[News] = []
        for one in [*(news[key] for key in sorted(news, key=lambda k: self._place(target, news[k].finding))), *records]:
            if self._grants(target, one, len(granted)):
                granted.append(one)
        if granted:
            self._publish(target, shown[0], granted, look, blind=not now.words)

    def _grants(self, target: Watched, one: News, before: int) -> bool:
        rows, new = self.latched.rows(target.subject.identity, str(one.finding.evidence.location), one.finding.evidence.bit)
        excess = self._quota.excess(one.plugin, rows + before, new=new)
        for watcher in target.watchers() if excess else ():
            if watcher.plugin.name == one.plugin:
                watcher.guard.dropped += 1
                watcher.guard.set_aside(PluginError(excess))
        return not excess

    def _sightings(self, target: Watched, shown: Sequence[Snapshot], before: Snapshot | None) -> Iterator[tuple[Snapshot, Finding, str]]:
        for snapshot in shown:
            for watcher in target.speakers(snapshot):
                for finding in watcher.guard.call(_normalise, watcher.plugin, snapshot, before) or ():
                    yield snapshot, finding, watcher.plugin.name

    def _remembered(self, target: Watched, when: Moment) -> Snapshot | None:
        # Counters go on where the last run of this boot left them; those of an earlier boot began again.
        baseline = self.latched.baseline(target.subject.identity)
        if baseline is None or baseline.boot != self.latched.boot or not baseline.words:
            return None
        left_ns = when.boot_ns - max(0, when.wall_ns - baseline.last_look_ns)
        return restored(baseline, target.subject.target, tick=when.tick, time_ns=left_ns)

    def _let_fall(self, identity: str, now: Snapshot, present: set[tuple[str, int]]) -> None:
        standing = self.latched.standing(identity)
        read = {str(location) for _, location in now.words} | set(now.facts) if standing else set()
        for row in standing:
            if row.register in read and (row.register, row.bit) not in present:
                self.latched.fall(row)

    def _publish(self, target: Watched, now: Snapshot, news: Sequence[News], look: Look, *, blind: bool) -> None:
        from pcifma.poll.ereport import described  # noqa: PLC0415 - as for maker

        subject, maker = target.subject, self.maker
        if subject.function is not None:
            look.ereports.append(maker.snapshot_of(subject, now.words, self._seen(target, look.when, fast=True)))
        for one in news:
            evidence = one.finding.evidence
            occurrence = self.latched.rise(subject.identity, str(evidence.location), evidence.bit, look.when.wall_ns)
            word = None if isinstance(evidence.location, str) else now.word(evidence.location, evidence.target)
            seen = self._seen(target, look.when, fast=target.is_fast(evidence.location))
            if not one.read:  # a record is no latch that was found set: nothing about it is a first look
                seen = Seen(look.when, self._last_look_ns, False)
            finding = target.told(described(one.finding, word))
            event = maker.ereport(finding, subject, seen, occurrence=occurrence, plugin=one.plugin, sources=one.sources)
            look.ereports.append(timed(event, one, look.when) if one.heard else event)
            if one.read:
                look.evidence.append((event.uuid, evidence))
                if not one.heard:
                    self.ear.expect(subject.identity, one.finding, look.when.boot_ns)
            elif not blind or isinstance(evidence.location, str):  # else the bit may be set still, and is no news when it shows
                self.latched.drop(subject.identity, str(evidence.location), evidence.bit)
        maker.snapshot += 1

    def _remember(self, index: int, now: Snapshot, look: Look) -> None:
        target = self._targets[index]
        saturated = target.is_saturated()
        target.before, target.looked, target.whole_ns, target.left_ns, target.rebased = now, True, look.when.wall_ns, None, False
        for triage in self._triage.values():
            triage.note(index, target)
        if target.is_saturated() != saturated:
            self._triage.pop("saturated", None)
        self.latched.looked(target.subject.identity, look.when.wall_ns, target.counters(now))

    def _seen(self, target: Watched, when: Moment, *, fast: bool) -> Seen:
        identity = target.subject.identity
        if target.whole_ns is None:
            baseline = self.latched.baseline(identity)
            return Seen(when, baseline.last_look_ns if baseline else None, target.rebased or not self.latched.seen_this_boot(identity))
        last = self._last_look_ns if fast else self._last_slow_ns
        return Seen(when, target.left_ns or max(target.whole_ns, last or 0), target.rebased)

    def _place(self, target: Watched, finding: Finding) -> tuple[int, str, int]:
        location, function = finding.evidence.location, target.subject.function
        if isinstance(location, str) or function is None:
            return (1 << 16, str(location), finding.evidence.bit)
        return ((function.offset_of(location.capability, location.number) or 0) + location.offset, "", finding.evidence.bit)

    def _facts_changed(self, target: Watched) -> bool:
        before = target.before
        now = self._facts.of(target.subject, target.plan.triggers) if before is not None else {}
        return before is not None and any(content != before.facts.get(path) for path, content in now.items())

    def _absent(self, target: Watched, reason: str) -> str:
        function = target.subject.function
        if reason == "gone" and function is not None and asleep(self.machine.host, self.fabric, function):
            return ASLEEP
        return reason

    # What could not be looked at, and who failed.

    def _mark_unread(self, target: Watched, reason: str, look: Look) -> None:
        if target.unread == reason:
            return
        target.unread, target.left_ns = reason, self._last_look_ns
        self._note_missing(target)
        key = (target.subject.identity, reason)
        occurrence = self._occurrence[key] = self._occurrence.get(key, -1) + 1
        seen = Seen(look.when, target.left_ns, not target.looked)
        look.ereports.append(self.maker.unread(target.subject, reason, REMEDIES[reason], seen, occurrence=occurrence))
        self.maker.snapshot += 1

    def _note_missing(self, target: Watched) -> None:
        function = target.subject.function
        if function is None or function.bdf not in self.fabric.functions:
            return
        if target.unread:
            self._missing[str(function.bdf)] = target.unread
        else:
            self._missing.pop(str(function.bdf), None)

    def _say_vanished(self, look: Look) -> None:
        for target in self._vanished:
            self._mark_unread(target, "gone", look)
        self._vanished.clear()

    def _set_aside(self, name: str, error: BaseException) -> None:
        self._failures.append((name, error))

    def _say_failures(self, look: Look) -> None:
        look.ereports += [self.maker.module(name, error, look.when) for name, error in self._failures]
        self._failures.clear()

    def _advance(self, when: Moment, *, slow: bool) -> None:
        self.tick += 1
        self._last_look_ns = when.wall_ns
        if slow:
            self._last_slow_ns = when.wall_ns
            self.slow_due_ns = when.boot_ns + self.slow_ns
        self.due_ns = when.boot_ns + self.fast_ns


def _declare(plugin: Sourced, fabric: Fabric, host: Host) -> list[Watch]:
    given = plugin.source.watches(fabric, host)
    # Built-in sources declare thousands of watches: tests hold theirs to the boundary, since looking at each takes longer than the look.
    return list(given) if getattr(plugin, "origin", "") == "built-in" else boundary.watches(given)


def _normalise(plugin: Sourced, now: Snapshot, before: Snapshot | None) -> list[Finding]:
    return boundary.findings(plugin.source.normalise(now, before))


# Which watches a tier's triage reads.
_SELECT: dict[str, Callable[[Watched, Watch], bool]] = {
    "fast": lambda target, watch: watch.tier == "fast" and watch.behind is None,
    "saturated": lambda target, watch: watch.tier == "fast" and target.saturated(watch),
    "slow": lambda target, watch: watch.tier == "slow" or (watch.tier == "fast" and watch.behind is not None),
}
