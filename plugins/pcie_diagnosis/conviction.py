"""Convictions: from verdicts to cases. Thresholds, age, guests and history decide whether, and how urgently, somebody is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from pcifma.plugin import Case, Ereport, Fabric, ListEvent, Services, Suspect

from . import chain, history
from .address import find
from .docket import Docket, slim, suspect
from .evidence import LINK_ERRORS, Seen
from .exercise import Exercise, Hypothesis, Verdict
from .gathering import Kept, Round, earliest_ns, time_ns
from .hearsay import followers, is_contained, is_nobodys, with_followers
from .history import Entry, Swap
from .link import Links, Marginal
from .place import GUEST_DRIVERS, FabricSpace, path, siblings
from .rate import Direction
from .removal import Removals
from .rule import Fault, LinkSuspect, Rules, UrgencyWord, matches

Outcome = Literal["convict", "watch", "silent"]
# What one exercise of the host bridge's record echoes: a verdict on the same machine so short before, or after.
ECHO_S = 60.0
UNREAD = "ereport.pcifma.unread"
# Who is less certain than so many percent is not pulled in the night; and is watched rather than convicted of what software survived.
PAGED = 25
MENDED = frozenset({"repaired", "replaced"})


@dataclass(frozen=True, slots=True)
class Judged:
    """What was *taken* by which case, by uuid, and who is *absent* although nothing that was judged explains it."""

    taken: Mapping[str, str]
    absent: Sequence[Ereport]


class Convictions:
    """Verdicts of exercises, and links that are worse than allowed, as cases."""

    def __init__(self, services: Services, rules: Rules, docket: Docket, links: Links, removals: Removals) -> None:
        self._services, self._rules, self._docket, self._links, self._removals = services, rules, docket, links, removals
        self._courts: list[tuple[FabricSpace, Exercise]] = []
        self._said_ns: int | None = None

    # Exercises.

    def judge(self, part: str, together: Round) -> Judged:
        """Judge what was gathered of *part*."""
        services = self._services
        fabric = self._removals.fabric(services.fabric, part, services.now_ns())
        fresh = self._unexplained(fabric, together.fresh)
        services.count("explained-by-removal", len(together.fresh) - len(fresh))
        taken: dict[str, str] = {}
        known = {one.event.uuid: one for one in (*together.past, *fresh)}
        new = {one.event.uuid for one in fresh}
        repeating = followers([*together.past, *fresh])
        evidence = self._evidence(fabric, [one for one in (*together.past, *fresh) if one.event.uuid not in repeating])
        if not fresh or not evidence or self._is_echo(fresh, together.past):
            return Judged(taken, ())
        if all(is_nobodys(one) for one in evidence):
            self._leave_open(fabric, part, fresh)
            return Judged(taken, ())
        verdicts = [with_followers(verdict, known, repeating) for verdict in self._verdicts(fabric, evidence)]
        for verdict in verdicts:
            mine = [known[uuid] for uuid in sorted(verdict.explains)]
            if new & verdict.explains:
                case = self._accuse(fabric, verdict, mine, new)
                taken |= {one.event.uuid: case.uuid for one in mine if case is not None}
        explained = {uuid for verdict in verdicts for uuid in verdict.explains}
        left = [one for one in fresh if one.event.uuid not in explained and not self._rules.is_echo(one.seen.class_)]
        if left:
            self._leave_open(fabric, part, left)
        return Judged(taken, self._unheard(fabric, fresh, evidence, verdicts))

    def _unheard(self, fabric: Fabric, fresh: Sequence[Kept], evidence: Sequence[Seen], verdicts: Sequence[Verdict]) -> Sequence[Ereport]:
        # Who reads all ones beside errors that are not of it, nor of anything above it.
        plain = [one for one in evidence if not one.context]
        if all(one.class_ == UNREAD for one in plain):
            return ()
        blamed = {verdict.best.part for verdict in verdicts}
        absent = [one for one in fresh if one.seen.class_ == UNREAD and not is_contained(fabric, one.seen, plain)]
        return [one.event for one in absent if blamed.isdisjoint(_over(fabric, one.seen.device))]

    def _unexplained(self, fabric: Fabric, fresh: Sequence[Kept]) -> list[Kept]:
        kept = {event.uuid for event in self._removals.unexplained(fabric, [one.event for one in fresh], self._services.now_ns())}
        return [one for one in fresh if one.event.uuid in kept]

    def _evidence(self, fabric: Fabric, kept: Sequence[Kept]) -> list[Seen]:
        # Echoes are heard only where nothing else speaks; beside other evidence they are context. What a port cut off is silent for that.
        plain = [one.seen for one in kept if not self._rules.is_echo(one.seen.class_)]
        echoes = [one.seen for one in kept if self._rules.is_echo(one.seen.class_) and not is_contained(fabric, one.seen, plain)]
        return [*plain, *(msgspec.structs.replace(one, context=True) for one in echoes)] if plain else echoes

    def _is_echo(self, fresh: Sequence[Kept], past: Sequence[Kept]) -> bool:
        # A host bridge stands on another part of the fabric than the port that its record speaks of.
        if past or not all(one.seen.class_.startswith("ereport.io.hb.") and self._rules.is_echo(one.seen.class_) for one in fresh):
            return False
        return self._said_ns is not None and self._services.now_ns() - self._said_ns <= ECHO_S * 1e9

    def _verdicts(self, fabric: Fabric, evidence: list[Seen]) -> list[Verdict]:
        space, exercise = self._on(fabric)
        evidence = [*evidence, *self._troubled(fabric, space, evidence)]
        found = exercise.verdicts(evidence)
        weigh = self._weights(fabric, found)
        return exercise.verdicts(evidence, weigh) if weigh else found

    def _on(self, fabric: Fabric) -> tuple[FabricSpace, Exercise]:
        # After a removal, parts that lost nothing are judged on the fabric as it is, and others on the one before, in turn.
        known = next((court for court in self._courts if court[0].fabric is fabric), None)
        if known is None:
            space = FabricSpace(fabric)
            known = space, Exercise(self._rules, space)
            self._courts = [known, *self._courts[:1]]
        return known

    def _troubled(self, fabric: Fabric, space: FabricSpace, evidence: Sequence[Seen]) -> Iterator[Seen]:
        # Links that had corrected errors lately, of those that may be meant.
        for part in space.parts(evidence):
            if space.has_link(part) and space.stands_for_device(part) and self._links.troubled(fabric, part):
                yield Seen(f"link {part}", LINK_ERRORS, part, "correctable", context=True)

    def _weights(self, fabric: Fabric, verdicts: Iterable[Verdict]) -> dict[str, float]:
        # The swap test: what followed a card speaks against it, what stayed behind against its slot.
        found: dict[str, float] = {}
        for verdict in verdicts:
            for h, _ in verdict.suspects:
                for swap in self._swaps(fabric, h.fault.group, h.part):
                    if (swap.what == "slot") == h.fault.shared:
                        found[f"{h.fault.id}:{h.part}"] = history.LOG_WEIGHT
        return found

    def _swaps(self, fabric: Fabric, family: str, part: str) -> list[Swap]:
        function = find(fabric, part)
        if function is None or function.bus_range is not None:
            return []
        return history.swaps(self._docket.history, history.entry(family, fabric, function, time="", case=""))

    def _accuse(self, fabric: Fabric, verdict: Verdict, mine: Sequence[Kept], new: set[str]) -> Case | None:
        best = verdict.best
        key = _key(best)
        events = [one.event for one in mine]
        fresh = [one for one in mine if one.event.uuid in new]
        self._said_ns = self._services.now_ns()
        repeated = _is_repeated(fresh, [one for one in mine if one.event.uuid not in new])
        outcome = self._outcome(fabric, verdict, key, events, repeated=repeated)
        known = self._known(verdict, key, mine)
        if known is not None and self._is_another(known, verdict, mine):
            self._split(known, fabric, best.part)
            known = None
        if known is not None:
            for one in fresh:
                known.add_ereport(one.event)
            if outcome == "silent" or not self._is_news(known, verdict, outcome):
                return known
        if outcome == "silent":
            return None
        if known is not None and known.state == "SOLVED":
            self._revise(known, fabric, verdict, fresh, outcome)
            return known
        return self._open(fabric, verdict, mine if known is None else fresh, outcome)

    def _known(self, verdict: Verdict, key: str, mine: Sequence[Kept]) -> Case | None:
        cases = {case.uuid: case for case in self._services.cases()} if any(one.case for one in mine) else {}
        earlier = next((cases[one.case] for one in mine if one.case in cases), None)
        if earlier is not None and self._docket.candidates(earlier) & verdict.candidates:
            return earlier
        best = verdict.best
        known = self._docket.of(key) or self._docket.naming((best.fault.class_, best.part))
        if known is None and verdict.rest:
            # Of many that it may be, one is known to do so.
            known = next((case for pair in sorted(verdict.candidates) if (case := self._docket.first_of(pair)) is not None), None)
        return known

    def _is_another(self, known: Case, verdict: Verdict, mine: Sequence[Kept]) -> bool:
        # A second part that reads all ones does not clear the first, of which other evidence was seen.
        if any(one.seen.class_ != UNREAD for one in mine) or known.state != "SOLVED" or self._docket.is_watched(known):
            return False
        told = self._docket.chain(known)
        return not told.get("rest") and told.get("device") != verdict.best.part

    def _split(self, known: Case, fabric: Fabric, part: str) -> None:
        # *part* gets a case of its own: it is no suspect of *known* any more.
        told = self._docket.chain(known)
        rows = [row for row in told["suspects"] if row["device"] != part]
        functions = [(row, find(fabric, str(row["device"]))) for row in rows]
        named = [suspect(fabric, str(row["class"]), function, int(row["percent"])) for row, function in functions if function is not None]
        if named and len(rows) < len(told["suspects"]):
            chain = {**told, "suspects": rows, "candidates": [pair for pair in told["candidates"] if pair[1] != part]}
            self._docket.revise(known, known.key, chain, named, severity="", urgency="never-mind")

    def _is_news(self, known: Case, verdict: Verdict, outcome: Outcome) -> bool:
        # What is known is told again only where the list has become shorter, or the matter more urgent.
        before = self._docket.candidates(known)
        narrower = verdict.candidates < before or _parts(verdict.candidates) < _parts(before)
        return narrower or (outcome == "convict" and self._docket.is_watched(known))

    def _outcome(self, fabric: Fabric, verdict: Verdict, key: str, events: Sequence[Ereport], *, repeated: bool) -> Outcome:
        # Evidence of unknown age convicts only where it is fatal; what a threshold guards is counted once an exercise.
        fault = verdict.best.fault
        if all(event.first_look for event in events) and not any(event.severity == "fatal" for event in events):
            self._services.count("of-unknown-age")
            return "silent"
        threshold = fault.serd
        if threshold is None and self._is_guests(fabric, verdict, events):
            threshold = self._rules.removal.guest
        if threshold is None:
            return "convict"
        if repeated and self._docket.of(key) is not None:
            return "watch"
        if self._services.serd(key, threshold.n, threshold.t_s).record(events[-1]) and verdict.suspects[0][1] >= PAGED:
            return "convict"
        return threshold.below

    def _is_guests(self, fabric: Fabric, verdict: Verdict, events: Sequence[Ereport]) -> bool:
        function = find(fabric, verdict.best.part)
        owned = function is not None and function.driver in GUEST_DRIVERS
        # What comes here of a guest's Function that reads all ones has done so for longer than any reset takes.
        gone = any(event.class_.endswith("pcifma.unread") and event.device == verdict.best.part for event in events)
        return owned and not gone and all(matches(event.class_, self._rules.removal.explains) for event in events)

    def _open(self, fabric: Fabric, verdict: Verdict, kept: Sequence[Kept], outcome: Outcome) -> Case:
        best, events = verdict.best, [one.event for one in kept]
        suspects = _named(fabric, verdict)
        key = _key(best)
        if self._docket.of(key) is not None:
            key = f"{key}:{self._services.now_ns()}"
        case = self._docket.open(key, events, suspects)
        told = {**self._chain(fabric, verdict, kept), "watch": outcome == "watch"}
        code, urgency = self._docket.code([one.class_ for one in suspects]), _urgency(verdict, events, outcome)
        fresh = self._docket.solve(case, told, code=code, severity=_severity(best.fault, outcome), urgency=urgency)
        if fresh and outcome == "convict":
            self._remember(fabric, verdict, case, events)
        return case

    def _revise(self, known: Case, fabric: Fabric, verdict: Verdict, kept: Sequence[Kept], outcome: Outcome) -> None:
        best, events = verdict.best, [one.event for one in kept]
        watched = outcome == "watch" and self._docket.is_watched(known)
        told = {**self._chain(fabric, verdict, kept), "watch": watched}
        told["because"] = {**self._docket.chain(known).get("because", {}), **told["because"]}
        severity, urgency = _severity(best.fault, outcome), _urgency(verdict, events, outcome)
        self._docket.revise(known, _key(best), told, _named(fabric, verdict), severity=severity, urgency=urgency)
        if outcome == "convict":
            self._remember(fabric, verdict, known, events)

    def _chain(self, fabric: Fabric, verdict: Verdict, kept: Sequence[Kept]) -> dict[str, Any]:
        swaps = self._swaps(fabric, verdict.best.fault.group, verdict.best.part)
        return chain.of_verdict(self._rules, fabric, verdict, swaps, [one.seen for one in kept])

    def _remember(self, fabric: Fabric, verdict: Verdict, case: Case, events: Sequence[Ereport]) -> None:
        parts = [h.part for h, _ in verdict.suspects]
        self._docket.remember(self._entries(fabric, verdict.best.fault.group, parts, case, events[0].time))

    def _entries(self, fabric: Fabric, family: str, parts: Iterable[str], case: Case, time: str) -> Iterator[Entry]:
        for part in dict.fromkeys(parts):
            function = find(fabric, part)
            if function is not None and function.bus_range is None:
                yield history.entry(family, fabric, function, time=time, case=case.uuid)

    def _leave_open(self, fabric: Fabric, part: str, left: Sequence[Kept]) -> None:
        fault = next(fault for fault in self._rules.faults if not fault.symptoms)
        function = find(fabric, left[0].event.device)
        key = f"{fault.id}:{part}"
        case = self._docket.of(key)
        if case is not None:
            for one in left:
                case.add_ereport(one.event)
        elif function is not None and not all(one.event.first_look for one in left):
            case = self._docket.open(key, [one.event for one in left], [suspect(fabric, fault.class_, function, 100)])
            told = chain.of_unexplained(self._rules, fabric, function, [one.event.class_ for one in left])
            code = self._docket.code([fault.class_])
            self._docket.solve(case, told, code=code, severity=fault.severity, urgency=fault.urgency)

    def forget(self, event: ListEvent) -> None:
        """What was counted of parts before their repair says nothing of them after."""
        mended = [(one.class_, one.device) for one in event.fault_list if one.status in MENDED]
        for fault in self._rules.faults:
            for class_, device in mended:
                if fault.serd is not None and fault.class_ == class_:
                    self._services.serd(f"{class_}:{device}", fault.serd.n, fault.serd.t_s).reset()

    # Links.

    def link(self, of: Direction, event: Ereport) -> None:
        """*event* was counted for the direction *of*: open a case where it has become worse than allowed."""
        case = self._docket.of(f"link:{of}")
        if case is not None:
            case.add_ereport(event)
            return
        worse = self._links.judge(of)
        if worse is not None:
            self._accuse_link(worse, event)

    def _accuse_link(self, worse: Marginal, event: Ereport) -> None:
        fabric, ends = self._services.fabric, self._links.ends(worse.of)
        if not ends:
            return
        swaps = self._swaps(fabric, "link", worse.of.lower)
        rows = [(row, _weighed(row, swaps, worse.of)) for row in self._links.rows(worse.when)]
        rows.sort(key=lambda pair: -pair[1])
        events = {one.uuid: one for one in (*self._links.seen(worse.of), slim(event))}
        suspects = [suspect(fabric, row.class_, ends[row.part], weight) for row, weight in rows]
        case = self._docket.open(f"link:{worse.of}", events.values(), suspects)
        told = chain.of_link(self._rules, fabric, worse, swaps, events)
        told["suspects"] = [{"class": one.class_, "device": one.device} for one in suspects]
        code, link = self._docket.code([row.class_ for row, _ in rows]), self._rules.link
        if self._docket.solve(case, told, code=code, severity=link.severity, urgency=link.urgency):
            self._docket.remember(self._entries(fabric, "link", [worse.of.lower], case, event.time))
        self._said_ns = self._services.now_ns()


def _parts(candidates: Iterable[tuple[str, str]]) -> frozenset[str]:
    return frozenset(part for _, part in candidates)


def _over(fabric: Fabric, device: str) -> frozenset[str]:
    # All that can take *device* away with it: what is above, and its own device.
    function = find(fabric, device)
    if function is None:
        return frozenset({device})
    return frozenset(str(f.bdf) for f in (*path(fabric, function), *siblings(fabric, function)))


def _is_repeated(fresh: Sequence[Kept], past: Sequence[Kept]) -> bool:
    # May all of *fresh* be of the very moment that *past* was of? What a look saw clear after that is another time.
    if not past:
        return False
    told_ns = max(time_ns(one.event.time) for one in past)
    return not any(earliest_ns(one.event) >= told_ns for one in fresh)


def _named(fabric: Fabric, verdict: Verdict) -> list[Suspect]:
    found = [(h, percent, find(fabric, h.part)) for h, percent in verdict.suspects]
    return [suspect(fabric, h.fault.class_, function, percent) for h, percent, function in found if function is not None]


def _weighed(row: LinkSuspect, swaps: Sequence[Swap], of: Direction) -> int:
    # The card is the lower end: what it sends up, or receives.
    card = row.part != "link" and (row.part == "transmitter") == (of.way == "up")
    favoured = any((swap.what == "card") == card for swap in swaps)
    return row.weight * (round(history.WEIGHT) if favoured else 1)


def _severity(fault: Fault, outcome: Outcome) -> str:
    return "Minor" if outcome == "watch" else fault.severity


def _urgency(verdict: Verdict, events: Sequence[Ereport], outcome: Outcome) -> UrgencyWord:
    fault = verdict.best.fault
    if outcome == "watch":
        return "never-mind"
    if fault.urgency == "now" and verdict.suspects[0][1] < PAGED:
        return "working-hours"  # nobody can pull one of many cards at night
    if fault.urgency == "now" and all(event.first_look or event.class_.endswith("pcifma.unread") for event in events):
        return "working-hours"  # it may have happened weeks ago, or be a device that somebody switched off
    return fault.urgency



def _key(best: Hypothesis) -> str:
    return f"{best.fault.class_}:{best.part}"
