"""The rota: which targets of one fabric a look has to examine.

    new, or asked for ───────────────────────────────────────┐
    has woken ───────────────────────────────────────────────┼── does it sleep? ──no──> due
    a record speaks of it ───────────────────────────────────┤                └─ yes ──> due for its records, and not read
    a held watch has ripened ────────────────────────────────┤
    a word of its tiers (fast, saturated, slow) has changed ─┤
    slow: a fact has changed ────────────────────────────────┘
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from pcifma.access.seam import Machine
from pcifma.fabric.fabric import Fabric
from pcifma.plugin.watch import Target, Watch
from pcifma.poll.absence import Sleepers
from pcifma.poll.ear import Whose
from pcifma.poll.fact import Facts
from pcifma.poll.target import Watched, Watcher, unmet
from pcifma.poll.triage import BatchReader, Triage, entries

FAST, SLOW = ("fast", "saturated"), ("fast", "saturated", "slow")


class Rota:
    """Over *every* target of *fabric*, called by its index in *targets*. *asleep* are those that the next look leaves alone, *asked*
    those that somebody waits for.
    """

    def __init__(
        self, machine: Machine, fabric: Fabric, every: Sequence[Watched], *, facts: Facts, reader: BatchReader | None = None
    ) -> None:
        self.targets, self._everyone = [t for t in every if not t.stands_for_all], [t for t in every if t.stands_for_all]
        self.asleep: set[int] = set()
        self._machine = machine
        self._facts, self._reader = facts, reader
        self._sleepers = Sleepers(machine.host, fabric)
        self._unlooked = set(range(len(self.targets)))
        self.asked: set[int] = set()
        self._holding = [i for i, t in enumerate(self.targets) if t.plan.holding]
        self._with_facts = [i for i, t in enumerate(self.targets) if t.plan.triggers]
        self._triage: dict[str, Triage] = {}

    def done(self, index: int) -> None:
        """The target was looked at: it is due again when something has changed."""
        self._unlooked.discard(index)
        self.asked.discard(index)

    def ask(self, target: Target) -> list[Watched]:
        """Examine *target* next time, whatever has changed; what is there of it."""
        found = [i for i, known in enumerate(self.targets) if known.subject.target == target]
        self._unlooked.update(found)
        self.asked.update(found)
        return [self.targets[i] for i in found]

    def ask_for(self, watcher: Watcher) -> None:
        """Examine next time what *watcher* watches."""
        self._unlooked |= {i for i, target in enumerate(self.targets) if any(w is watcher for w in target.watchers())}

    def meet(self, told: Iterable[object]) -> None:
        """Take in whom records speak of and nobody has named; *told* has whom they speak of."""
        self.targets += unmet(self.targets, self._everyone, told)

    def wake(self, *, slow: bool) -> set[int]:
        """Find out who sleeps, from facts: nobody is touched for it. Returns who has woken."""
        sleeping = self._sleepers.now(slow=slow)
        before = self.asleep
        targets = enumerate(self.targets) if sleeping else ()
        self.asleep = {i for i, t in targets if t.subject.function is not None and t.subject.function.bdf in sleeping}
        if self.asleep != before:
            self._triage.clear()
        return before - self.asleep

    def named(self, woken: set[int], told: Mapping[Whose, object]) -> set[int]:
        """Who is due without a read: *woken*, asked for, or spoken of by a record."""
        return woken | self._unlooked | self.spoken_of(told)

    def spoken_of(self, told: Mapping[Whose, object]) -> set[int]:
        """Whom the records of *told* speak of."""
        return {i for i, target in enumerate(self.targets) if target.whose in told} if told else set()

    def changed(self, now_ns: int, tiers: Iterable[str], *, facts: bool) -> tuple[set[int], int]:
        """Who is due because something has changed, by boot time *now_ns*; and how many reads it took to know."""
        found = {i for i in self._holding if self.targets[i].ripens(now_ns)}
        reads = 0
        for tier in tiers:
            triage = self.tier(tier)
            found.update(triage.changed())
            reads += len(triage)
        if facts:
            found.update(i for i in self._with_facts if self._facts_changed(self.targets[i]))
        return found, reads

    def tier(self, tier: str) -> Triage:
        """The triage of *tier*, over those who are awake."""
        if tier not in self._triage:
            self._triage[tier] = Triage(entries(self._machine, self.targets, _SELECT[tier], self.asleep), self.targets, self._reader)
        return self._triage[tier]

    def note(self, index: int, *, saturated: bool) -> None:
        """A snapshot of the target was taken; *saturated*: it was before."""
        target = self.targets[index]
        for triage in self._triage.values():
            triage.note(index, target)
        if target.is_saturated() != saturated:
            self._triage.pop("saturated", None)

    def forget(self, index: int) -> None:
        """The target could not be looked at whole: whatever its tiers read next is a change."""
        for triage in self._triage.values():
            triage.forget(index)

    def _facts_changed(self, target: Watched) -> bool:
        before = target.before
        now = self._facts.of(target.subject, target.plan.triggers) if before is not None else {}
        return before is not None and any(content != before.facts.get(path) for path, content in now.items())


# Which watches a tier's triage reads.
_SELECT: dict[str, Callable[[Watched, Watch], bool]] = {
    "fast": lambda target, watch: watch.tier == "fast" and watch.behind is None,
    "saturated": lambda target, watch: watch.tier == "fast" and target.saturated(watch),
    "slow": lambda target, watch: watch.tier == "slow" or (watch.tier == "fast" and watch.behind is not None),
}
