"""Settlement: what a snapshot shows, held against what was seen before, becomes the ereports of what is news.

    snapshot ─┐                                             ┌─ new, or counted ── within the quota? ──> ereports, the latched set
    records ──┴─> normalise, by each source ──> findings ───┼─ stood before ────> nothing
                                                            └─ no longer shown ─> falls
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from pcifma.errors import PluginError
from pcifma.fabric.fabric import Fabric
from pcifma.plugin import boundary
from pcifma.plugin.watch import Evidence, Finding, Snapshot
from pcifma.poll.counter import Ledger, restored
from pcifma.poll.ear import DEVICE_STATUS, KEPT, KEPT_REGISTER, Ear, Heard, News, is_kept, kept_classes, sayers, shows, snapshots, timed
from pcifma.poll.latched import LatchedSet
from pcifma.poll.look import Look
from pcifma.poll.quota import Quota
from pcifma.poll.subject import Moment, Past, Seen
from pcifma.poll.target import Sourced, Watched

if TYPE_CHECKING:
    from pcifma.poll.ereport import Maker

_LAST = 1 << 16  # after every register
_SHADOWS = range(4)  # Device Status bits that say that there was an error; bit 5, Transactions Pending, is news of its own


class Settlement:
    """Settles snapshots with the latched set, the ear's records and the counters' ledger."""

    def __init__(self, latched: LatchedSet, ear: Ear, ledger: Ledger, *, maker: Callable[[], Maker], past: Past) -> None:
        self._latched, self._ear, self._ledger = latched, ear, ledger
        self._maker, self._past = maker, past

    def on(self, fabric: Fabric) -> None:
        """Count bits anew: *fabric* has changed."""
        self._quota = Quota(len(fabric.functions))

    def begin(self) -> None:
        """A look begins."""
        self._quota.begin()

    def settle(self, target: Watched, now: Snapshot, look: Look, told: Sequence[Heard] = ()) -> None:
        """What is news of *now* becomes ereports of *look*; what stood and was seen clear leaves the latched set. *told* are the
        records that speak of *target*.
        """
        identity = target.subject.identity
        told = self._ear.renewed(identity, now, told, self._latched.standing(identity)) if told else told
        shown = snapshots(now, told)
        present: set[tuple[str, int]] = set()
        news: dict[tuple[str, int], News] = {}
        records: list[News] = []
        counters: set[tuple[str, int]] = set()
        uncleared = kept_classes(self._latched.standing(identity)) if target.plan.counting else set()
        before = target.before or target.heard or self._remembered(target, look.when)
        for snapshot, finding, plugin in _sightings(target, shown, before):
            key = (str(finding.evidence.location), finding.evidence.bit)
            counters |= {key} if target.plan.counting and target.counts(finding.evidence.location) else set()
            saying = sayers(snapshot, finding.evidence, told)
            read = not saying or shows(now, finding.evidence)
            present |= {key} if read else set()
            stands = key not in counters and (self._latched.stands(identity, *key) or _was_shadow(target.before, finding.evidence))
            uncleared |= {finding.class_} if read and is_kept(finding.evidence.location) else set()
            one = self._ear.news(identity, finding, plugin, saying, read=read, stands=stands)
            if one is not None and snapshot.record is not None:
                records.append(one)
            elif one is not None:
                news.setdefault(key, one)
        self._let_fall(identity, now, present)
        if target.plan.counting:
            first = self._seen(target, look.when, fast=False).first_look
            self._ledger.settle(identity, news, counters, now_ns=now.time_ns, first=first, uncleared=uncleared)
        granted: list[News] = []
        for one in [*(news[key] for key in sorted(news, key=lambda k: _place(target, news[k].finding))), *records]:
            if self._grants(target, one, len(granted)):
                granted.append(one)
        if granted:
            self._publish(target, shown[0], granted, look, blind=not now.words)

    def _grants(self, target: Watched, one: News, before: int) -> bool:
        rows, new = self._latched.rows(target.subject.identity, str(one.finding.evidence.location), one.finding.evidence.bit)
        excess = self._quota.excess(one.plugin, rows + before, new=new)
        for watcher in target.watchers() if excess else ():
            if watcher.plugin.name == one.plugin:
                watcher.guard.dropped += 1
                watcher.guard.set_aside(PluginError(excess))
        return not excess

    def _remembered(self, target: Watched, when: Moment) -> Snapshot | None:
        # Counters go on where the last run of this boot left them; those of an earlier boot began again.
        baseline = self._latched.baseline(target.subject.identity)
        if baseline is None or baseline.boot != self._latched.boot or not baseline.words:
            return None
        left_ns = when.boot_ns - max(0, when.wall_ns - baseline.last_look_ns)
        return restored(baseline, target.subject.target, tick=when.tick, time_ns=left_ns)

    def _let_fall(self, identity: str, now: Snapshot, present: set[tuple[str, int]]) -> None:
        standing = self._latched.standing(identity)
        read = {str(location) for _, location in now.words} | set(now.facts) if standing else set()
        for row in standing:
            if row.register in read and (row.register, row.bit) not in present:
                self._latched.fall(row)

    def _publish(self, target: Watched, now: Snapshot, news: Sequence[News], look: Look, *, blind: bool) -> None:
        from pcifma.poll.ereport import described  # noqa: PLC0415 - where there is nothing to say it is not even imported

        subject, maker = target.subject, self._maker()
        if subject.function is not None:
            look.ereports.append(maker.snapshot_of(subject, now.words, self._seen(target, look.when, fast=True)))
        for one in news:
            evidence = one.finding.evidence
            occurrence = self._latched.rise(subject.identity, str(evidence.location), evidence.bit, look.when.wall_ns)
            word = None if isinstance(evidence.location, str) else now.word(evidence.location, evidence.target)
            seen = self._seen(target, look.when, fast=target.is_fast(evidence.location))
            if not one.read:  # a record is no latch that was found set: nothing about it is a first look
                seen = Seen(look.when, self._past.look_ns, False)
            finding = target.told(described(one.finding, word))
            event = maker.ereport(finding, subject, seen, occurrence=occurrence, plugin=one.plugin, sources=one.sources)
            look.ereports.append(timed(event, one, look.when) if one.heard else event)
            self._ear.expect(subject.identity, one, look.when.boot_ns)
            if one.read:
                look.evidence.append((event.uuid, evidence))
            elif not blind or isinstance(evidence.location, str):  # else the bit may be set still, and is no news when it shows
                self._latched.drop(subject.identity, str(evidence.location), evidence.bit)
            if blind and KEPT.get(evidence.bit) == event.class_:  # counted, and the register may show it once it can be read
                self._latched.rise(subject.identity, KEPT_REGISTER, evidence.bit, look.when.wall_ns)
        maker.snapshot += 1

    def _seen(self, target: Watched, when: Moment, *, fast: bool) -> Seen:
        identity = target.subject.identity
        if target.whole_ns is None:
            baseline = self._latched.baseline(identity)
            return Seen(when, baseline.last_look_ns if baseline else None, target.rebased or not self._latched.seen_this_boot(identity))
        last = self._past.look_ns if fast else self._past.slow_ns
        return Seen(when, target.left_ns or max(target.whole_ns, last or 0), target.rebased)


def _sightings(target: Watched, shown: Sequence[Snapshot], before: Snapshot | None) -> Iterator[tuple[Snapshot, Finding, str]]:
    for snapshot in shown:
        for watcher in target.speakers(snapshot):
            for finding in watcher.guard.call(_normalise, watcher.plugin, snapshot, before) or ():
                yield snapshot, finding, watcher.plugin.name


def _was_shadow(before: Snapshot | None, evidence: Evidence) -> bool:
    # A Device Status bit that stood at the last look and was not told then is the shadow of an AER bit that was: whoever has cleared
    # that one, the shadow is no error of its own. QEMU's e1000e never clears it, and Linux does so after AER.
    is_shadow = evidence.location == DEVICE_STATUS and evidence.bit in _SHADOWS
    return is_shadow and before is not None and shows(before, evidence)


def _normalise(plugin: Sourced, now: Snapshot, before: Snapshot | None) -> list[Finding]:
    return boundary.findings(plugin.source.normalise(now, before))


def _place(target: Watched, finding: Finding) -> tuple[int, str, int]:
    # Its place in the order of contract 1.1: registers by offset, then facts by name.
    location, function = finding.evidence.location, target.subject.function
    if isinstance(location, str) or function is None:
        return (_LAST, str(location), finding.evidence.bit)
    return ((function.offset_of(location.capability, location.number) or 0) + location.offset, "", finding.evidence.bit)
