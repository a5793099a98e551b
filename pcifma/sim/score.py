"""Trials and their score: right at the top, in the list of three, the baseline, intervals, calibration."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

from pcifma.event.case import Suspect
from pcifma.fmd.engine.handle import Case
from pcifma.plugin.loader import Plugin
from pcifma.regs.exp import DevType
from pcifma.sim.bench import Bench
from pcifma.sim.degrade import Heard, degrade
from pcifma.sim.fault import UNREAD, Culprit, Drawn, fault
from pcifma.sim.machine import machine

_Z = 1.96
_DEVICE = ("fault.io.pciex.device-",)
LIST = 3
BINS = ((0, 10), (10, 20), (20, 30), (30, 40), (40, 50), (50, 60), (60, 70), (70, 80), (80, 90), (90, 101))
_SHADOWS = ("pciex.rc.", "pci.sec-rserr", UNREAD)


@dataclass(frozen=True, slots=True)
class Trial:
    """One machine and fault. *fits*: how many parts its evidence fits. *top*, *listed*, *baseline*: the part is right; *cases*: how many.

    *stated*: for each suspect of the first case its certainty in percent, and whether part and class are the very truth.
    """

    kind: str
    fits: int
    heard: int
    top: bool
    listed: bool
    baseline: bool
    stated: tuple[tuple[int, bool], ...]
    cases: int


@dataclass(slots=True)
class Tally:
    """Of n trials, k were right."""

    k: int = 0
    n: int = 0

    def add(self, right: bool) -> None:
        """Count one."""
        self.k, self.n = self.k + right, self.n + 1

    def interval(self) -> tuple[float, float]:
        """Wilson's interval of 95 %, as shares."""
        return wilson(self.k, self.n)

    @property
    def share(self) -> float:
        """k of n; 0 of none."""
        return self.k / self.n if self.n else 0.0


@dataclass(slots=True)
class Row:
    """One kind's score. *top* is of the identifiable ones, *baseline* and *further* cases of all.

    In the list of three: *ambiguous*, what fits two or three parts, *undetermined*, what fits more, *listed*, both.
    *silent*: nothing was heard, so nothing could be said; these are in no other count.
    """

    top: Tally = field(default_factory=Tally)
    ambiguous: Tally = field(default_factory=Tally)
    undetermined: Tally = field(default_factory=Tally)
    listed: Tally = field(default_factory=Tally)
    ours: Tally = field(default_factory=Tally)
    baseline: Tally = field(default_factory=Tally)
    further: Tally = field(default_factory=Tally)
    silent: int = 0

    def add(self, trial: Trial) -> None:
        """Count *trial*."""
        if not trial.heard:
            self.silent += 1
            return
        if trial.fits > 1:
            self.listed.add(trial.listed)
            (self.ambiguous if trial.fits <= LIST else self.undetermined).add(trial.listed)
        else:
            self.top.add(trial.top)
        self.ours.add(trial.top)
        self.baseline.add(trial.baseline)
        self.further.add(trial.cases > 1)


def wilson(k: int, n: int) -> tuple[float, float]:
    """E. B. Wilson's score interval (1927) of k of n at 95 %."""
    if not n:
        return 0.0, 1.0
    share, z2 = k / n, _Z * _Z
    centre, half = share + z2 / (2 * n), _Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, (centre - half) / (1 + z2 / n)), min(1.0, (centre + half) / (1 + z2 / n))


def trial(plugin: Plugin, kind: str, seed: int, way: str | None = None, level: float = 0.0) -> Trial:
    """Draw a machine and a fault of *kind* from *seed*, degrade what it gives, and judge what *plugin* makes of it."""
    draw = Random(f"{seed}/{kind}")
    fabric = machine(draw)
    drawn = fault(kind, draw, fabric)
    cards = frozenset(str(f.bdf) for f in fabric if f.dev_type == DevType.ENDPOINT)
    heard = degrade(Random(f"{seed}/{way}"), drawn.shown, cards, way, level)
    cases = [case for case in Bench(plugin, fabric).run(heard, drawn.link_status) if case.record.urgency != "never-mind"]
    return _judged(drawn, heard, cases)


def _judged(drawn: Drawn, heard: Sequence[Heard], cases: Sequence[Case]) -> Trial:
    mine = [case.record.suspects for case in cases]
    if drawn.beside:
        return _judged_together(drawn, heard, mine)
    suspects = mine[0] if mine else []
    return Trial(
        kind=drawn.kind,
        fits=drawn.fits,
        heard=len(heard),
        top=bool(suspects) and _right(drawn.culprit, suspects[0]),
        listed=any(_right(drawn.culprit, suspect) for suspect in suspects[:LIST]),
        baseline=_blamed(heard, drawn.culprit),
        stated=tuple((suspect.certainty, _exactly(drawn.culprit, suspect)) for suspect in suspects),
        cases=len(cases),
    )


def _judged_together(drawn: Drawn, heard: Sequence[Heard], mine: Sequence[Sequence[Suspect]]) -> Trial:
    # Each culprit has a case of its own.
    culprits = (drawn.culprit, *drawn.beside)
    top = all(any(suspects and _right(culprit, suspects[0]) for suspects in mine) for culprit in culprits)
    listed = all(any(_right(culprit, suspect) for suspects in mine for suspect in suspects[:LIST]) for culprit in culprits)
    baseline = len(culprits) == 1 and _blamed(heard, drawn.culprit)
    return Trial(drawn.kind, drawn.fits, len(heard), top, listed, baseline, (), 1 + max(0, len(mine) - len(culprits)))


def _right(culprit: Culprit, suspect: Suspect) -> bool:
    return suspect.device == culprit.device and (suspect.class_ == culprit.class_ or suspect.class_ in culprit.kin)


def _exactly(culprit: Culprit, suspect: Suspect) -> bool:
    return suspect.device == culprit.device and suspect.class_ == culprit.class_


def _blamed(heard: Sequence[Heard], culprit: Culprit) -> bool:
    # "This device reported an error, so this device is broken": right where a device is.
    return culprit.class_.startswith(_DEVICE) and _reporter(heard) == culprit.device


def _reporter(heard: Sequence[Heard]) -> str:
    # Who blames the reporter blames whoever says the worst first; messages at the Root Port are shadows for him too.
    order = {"fatal": 0, "nonfatal": 1, "correctable": 2}
    said = [one for one in heard if not one.shown.leaf.startswith(_SHADOWS)]
    worst = min(said, key=lambda one: (order.get(one.shown.severity, 3), one.tick, one.shown.device), default=None)
    return worst.shown.device if worst is not None else ""


def calibration(trials: Iterable[Trial], *, first: bool = True) -> list[tuple[tuple[int, int], Tally, float]]:
    """For each bin of certainty: how often suspects were the very truth, and the mean certainty in percent.

    *first*: first suspects only, or all that were listed.
    """
    stated = [pair for trial in trials for pair in (trial.stated[:1] if first else trial.stated)]
    found = []
    for low, high in BINS:
        tally, total = Tally(), 0
        for percent, right in stated:
            if low <= percent < high:
                tally.add(right)
                total += percent
        found.append(((low, high), tally, total / tally.n if tally.n else 0.0))
    return found
