"""An exercise: what was seen together in one part of the fabric, and which faults explain it best.

Each fault on each Function is a hypothesis. Its score is the logarithm of

    prior  x  product over what was seen of p(symptom), or of a floor where the fault does not show it
           x  product over what it shows at one certain place and was not seen of 1 - p

One fault is assumed first. What it does not explain is left for a second, and so on: two faults at once are two verdicts and do
not disprove each other. Certainty is the share of the score among the hypotheses that explain the same part.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from pcifma.plugin import Bdf, Ereport, Fabric, Function

from .place import below, members, related, role
from .rule import At, Fault, Rules, Symptom

# A fault that does not show a symptom may still stand beside it: once in ten thousand. Below that two faults are likelier.
FLOOR = 1e-4
# Where the log that should name the part is empty or another error's, it may be any of them; where it names a part below, this one
# may have passed it on; where it names another, it is hardly this one.
UNNAMED = 0.1
PASSED_ON = 0.3
MISNAMED = 0.01
LIST_LIMIT = 3
LIST_SHARE = 0.99
MAX_FAULTS = 4


class Seen(msgspec.Struct, frozen=True):
    """One ereport, as far as diagnosis needs it. *named*: Functions that its Header Log or source names, by part."""

    uuid: str
    class_: str
    device: str
    severity: str
    first_look: bool
    guest: bool
    count: int
    named: dict[str, str]


@dataclass(frozen=True, slots=True)
class Names:
    """The addresses that a Header Log may give for a part: its own, and those below it."""

    self: frozenset[str]
    below: frozenset[str]


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A fault on a Function, with its score and the ereports that it explains."""

    fault: Fault
    function: Function
    score: float
    explains: frozenset[str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One fault's suspects, most certain first, as (hypothesis, percent); what it explains; what was looked for and not seen."""

    suspects: tuple[tuple[Hypothesis, int], ...]
    explains: frozenset[str]
    missing: tuple[str, ...]


def seen(event: Ereport) -> Seen:
    """*event* for an exercise."""
    payload = event.payload
    named = {part: str(payload[key]) for part in ("requester", "completer", "target") if (key := f"tlp-{part}") in payload}
    source = payload.get("source-id")
    if payload.get("source-valid") and isinstance(source, int) and "requester" not in named:
        named["source"] = named["requester"] = str(Bdf.from_requester_id(Bdf.parse(event.device).segment, source))
    return Seen(event.uuid, event.class_, event.device, event.severity, event.first_look, event.trust == "guest", event.count, named)


def verdicts(rules: Rules, fabric: Fabric, evidence: Sequence[Seen]) -> list[Verdict]:
    """The faults that explain *evidence*, the one that explains most first."""
    left = [one for one in evidence if not rules.explains_away(one.class_)]
    found: list[Verdict] = []
    while left and len(found) < MAX_FAULTS:
        verdict = _best(rules, fabric, left)
        if verdict is None:
            break
        found.append(verdict)
        left = [one for one in left if one.uuid not in verdict.explains]
    return found


def _best(rules: Rules, fabric: Fabric, evidence: Sequence[Seen]) -> Verdict | None:
    hypotheses = [h for h in _hypotheses(rules, fabric, evidence) if h.explains]
    if not hypotheses:
        return None
    best = max(hypotheses, key=lambda h: h.score)
    rivals = [h for h in hypotheses if h.explains >= best.explains or h.explains & best.explains]
    part = [one for one in evidence if one.uuid in best.explains]
    # The same part of the evidence for all: what only one of them explains must not count for the others.
    judged = [h for h in (_judge(fabric, rival.fault, rival.function, part) for rival in rivals) if h.explains]
    return Verdict(_ranked(judged), best.explains, _missing(fabric, best, part))


def _hypotheses(rules: Rules, fabric: Fabric, evidence: Sequence[Seen]) -> Iterable[Hypothesis]:
    only_guest = all(one.guest for one in evidence)
    devices = {one.device for one in evidence}
    candidates = {f.bdf: f for device in devices for f in members(fabric, device)}
    classes = {one.class_ for one in evidence}
    for fault in rules.faults:
        if not any(symptom.matches(class_) for symptom in fault.symptoms for class_ in classes):
            continue
        for function in candidates.values():
            if not ({role(function), "any"} & set(fault.roles)):
                continue
            if only_guest and str(function.bdf) not in devices:
                continue  # a guest makes errors at will: alone it convicts no part but its own
            yield _judge(fabric, fault, function, evidence)


def _judge(fabric: Fabric, fault: Fault, function: Function, evidence: Sequence[Seen]) -> Hypothesis:
    places: Mapping[At, set[str]] = {at: related(fabric, function, at) for at in {symptom.at for symptom in fault.symptoms}}
    names = Names(frozenset({str(function.bdf)}), frozenset(str(f.bdf) for f in below(fabric, function)))
    score, explains = math.log(fault.prior), set()
    for one in evidence:
        chance = _explained(fault, one, places, names)
        if chance > 0:
            explains.add(one.uuid)
        score += math.log(chance or FLOOR)
    for symptom in _certain(fault, places):
        if not any(symptom.matches(one.class_) and one.device in places[symptom.at] for one in evidence):
            score += math.log(1 - symptom.p)
    return Hypothesis(fault, function, score, frozenset(explains))


def _chance(symptom: Symptom, one: Seen, place: set[str], names: Names) -> float:
    # How often *symptom* shows as *one*, before anything is known of the rest of the fault's symptoms.
    if not symptom.matches(one.class_) or one.device not in place:
        return 0.0
    p = symptom.p / len(place)
    if not symptom.names:
        return p
    named = one.named.get(symptom.names)
    if named is None:
        return p * UNNAMED
    if named in names.self:
        return symptom.p
    return symptom.p * PASSED_ON if named in names.below else 0.0


def _explained(fault: Fault, one: Seen, places: Mapping[At, set[str]], names: Names) -> float:
    # What names somebody else speaks against this part, even where the fault may show the class without a name.
    chance = max((_chance(s, one, places[s.at], names) for s in fault.symptoms), default=0.0)
    told = {one.named[s.names] for s in fault.symptoms if s.names and s.names in one.named and s.matches(one.class_)}
    return chance if not told or told & (names.self | names.below) else chance * MISNAMED


def _certain(fault: Fault, places: Mapping[At, set[str]]) -> list[Symptom]:
    # Only what is expected at one certain place can be missed.
    return [s for s in fault.symptoms if len(places[s.at]) == 1 and not s.names]


def _ranked(hypotheses: Sequence[Hypothesis]) -> tuple[tuple[Hypothesis, int], ...]:
    best = max(h.score for h in hypotheses)
    by_suspect: dict[tuple[str, str], tuple[Hypothesis, float]] = {}
    for h in hypotheses:
        key, weight = (h.fault.class_, str(h.function.bdf)), math.exp(h.score - best)
        kept = by_suspect.get(key)
        by_suspect[key] = (h, weight) if kept is None else (max(kept[0], h, key=lambda x: x.score), kept[1] + weight)
    ranked = sorted(by_suspect.values(), key=lambda pair: (-pair[1], pair[0].function.bdf, pair[0].fault.class_))
    total = sum(weight for _, weight in ranked)
    kept_list, share = [], 0.0
    for h, weight in ranked[:LIST_LIMIT]:
        kept_list.append((h, weight))
        share += weight / total
        if share >= LIST_SHARE:
            break
    whole = sum(weight for _, weight in kept_list)
    return tuple((h, max(1, round(100 * weight / whole))) for h, weight in kept_list)


def _missing(fabric: Fabric, best: Hypothesis, evidence: Sequence[Seen]) -> tuple[str, ...]:
    places: Mapping[At, set[str]] = {symptom.at: related(fabric, best.function, symptom.at) for symptom in best.fault.symptoms}
    return tuple(
        f"{symptom.class_} at {', '.join(sorted(places[symptom.at]))}"
        for symptom in _certain(best.fault, places)
        if not any(symptom.matches(one.class_) and one.device in places[symptom.at] for one in evidence)
    )
