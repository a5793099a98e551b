"""What would help most: each remedy is tried on what was read, and those that open the most Functions come first.

Greedy: the best one is taken as done, then the next is sought. One that opens nothing alone waits for the one that it needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pcifma.platform.path import heard, reasons
from pcifma.platform.reason import Reason, Remedy
from pcifma.platform.situation import Situation
from pcifma.regs.bdf import Bdf

_STEPS = 40  # more advice than this nobody reads; it also bounds the work on a broken machine


@dataclass(frozen=True, slots=True)
class Step:
    """*remedies* to be done together, and the Functions that they open: at least one severity more is heard, or not surely silent."""

    remedies: tuple[Remedy, ...]
    opens: tuple[Bdf, ...]


@dataclass(frozen=True, slots=True)
class Advice:
    """*steps*, best first, and the Functions *beyond* help: deaf for every severity after all of them."""

    steps: tuple[Step, ...]
    beyond: tuple[Bdf, ...]


@dataclass(slots=True)
class _Search:
    case: Situation
    found: dict[Bdf, list[Reason]]
    done: set[str]

    def candidates(self) -> dict[str, tuple[Remedy, list[Bdf]]]:
        """Remedies that somebody asks for, by text, with who asks."""
        asked: dict[str, tuple[Remedy, list[Bdf]]] = {}
        for bdf, why in self.found.items():
            for remedy in {r.remedy.text: r.remedy for r in why if r.remedy is not None}.values():
                if remedy.text not in self.done:
                    asked.setdefault(remedy.text, (remedy, []))[1].append(bdf)
        return asked

    def trial(self, remedy: Remedy, who: Iterable[Bdf]) -> tuple[Situation, dict[Bdf, list[Reason]]]:
        """The situation with *remedy* done, and the reasons that are then left for *who*."""
        case = self.case.assuming(remedy.changes)
        return case, {bdf: reasons(case, case.fabric[bdf]) for bdf in who}

    def apply(self, remedy: Remedy, who: Iterable[Bdf]) -> None:
        """Take *remedy* as done."""
        self.case, left = self.trial(remedy, who)
        self.found |= left
        self.done.add(remedy.text)


def rank(case: Situation, found: Mapping[Bdf, list[Reason]]) -> Advice:
    """What opens Functions, best first; *found* are the reasons of each Function that is not heard."""
    search, steps, waiting = _Search(case, dict(found), set()), list[Step](), list[Remedy]()
    before = {bdf: _score(why) for bdf, why in found.items()}
    for _ in range(_STEPS):
        asked = search.candidates()
        if not asked:
            break
        best = max(asked.values(), key=lambda pair: (_gain(search, pair, before), _urgency(search, pair)))
        search.apply(*best)
        waiting.append(best[0])
        now = {bdf: _score(why) for bdf, why in search.found.items()}
        opened = tuple(bdf for bdf in before if now[bdf] > before[bdf])
        if opened:
            steps.append(Step(tuple(waiting), opened))
            before, waiting = now, []
    return Advice(tuple(steps), tuple(bdf for bdf, score in before.items() if score == 0))


def _score(why: list[Reason]) -> int:
    # What is no longer surely silent is a gain too: from a capture no more can be had.
    return sum(2 if v else 1 if v is None else 0 for v in heard(why).values())


def _gain(search: _Search, pair: tuple[Remedy, list[Bdf]], before: Mapping[Bdf, int]) -> int:
    _, left = search.trial(*pair)
    return sum(_score(why) > before[bdf] for bdf, why in left.items())


def _urgency(search: _Search, pair: tuple[Remedy, list[Bdf]]) -> int:
    # Among those that open nothing alone, the one that most Functions lack whose every cause has a remedy.
    return sum(all(r.remedy is not None for r in search.found[bdf]) for bdf in pair[1])
