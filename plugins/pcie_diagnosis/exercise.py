"""An exercise: what was seen together, and which faults explain it best. Knows parts, places and names; nothing of PCI Express.

Each fault on each part is a hypothesis. Its score is the logarithm of

    prior  x  product over what was seen of p(symptom), or of a floor where the fault does not show it
           x  product over what it shows at one certain place and was not seen of 1 - p

What says the same is counted once. One fault is assumed first. What it does not explain is left for a second, and so on: two faults
at once are two verdicts and do not disprove each other. Certainty is the share of the score among the hypotheses that explain the
same part of the evidence. Where more than a list holds may be at fault, what is left stays unnamed (rest), and the list's
certainties add up to less than 100.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec

from .evidence import Seen
from .rule import Fault, Rules, Symptom

# A fault that does not show a symptom may still stand beside it: once in ten thousand. Below that two faults are likelier.
FLOOR = 1e-4
# Evidence of unknown age may be of something else altogether, and what is merely context stands beside anything now and then.
AGED_FLOOR = 0.05
CONTEXT_FLOOR = 0.03
# Where the log that should name the part is empty or another error's, it may be any of them; where it names a part below, this one
# may have passed it on; where it names another, it is hardly this one.
UNNAMED = 0.1
PASSED_ON = 0.3
MISNAMED = 0.01
# What fewer faults show than this, nobody misses: it is one way of many in which the fault may show itself.
NOTABLE = 0.3
LIST_LIMIT = 3
LIST_SHARE = 0.98
# A part that the list lacks takes the place of a second fault of a listed part, if it is at least this much as likely.
WORTH_A_PLACE = 0.5
# What is less than so likely as the first is no candidate, and is not listed; more than so many are not kept.
CANDIDATE_SHARE = 0.05
CANDIDATES = 64
MAX_FAULTS = 8
RIVALS = 12
# What is kept of earlier questions: lists of evidence with their verdicts, classes with the symptoms that they can be.
KNOWN, CLASSES_KNOWN = 128, 1024


@dataclass(frozen=True, slots=True)
class Names:
    """The names that a log may give for a part: its own, and those below it."""

    self: frozenset[str]
    below: frozenset[str]


class Space(Protocol):
    """Where faults sit and symptoms show: the machine, in the rules' words. Parts and places are names of things that report."""

    def parts(self, evidence: Sequence[Seen]) -> Iterable[str]:
        """Who may be at fault."""

    def roles(self, part: str) -> frozenset[str]:
        """What *part* is."""

    def stands_for_device(self, part: str) -> bool:
        """True for the one part of a device that its shared faults are told of."""

    def has_link(self, part: str) -> bool:
        """True where shared faults can sit."""

    def place(self, part: str, at: str) -> frozenset[str]:
        """Who stands in relation *at* to *part*."""

    def names(self, part: str, shared: bool, /) -> Names:
        """What logs may call *part*; for a fault that is *shared*, the names of all of its device."""

    def is_idle(self, part: str) -> bool:
        """True where nobody asks anything of *part*."""

    def tells(self, device: str, class_: str) -> float:
        """How much the absence of *class_* at *device* means, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A fault on a part, with its score, the ereports that it explains (uuid: by which symptom), and what was missed.

    *aged*: it explains nothing that is certain to be new.
    """

    fault: Fault
    part: str
    score: float
    explains: Mapping[str, Symptom]
    missing: tuple[tuple[Symptom, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """One fault's suspects, most certain first, as (hypothesis, percent); *explains*: uuids.

    *rest*: percent of those that are not listed; *rivals*: these, with their percent. *candidates*: all that may be at fault, as
    (class, part).
    """

    suspects: tuple[tuple[Hypothesis, int], ...]
    explains: frozenset[str]
    rest: int = 0
    rivals: tuple[tuple[Hypothesis, float], ...] = ()
    candidates: frozenset[tuple[str, str]] = frozenset()

    @property
    def best(self) -> Hypothesis:
        """The first suspect's."""
        return self.suspects[0][0]


class _Scene:
    # What a list of evidence says to every hypothesis alike. No two of the list say the same.
    def __init__(self, evidence: Sequence[Seen], showing: Callable[[str], Mapping[str, tuple[Symptom, ...]]]) -> None:
        self._each = [(one, math.log(_floor(one)), showing(one.class_)) for one in evidence]
        self._rows: dict[str, list[tuple[Seen, float, tuple[Symptom, ...]]]] = {}
        self.classes: dict[str, list[str]] = {}  # by who says them
        for one in evidence:
            self.classes.setdefault(one.device, []).append(one.class_)

    def rows(self, fault: Fault) -> list[tuple[Seen, float, tuple[Symptom, ...]]]:
        # Each with what it counts where *fault* does not show it, and the symptoms of *fault* that it can be.
        found = self._rows.get(fault.id)
        if found is None:
            found = self._rows[fault.id] = [(one, floor, shows.get(fault.id, ())) for one, floor, shows in self._each]
        return found


class Exercise:
    """The rules on one machine. What was asked lately is known: a fault that goes on says the same again and again."""

    def __init__(self, rules: Rules, space: Space) -> None:
        self._rules, self._space = rules, space
        self._known: dict[tuple[object, ...], list[Verdict]] = {}
        self._shows: dict[str, dict[str, tuple[Symptom, ...]]] = {}
        self._musts = {fault.id: [s for s in fault.symptoms if s.must] for fault in rules.faults}
        self._notable = {fault.id: [s for s in fault.symptoms if _can_be_missed(s)] for fault in rules.faults}

    def verdicts(self, evidence: Sequence[Seen], weigh: Mapping[str, float] | None = None) -> list[Verdict]:
        """The faults that explain *evidence*, the one that explains most first.

        *weigh*: by how much the suspects of some fault are likelier than their rule says, by `fault id:part`.
        """
        alike: dict[tuple[object, ...], list[Seen]] = {}
        for one in evidence:
            alike.setdefault((one.key, one.context), []).append(one)
        asked = (*alike, *sorted((weigh or {}).items()))
        found = self._known.get(asked)
        if found is None:
            if len(self._known) >= KNOWN:
                self._known.clear()
            distinct = [msgspec.structs.replace(same[0], uuid=str(n)) for n, same in enumerate(alike.values())]
            found = self._known[asked] = self._found(distinct, weigh or {})
        uuids = {str(n): [one.uuid for one in same] for n, same in enumerate(alike.values())}
        return [_spread(verdict, uuids) for verdict in found]

    def _found(self, evidence: Sequence[Seen], weigh: Mapping[str, float]) -> list[Verdict]:
        context = [one for one in evidence if one.context]
        left = [one for one in evidence if not one.context]
        found: list[Verdict] = []
        while left and len(found) < MAX_FAULTS:
            verdict = self._best(left, context, weigh)
            if verdict is None:
                break
            found.append(verdict)
            left = [one for one in left if one.uuid not in verdict.explains]
        return found

    def _best(self, evidence: list[Seen], context: list[Seen], weigh: Mapping[str, float]) -> Verdict | None:
        every = [*evidence, *context]
        hypotheses = [h for h in self._hypotheses(evidence, every, weigh) if h.explains]
        if not hypotheses:
            return None
        best = max(hypotheses, key=lambda h: h.score)
        rivals = [h for h in hypotheses if not best.explains.keys().isdisjoint(h.explains)]
        part = [one for one in every if one.uuid in best.explains or one.context]
        # The same part of the evidence for all: what only one of them explains must not count for the others.
        scene = _Scene(part, self._showing)
        judged = [h for h in (self._judge(rival.fault, rival.part, scene, weigh) for rival in rivals) if h.explains]
        return _verdict(_ranked(judged), frozenset(best.explains))

    def _hypotheses(self, evidence: Sequence[Seen], every: Sequence[Seen], weigh: Mapping[str, float]) -> Iterator[Hypothesis]:
        only_guest = all(one.guest for one in evidence)
        devices = {one.device for one in evidence}
        classes = {one.class_ for one in evidence}
        faults = [fault for fault in self._rules.faults if any(fault.id in self._showing(class_) for class_ in classes)]
        scene = _Scene(every, self._showing)
        for part in self._space.parts(evidence):
            if only_guest and part not in devices:
                continue  # a guest makes errors at will: alone it convicts no part but its own
            roles = self._space.roles(part)
            shared = self._space.has_link(part) and self._space.stands_for_device(part)
            for fault in faults:
                if roles.isdisjoint(fault.roles) or (fault.shared and not shared):
                    continue
                yield self._judge(fault, part, scene, weigh)

    def _showing(self, class_: str) -> dict[str, tuple[Symptom, ...]]:
        # The symptoms of each fault that *class_* can be, by the fault's id.
        found = self._shows.get(class_)
        if found is None:
            if len(self._shows) >= CLASSES_KNOWN:
                self._shows.clear()
            by_fault = {fault.id: tuple(s for s in fault.symptoms if s.matches(class_)) for fault in self._rules.faults}
            found = self._shows[class_] = {id: symptoms for id, symptoms in by_fault.items() if symptoms}
        return found

    def _judge(self, fault: Fault, part: str, scene: _Scene, weigh: Mapping[str, float]) -> Hypothesis:
        names = self._space.names(part, fault.shared)
        score = math.log(self._prior(fault, part)) + weigh.get(f"{fault.id}:{part}", 0.0)
        explains: dict[str, Symptom] = {}
        places: set[str] = set()
        for one, floor, symptoms in scene.rows(fault):
            if not symptoms:
                score += floor
                continue
            chance, symptom = self._explained(symptoms, part, one, names)
            score += math.log(chance) if chance else floor
            if symptom is None:
                continue
            # Which of many places shows it is a matter of chance once: what passes one port above or below passes the next as well.
            if symptom.at not in places and symptom.names not in one.named:
                places.add(symptom.at)
                score -= math.log(max(1, len(self._space.place(part, symptom.at))))
            if not one.context:
                explains[one.uuid] = symptom
        if any(symptom not in explains.values() for symptom in self._musts[fault.id]):
            explains = {}
        missing = tuple(self._missing(fault, part, scene))
        score += sum(math.log(1 - symptom.p * self._space.tells(device, symptom.class_)) for symptom, device in missing)
        return Hypothesis(fault, part, score, explains, missing)

    def _prior(self, fault: Fault, part: str) -> float:
        prior = fault.prior
        if fault.priors:
            roles = self._space.roles(part)
            prior = next((of_role for role, of_role in fault.priors.items() if role in roles), prior)
        return prior * fault.idle if fault.idle < 1 and self._space.is_idle(part) else prior

    def _chance(self, symptom: Symptom, part: str, one: Seen, names: Names) -> float:
        # How often *symptom*, which can be of that class, shows as *one*, before anything is known of the rest of the fault's symptoms.
        if not _fits(symptom, one):
            return 0.0
        if symptom.at != "anywhere" and one.device not in self._space.place(part, symptom.at):
            return 0.0
        if not symptom.names:
            return symptom.p
        named = one.named.get(symptom.names)
        if named is None:
            return 0.0 if symptom.at == "anywhere" else symptom.p * UNNAMED
        # What a part says itself of another one below it is passed on by nobody.
        passed_on = PASSED_ON if one.device != part and named in names.below else 0.0
        return symptom.p * (1.0 if named in names.self else passed_on)

    def _explained(self, symptoms: Sequence[Symptom], part: str, one: Seen, names: Names) -> tuple[float, Symptom | None]:
        # What names somebody else speaks against this part, even where the fault may show the class without a name.
        chance, best = 0.0, None
        for symptom in symptoms:
            found = self._chance(symptom, part, one, names)
            if found > chance:
                chance, best = found, symptom
        told = {one.named[s.names] for s in symptoms if s.names and s.names in one.named}
        named = not told or bool(told & (names.self | names.below))
        return (chance if named else chance * MISNAMED), best

    def _missing(self, fault: Fault, part: str, scene: _Scene) -> Iterator[tuple[Symptom, str]]:
        # Only what is expected at one certain place can be missed.
        for symptom in self._notable[fault.id]:
            place = self._space.place(part, symptom.at)
            if len(place) != 1:
                continue
            (device,) = place
            if not any(map(symptom.matches, scene.classes.get(device, ()))):
                yield symptom, device


def _can_be_missed(symptom: Symptom) -> bool:
    return symptom.p >= NOTABLE and not symptom.names and not symptom.tag and symptom.at != "anywhere"


def _spread(verdict: Verdict, uuids: Mapping[str, Sequence[str]]) -> Verdict:
    # From one ereport of each kind, as it was judged, to all that say the same.
    def spread(h: Hypothesis) -> Hypothesis:
        return replace(h, explains={uuid: symptom for n, symptom in h.explains.items() for uuid in uuids[n]})

    suspects = tuple((spread(h), percent) for h, percent in verdict.suspects)
    explains = frozenset(uuid for n in verdict.explains for uuid in uuids[n])
    rivals = tuple((spread(h), percent) for h, percent in verdict.rivals)
    return replace(verdict, suspects=suspects, explains=explains, rivals=rivals)


def _fits(symptom: Symptom, one: Seen) -> bool:
    if symptom.tag and symptom.tag not in one.tags:
        return False
    return not symptom.severity or one.severity == symptom.severity


def _floor(one: Seen) -> float:
    if one.context:
        return CONTEXT_FLOOR
    return AGED_FLOOR if one.first_look else FLOOR


Ranked = Sequence[tuple[Hypothesis, float]]


def _ranked(hypotheses: Sequence[Hypothesis]) -> Ranked:
    # The best rule of each class on each part, with the share of all of them, the likeliest first.
    best = max(h.score for h in hypotheses)
    by_suspect: dict[tuple[str, str], tuple[Hypothesis, float]] = {}
    for h in hypotheses:
        key, weight = _suspect(h), math.exp(h.score - best)
        kept = by_suspect.get(key)
        by_suspect[key] = (h, weight) if kept is None else (max(kept[0], h, key=lambda x: x.score), kept[1] + weight)
    total = sum(weight for _, weight in by_suspect.values())
    ranked = sorted(by_suspect.values(), key=lambda pair: (-pair[1], pair[0].part, pair[0].fault.class_))
    return [(h, weight / total) for h, weight in ranked]


def _suspect(h: Hypothesis) -> tuple[str, str]:
    return h.fault.class_, h.part


def _verdict(ranked: Ranked, explains: frozenset[str]) -> Verdict:
    candidates = [one for one in ranked if one[1] >= CANDIDATE_SHARE * ranked[0][1]]
    listed = _listed(candidates)
    covered, all_ = (sum(share for _, share in some) for some in (listed, candidates))
    rest = 0 if covered >= LIST_SHARE * all_ else min(max(1, round(100 * (1 - covered / all_))), 100 - len(listed))
    whole = covered * 100 / (100 - rest)
    names = {_suspect(h) for h, _ in listed}
    rivals = [(h, 100 * share) for h, share in ranked if _suspect(h) not in names]
    suspects = tuple((h, max(1, round(100 * share / whole))) for h, share in listed)
    known = names | {_suspect(h) for h, _ in candidates[:CANDIDATES]}
    return Verdict(suspects, explains, rest, tuple(rivals[:RIVALS]), frozenset(known))


def _listed(ranked: Ranked) -> Ranked:
    listed = list(ranked[:LIST_LIMIT])
    # Three parts that may be at fault say more than three faults of one.
    by_part: dict[str, float] = {}
    for h, share in ranked:
        by_part[h.part] = by_part.get(h.part, 0.0) + share
    for h, share in ranked[LIST_LIMIT:]:
        parts = [one.part for one, _ in listed]
        again = max((n for n, part in enumerate(parts) if part in parts[:n]), default=None)
        if again is None:
            break
        if h.part not in parts and by_part[h.part] >= WORTH_A_PLACE * listed[again][1]:
            listed[again] = h, share
            listed.sort(key=lambda pair: -pair[1])
    return listed
