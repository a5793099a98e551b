"""The latched set: which evidence stood at the last look. The only memory for baseline, dedupe and restart.

    (absent) --seen set--> STANDING(occurrence n) --seen clear--> CLEAR(n) --seen set--> STANDING(n + 1)
       news: the ereport of occurrence n            no event            news: the ereport of occurrence n + 1

Rows outlive restarts and warm reboots: they are keyed by the target's identity, not by its address. Occurrences count within one
boot. Each change is kept until the ereports it belongs to are stored: both go into one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import NamedTuple


class Standing(NamedTuple):
    """One row: *bit* of *register* (setpci's name or a fact's path) at *target* (its identity). *since_ns* is wall time."""

    target: str
    register: str
    bit: int
    boot: str
    occurrence: int
    since_ns: int
    standing: bool


class Baseline(NamedTuple):
    """One row: when *target* was last looked at, in which boot, and the words of its counters, by register."""

    target: str
    boot: str
    last_look_ns: int
    words: tuple[tuple[str, int], ...] = ()


Key = tuple[str, int]


class LatchedSet:
    """Evidence by target. *boot* is this boot's id, or what works it out; rows of an earlier boot still say what stood before."""

    def __init__(self, boot: str | Callable[[], str], standing: Iterable[Standing] = (), baselines: Iterable[Baseline] = ()) -> None:
        self._boot = boot
        self._rows: dict[str, dict[Key, Standing]] = {}
        self._baselines = {row.target: row for row in baselines}
        self._changed: dict[tuple[str, str, int], Standing] = {}
        for row in standing:
            self._rows.setdefault(row.target, {})[row.register, row.bit] = row

    @cached_property
    def boot(self) -> str:
        """This boot's id."""
        return self._boot if isinstance(self._boot, str) else self._boot()

    def baseline(self, target: str) -> Baseline | None:
        """The target's last look, in this boot or an earlier one."""
        return self._baselines.get(target)

    def seen_this_boot(self, target: str) -> bool:
        """True if the target was looked at in this boot already."""
        row = self._baselines.get(target)
        return row is not None and row.boot == self.boot

    def looked(self, target: str, now_ns: int, words: Iterable[tuple[str, int]] = ()) -> None:
        """Remember that *target* was looked at now."""
        self._baselines[target] = Baseline(target, self.boot, now_ns, tuple(words))

    def stands(self, target: str, register: str, bit: int) -> bool:
        """True if the evidence stood at the last look."""
        row = self._rows.get(target, {}).get((register, bit))
        return row is not None and row.standing

    def standing(self, target: str) -> tuple[Standing, ...]:
        """The rows of *target* that stand."""
        return tuple(row for row in self._rows.get(target, {}).values() if row.standing)

    def everywhere(self) -> tuple[Standing, ...]:
        """All rows that stand."""
        return tuple(row for rows in self._rows.values() for row in rows.values() if row.standing)

    def rows(self, target: str, register: str, bit: int) -> tuple[int, bool]:
        """How many rows *target* has, and whether this evidence would be one more."""
        rows = self._rows.get(target, {})
        return len(rows), (register, bit) not in rows

    def rise(self, target: str, register: str, bit: int, now_ns: int) -> int:
        """The evidence is news: record it, and return which occurrence of this boot it is, from 0."""
        before = self._rows.get(target, {}).get((register, bit))
        occurrence = before.occurrence + 1 if before is not None and before.boot == self.boot else 0
        self._set(Standing(target, register, bit, self.boot, occurrence, now_ns, True))
        return occurrence

    def fall(self, row: Standing) -> None:
        """The evidence was seen clear."""
        self._set(row._replace(standing=False))

    def drop(self, target: str, register: str, bit: int) -> None:
        """The evidence rose and is clear again already: somebody else saw it and took it away."""
        row = self._rows.get(target, {}).get((register, bit))
        if row is not None:
            self.fall(row)

    def renew(self) -> None:
        """Every row is a change again: what they were stored in is gone."""
        self._changed.update(((row.target, *key), row) for rows in self._rows.values() for key, row in rows.items())

    def take_changes(self) -> tuple[Standing, ...]:
        """Rows changed since the last call, for the transaction that stores the ereports."""
        changed = tuple(self._changed.values())
        self._changed.clear()
        return changed

    def baselines(self) -> tuple[Baseline, ...]:
        """All last looks."""
        return tuple(self._baselines.values())

    def _set(self, row: Standing) -> None:
        self._rows.setdefault(row.target, {})[row.register, row.bit] = row
        self._changed[row.target, row.register, row.bit] = row
