"""Counters: what moved since the last look, and what of that was told already.

The numbers of a counting fact (lines that end in a number, as the kernel's aer_dev_* files) are kept as words under `path#name`, so
that a restart goes on from them. An error that the kernel counts may also have been seen in its register or told by a record: the
ledger makes one ereport of both.

    seen in the register, counted in the same look     one ereport, sources poll and counter
    seen in the register, counted by the next look     the counter adds nothing
    counted, and seen nowhere                          one ereport, from the counter alone, with the exact count
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from pcifma.plugin.number import numbers
from pcifma.plugin.watch import Snapshot, Target
from pcifma.poll.ear import COUNTER, KEPT, SERVICE_NS, News
from pcifma.poll.latched import Baseline
from pcifma.regs.table import Location

_MARK = "#"
_KEPT = frozenset(KEPT.values())

Facts = Mapping[str, bytes | None]
Key = tuple[str, int]


def counted(facts: Facts, paths: Iterable[str]) -> Iterator[tuple[str, int]]:
    """The numbers of the counting facts at *paths*, by `path#name`; lines that do not end in a number are left out."""
    for path in paths:
        for name, number in numbers(facts.get(path)):
            yield f"{path}{_MARK}{name}", number


def restored(baseline: Baseline, target: Target, *, tick: int, time_ns: int) -> Snapshot:
    """The snapshot that *baseline* remembers: its counters and watched words, and nothing else."""
    words: dict[tuple[Target, Location], int] = {}
    facts: dict[str, bytes | None] = {}
    for place, number in baseline.words:
        path, mark, name = place.partition(_MARK)
        if mark:
            facts[path] = (facts.get(path) or b"") + f"{name} {number}\n".lstrip().encode()
        else:
            words[target, Location.parse(place)] = number
    return Snapshot(target, tick, time_ns, words, facts)


class Ledger:
    """Errors that were told and that their counter is yet to count: how many and until when, by target's identity and class.

    *slow_ns* is how far apart counters are read.
    """

    def __init__(self, slow_ns: int) -> None:
        self.pace(slow_ns)
        self._told: dict[tuple[str, str], tuple[int, int]] = {}

    def pace(self, slow_ns: int) -> None:
        """Counters are read *slow_ns* apart from now on."""
        self._wait_ns = slow_ns + SERVICE_NS

    def settle(
        self, identity: str, news: dict[Key, News], counters: set[Key], *, now_ns: int, first: bool, uncleared: Collection[str] = ()
    ) -> None:
        """Take out of *news* what was told before, and make one of what is told twice. *counters* are the keys that count.

        *first*: on a first look residue is no sighting of what the kernel has counted. *uncleared*: classes whose bit the kernel
        leaves set, or had left at the last look: it counts them again with every other error of the Function, so its count tells no
        more than that they are there. Of those classes its records, which are known by what they repeat, say how many there were.
        """
        seen = {one.finding.class_ for key, one in news.items() if key not in counters and not (first and one.finding.residue)}
        fresh: dict[str, int] = {}
        for key in sorted(counters & news.keys()):
            one = news.pop(key)
            cls = one.finding.class_
            count = one.finding.count - self._due(identity, cls, now_ns)
            if cls in seen:
                fresh[cls] = fresh.get(cls, 0) + max(0, count)
                if cls in uncleared:
                    fresh[cls] = min(fresh[cls], 1)
            elif cls in uncleared and not first:
                continue
            elif count > 0:
                news[key] = one._replace(finding=one.finding._replace(count=count), sources=(COUNTER,))
        for key in news.keys() - counters:
            cls, heard = news[key].finding.class_, len(news[key].heard)
            if cls in seen and not news[key].finding.payload.get("masked"):  # the kernel counts what is not masked
                counted = min(fresh.get(cls, 0), heard) if heard and cls in _KEPT else fresh.get(cls, 0)
                news[key] = self._joined(identity, news[key], counted, now_ns)

    def _due(self, identity: str, cls: str, now_ns: int) -> int:
        told, until_ns = self._told.pop((identity, cls), (0, 0))
        return told if now_ns <= until_ns else 0

    def _joined(self, identity: str, one: News, fresh: int, now_ns: int) -> News:
        count = one.finding.count
        if count > fresh:
            self._told[identity, one.finding.class_] = (count - fresh, now_ns + self._wait_ns)
        if not fresh:
            return one
        return one._replace(finding=one.finding._replace(count=max(count, fresh)), sources=(*one.sources, COUNTER))
