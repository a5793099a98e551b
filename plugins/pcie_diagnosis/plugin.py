"""PCI Express diagnosis: ereports in, cases with suspects out.

    corrected link error ──> tally of its link and direction ──> rate worse than allowed ──> case
    anything else        ──> exercise of its part of the fabric ──(window)──> verdicts ──(SERD)──> case

The window is a few looks long: what belongs to one uncorrectable error is latched at once, but is seen by looks one after another,
and their order means nothing. All state lives in checkpointed buffers, so a restart goes on where the daemon was killed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from pcifma.plugin import Case, Ereport, Fabric, Function, ListEvent, Services, Suspect, fmri, message_code

from .check import load
from .exercise import Hypothesis, Seen, Verdict, seen, verdicts
from .place import find, home
from .rate import Direction, Tally, bits_per_second, direction, marginal
from .removal import Removals
from .rule import Fault, Rules

RULES = Path(__file__).with_name("rules.yaml")
LOOK_S = 1.0  # the fast tier's interval
KEPT = 256  # ereports of one exercise; beyond it they are counted and not kept
DUE = "exercise:"
DRILL, DRILL_FAULT = "ereport.pcifma.drill", "fault.pcifma.drill"

_EVENTS = msgspec.json.Decoder(list[Ereport])
_TALLY = msgspec.json.Decoder(Tally)
_encode = msgspec.json.encode


def open(services: Services) -> Diagnosis:
    """Start the module with its rules; PluginError names every mistake in them."""
    site = str(services.properties.get("rules", ""))
    return Diagnosis(services, load(RULES, Path(site) if site else None))


class Diagnosis:
    """The module. Buffers: `exercise:<part>` holds its ereports, `link:<direction>` its tally, `speed:<device>` its Link Status."""

    def __init__(self, services: Services, rules: Rules) -> None:
        self._services = services
        self._rules = rules
        self._removals = Removals(rules, services.fabric)
        self._window_s = float(str(services.properties.get("window", 5.0)))

    def recv(self, event: Ereport | ListEvent) -> None:
        """Take one ereport, or a repair."""
        if isinstance(event, ListEvent):
            self._begin_anew(event)
            return
        if event.residue:
            return
        if event.class_ == DRILL:
            self._drill(event)
            return
        status = event.payload.get("pcie_link_status")
        if isinstance(status, int):
            self._services.put(f"speed:{event.device}", str(status).encode())
        if self._rules.is_link(event.class_):
            self._count(event)
        elif not self._rules.explains_away(event.class_):
            self._collect(event)

    def timeout(self, timer: str, data: str) -> None:
        """An exercise's window is over: say what it was."""
        if timer.startswith(DUE):
            events = self._events(data)
            self._services.put(f"{DUE}{data}", b"[]")
            self._judge(data, events)

    def close(self) -> None:
        """Nothing is held outside the buffers."""

    def stats(self) -> Mapping[str, int]:
        """None beside those that the daemon keeps."""
        return {}

    def topo(self, fabric: Fabric) -> None:
        """Remember what has gone: for a while its errors are judged on the fabric that it was on."""
        self._removals.topo(fabric, self._services.now_ns())

    def _drill(self, event: Ereport) -> None:
        # A fault of no part, so that nothing can be taken out of service for it; of each drill another one, so that none merge.
        case = self._services.open_case(f"drill:{event.uuid}")
        case.add_ereport(event)
        resource = f"fmd:///drill={event.uuid}"
        no_part = {"asru": "", "fru": "", "location": "", "resource": resource}
        case.add_suspect(Suspect(class_=DRILL_FAULT, certainty=100, status="faulty", device=event.device, **no_part))
        case.solve(self._code(frozenset({DRILL_FAULT})), severity="Minor", urgency=str(event.payload.get("urgency", "never-mind")))

    def _begin_anew(self, event: ListEvent) -> None:
        # What was counted of a part before its repair says nothing of it after.
        fabric = self._services.fabric
        mended = [suspect for suspect in event.fault_list if suspect.status in ("repaired", "replaced")]
        devices = {suspect.device for suspect in mended}
        for device in sorted(devices):
            function = find(fabric, device)
            for lower in (function, *fabric.children(function)) if function is not None else ():
                for way in ("down", "up"):
                    of = Direction(str(lower.bdf), way)
                    if self._services.get(f"link:{of}") is not None:
                        self._services.put(f"link:{of}", _encode(Tally()))
            part = home(fabric, device)
            if events := self._events(part):
                self._services.put(f"{DUE}{part}", _encode([kept for kept in events if kept.device not in devices]))
        for suspect in mended:
            for fault in self._rules.faults:
                if fault.serd is not None and fault.class_ == suspect.class_:
                    self._services.serd(f"{fault.id}:{suspect.device}", fault.serd.n, fault.serd.t_s).reset()

    # Corrected errors of links.

    def _count(self, event: Ereport) -> None:
        of = direction(self._rules.link, self._services.fabric, event)
        if of is None or event.first_look:
            self._services.count("unplaced")
            return
        now_s = self._services.now_ns() / 1e9
        tally = self._tally(of)
        tally.add(event, now_s)
        tally.trim(max(self._rules.link.windows_s), now_s)
        self._services.put(f"link:{of}", _encode(tally))
        bits = bits_per_second(self._link_status(of.lower))
        worse = marginal(self._rules.link, tally, bits=bits, now_s=now_s, look_s=LOOK_S)
        case = self._case_of(f"link:{of}")
        if worse is not None and case is None:
            self._accuse_link(of, event)
        elif case is not None:
            case.add_ereport(event)

    def _tally(self, of: Direction) -> Tally:
        kept = self._services.get(f"link:{of}")
        return Tally() if kept is None else _TALLY.decode(kept)

    def _link_status(self, lower: str) -> int | None:
        function = find(self._services.fabric, lower)
        port = self._services.fabric.parent(function) if function is not None else None
        for device in (lower, str(port.bdf) if port is not None else ""):
            kept = self._services.get(f"speed:{device}")
            if kept:
                return int(kept)
        return None

    def _accuse_link(self, of: Direction, event: Ereport) -> None:
        fabric = self._services.fabric
        lower = find(fabric, of.lower)
        port = fabric.parent(lower) if lower is not None else None
        if lower is None or port is None:
            return
        sender, receiver = (port, lower) if of.way == "down" else (lower, port)
        places = {"link": lower, "transmitter": sender, "receiver": receiver}
        case = self._services.open_case(f"link:{of}")
        case.add_ereport(event)
        for row in self._rules.link.suspects:
            case.add_suspect(_suspect(fabric, row.class_, places[row.part], row.weight))
        code = self._code(frozenset(row.class_ for row in self._rules.link.suspects))
        case.solve(code, severity=self._rules.link.severity, urgency=self._rules.link.urgency)

    # Everything else.

    def _collect(self, event: Ereport) -> None:
        fabric = self._removals.fabric(self._services.fabric, event.device, self._services.now_ns())
        part = home(fabric, event.device)
        events = self._events(part)
        if len(events) >= KEPT:
            self._services.count("beyond")
            return
        self._services.put(f"{DUE}{part}", _encode([*events, event]))
        if not events:
            self._services.arm(f"{DUE}{part}", self._window_s, part)

    def _events(self, part: str) -> list[Ereport]:
        kept = self._services.get(f"{DUE}{part}")
        return _EVENTS.decode(kept) if kept else []

    def _judge(self, part: str, events: Sequence[Ereport]) -> None:
        fabric = self._removals.fabric(self._services.fabric, part, self._services.now_ns())
        kept = self._removals.unexplained(fabric, events, self._services.now_ns())
        self._services.count("explained-by-removal", len(events) - len(kept))
        by_uuid = {event.uuid: event for event in kept}
        evidence = [seen(event) for event in kept]
        explained: set[str] = set()
        for verdict in verdicts(self._rules, fabric, evidence):
            explained |= verdict.explains
            self._accuse(fabric, verdict, [by_uuid[uuid] for uuid in by_uuid if uuid in verdict.explains])
        left = [one for one in evidence if one.uuid not in explained]
        if left:
            self._leave_open(fabric, part, left, by_uuid)

    def _accuse(self, fabric: Fabric, verdict: Verdict, events: Sequence[Ereport]) -> None:
        best = verdict.suspects[0][0]
        key = f"{best.fault.id}:{best.function.bdf}"
        known = self._case_of(key)
        if known is not None:
            for event in events:
                known.add_ereport(event)
        elif self._counts(best.fault, key, events):
            case = self._services.open_case(key)
            for event in events:
                case.add_ereport(event)
            for hypothesis, percent in verdict.suspects:
                case.add_suspect(_suspect(fabric, hypothesis.fault.class_, hypothesis.function, percent))
            self._keep_chain(case, best, verdict)
            code = self._code(frozenset(h.fault.class_ for h, _ in verdict.suspects))
            case.solve(code, severity=best.fault.severity, urgency=_urgency(best.fault, events))

    def _counts(self, fault: Fault, key: str, events: Sequence[Ereport]) -> bool:
        # Evidence of unknown age convicts only where it is fatal; what a threshold guards is counted once an exercise.
        if all(event.first_look for event in events) and not any(event.severity == "fatal" for event in events):
            self._services.count("of-unknown-age")
            return False
        if fault.serd is None:
            return True
        return self._services.serd(key, fault.serd.n, fault.serd.t_s).record(events[0])

    def _leave_open(self, fabric: Fabric, part: str, left: Sequence[Seen], by_uuid: Mapping[str, Ereport]) -> None:
        fault = next(fault for fault in self._rules.faults if not fault.symptoms)
        function = find(fabric, left[0].device)
        case = self._case_of(f"{fault.id}:{part}")
        fresh = case is None and function is not None and not all(one.first_look for one in left)
        if fresh and function is not None:
            case = self._services.open_case(f"{fault.id}:{part}")
            case.add_suspect(_suspect(fabric, fault.class_, function, 100))
        if case is not None:
            for one in left:
                case.add_ereport(by_uuid[one.uuid])
        if fresh and case is not None:
            case.solve(self._code(frozenset({fault.class_})), severity=fault.severity, urgency=fault.urgency)

    # What both have in common.

    def _case_of(self, key: str) -> Case | None:
        # A published case stays open under its key until it is repaired, so the same fault tells nobody twice.
        return next((case for case in self._services.cases() if case.key == key), None)

    def _code(self, classes: frozenset[str]) -> str:
        found = self._rules.code_of(classes)
        return "-" if found is None else message_code(*found)

    def _keep_chain(self, case: Case, best: Hypothesis, verdict: Verdict) -> None:
        chain = {
            "rule": best.fault.id,
            "rules": self._rules.version,
            "device": str(best.function.bdf),
            "explains": sorted(verdict.explains),
            "not-seen": list(verdict.missing),
        }
        self._services.put(f"why:{case.uuid}", _encode(chain))


def _urgency(fault: Fault, events: Sequence[Ereport]) -> str:
    if fault.urgency == "now" and all(event.first_look for event in events):
        return "working-hours"  # it may have happened weeks ago
    return fault.urgency


def _suspect(fabric: Fabric, class_: str, function: Function, certainty: int) -> Suspect:
    detector = fmri.detector(fabric, function)
    resource = fmri.hc(fabric, function)
    return Suspect(
        class_=class_,
        certainty=certainty,
        status="faulty",
        device=str(function.bdf),
        asru=f"dev:///{detector['device-path']}",
        fru=resource,
        location=function.slot.label if function.slot is not None else "",
        resource=resource,
    )
