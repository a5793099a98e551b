"""What would help most: each remedy is tried on what was read, and those that open the most Functions come first.

Greedy: the best one is taken as done, then the next is sought. One that opens nothing alone waits for the one that it needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pcifma.platform.path import heard, reasons
from pcifma.platform.reason import SEVERITIES, Reason, Remedy
from pcifma.platform.situation import Situation
from pcifma.regs.bdf import Bdf

_STEPS = 24  # more advice than this nobody reads


@dataclass(frozen=True, slots=True)
class Step:
    """*remedies* to be done together, and the Functions that they open: at least one severity more is heard, or not surely silent."""

    remedies: tuple[Remedy, ...]
    opens: tuple[Bdf, ...]


@dataclass(frozen=True, slots=True)
class Advice:
    """*steps*, best first, and the Functions *beyond* help: deaf for every severity, and nothing can be done."""

    steps: tuple[Step, ...]
    beyond: tuple[Bdf, ...]


@dataclass(slots=True)
class _Search:
    case: Situation
    found: dict[Bdf, list[Reason]]
    done: set[str]

    def candidates(self) -> dict[str, _Candidate]:
        """Remedies that somebody asks for, by text."""
        asked: dict[str, _Candidate] = {}
        for bdf, why in self.found.items():
            enough = _enough_alone(why)
            curable = all(r.remedy is not None for r in why)
            for text, remedy in {r.remedy.text: r.remedy for r in why if r.remedy is not None}.items():
                if text not in self.done:
                    asked.setdefault(text, _Candidate(remedy)).add(bdf, enough=text in enough, curable=curable)
        return asked

    def trial(self, candidate: _Candidate) -> tuple[Situation, dict[Bdf, list[Reason]]]:
        """The situation with the remedy done, and the reasons that are then left for who asked for it."""
        case = self.case.assuming(candidate.remedy.changes)
        return case, {bdf: reasons(case, case.fabric[bdf]) for bdf in candidate.who}

    def best(self, asked: Iterable[_Candidate], before: Mapping[Bdf, int]) -> _Candidate:
        """The candidate that opens most. None opens more than it is enough for: trials stop where no other can do better."""
        queue = sorted(asked, key=lambda c: (c.enough, c.curable), reverse=True)
        best, most = queue[0], 0
        for candidate in queue:
            if candidate.enough <= most:
                break
            _, left = self.trial(candidate)
            gain = sum(_score(why) > before[bdf] for bdf, why in left.items())
            if gain > most:
                best, most = candidate, gain
        return best

    def apply(self, candidate: _Candidate) -> None:
        """Take the remedy as done."""
        self.case, left = self.trial(candidate)
        self.found |= left
        self.done.add(candidate.remedy.text)


@dataclass(slots=True)
class _Candidate:
    # Who asks for it; for how many of them it may be enough alone, and how many have a remedy for every cause.
    remedy: Remedy
    who: list[Bdf] = field(default_factory=list)
    enough: int = 0
    curable: int = 0

    def add(self, bdf: Bdf, *, enough: bool, curable: bool) -> None:
        """*bdf* asks for it as well."""
        self.who.append(bdf)
        self.enough += enough
        self.curable += curable


def rank(case: Situation, found: Mapping[Bdf, list[Reason]]) -> Advice:
    """What opens Functions, best first; *found* are the reasons of each Function that is not heard."""
    search, steps, waiting = _Search(case, dict(found), set()), list[Step](), list[Remedy]()
    before = {bdf: _score(why) for bdf, why in found.items()}
    while len(steps) < _STEPS:
        asked = search.candidates()
        if not asked:
            break
        best = search.best(asked.values(), before)
        search.apply(best)
        waiting.append(best.remedy)
        now = {bdf: _score(search.found[bdf]) for bdf in best.who}
        opened = tuple(bdf for bdf in best.who if now[bdf] > before[bdf])
        if opened:
            steps.append(Step(tuple(waiting), opened))
            before |= now
            waiting = []
    beyond = (bdf for bdf, why in search.found.items() if before[bdf] == 0 and not any(r.remedy for r in why))
    return Advice(tuple(steps), tuple(beyond))


def _enough_alone(why: list[Reason]) -> set[str]:
    # Remedies that take away all that closes some severity.
    found: set[str] = set()
    for severity in SEVERITIES:
        closing = [r.remedy.text if r.remedy is not None else "" for r in why if r.closed and severity in r.severities]
        if not closing:  # nothing closes it, but something is unknown
            closing = [r.remedy.text if r.remedy is not None else "" for r in why if severity in r.severities]
        found |= {closing[0]} if closing and len(set(closing)) == 1 else set()
    return found - {""}


def _score(why: list[Reason]) -> int:
    # What is no longer surely silent is a gain too: from a capture no more can be had.
    return sum(2 if v else 1 if v is None else 0 for v in heard(why).values())
