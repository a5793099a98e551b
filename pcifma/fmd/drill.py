"""A drill: a synthetic fault through everything that a real one goes through, which closes itself.

    begin ──ereport durable──> logged ──case published──> diagnosed ──agents have list.suspect──> announced
          ──case repaired, then resolved──> closed ──agents have list.resolved──> passed
    out of time, or nobody diagnoses: failed; the case is closed all the same, by the next daemon if need be

Everything of it is `injected`; its suspect is no part of the machine, so there is nothing that could be taken out of service.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from pcifma.access.seam import Clock
from pcifma.errors import DaemonError, LogBusyError
from pcifma.event.case import ListEvent
from pcifma.event.ereport import Ereport
from pcifma.event.identity import utc
from pcifma.event.value import PayloadValue
from pcifma.fmd.engine.engine import Engine
from pcifma.fmd.engine.handle import Case
from pcifma.fmd.engine.own import Author
from pcifma.fmd.log.batch import Batch
from pcifma.fmd.log.log import Log
from pcifma.fmd.log.ticket import Ticket
from pcifma.fmd.socket import Later, Peer
from pcifma.plugin.watch import HOST, Evidence, Finding

DRILL_CLASS = "ereport.pcifma.drill"
DRILLED_CLASS = "ereport.pcifma.drilled"
DRILL_FAULT = "fault.pcifma.drill"
NOTE = "drill"
# What a module that hands events on counts of them (docs/plugins.md): those under way, and those that did not arrive.
WAITING = "waiting"
UNDELIVERED = ("failed", "late", "start", "events-dropped")
STAGES = ("logged", "diagnosed", "announced", "closed", "passed")


class Passed(msgspec.Struct, frozen=True, kw_only=True):
    """The last drill that passed, as the log keeps it. *agents*: modules that had both the fault and its end."""

    time: str
    case: str
    took_s: float
    agents: list[str]
    uid: int = 0


@dataclass(slots=True)
class _Run:
    peer: Peer
    later: Later
    event: Ereport
    began_ns: int
    end_ns: int
    ticket: Ticket
    case: str = ""
    reached: dict[str, int] = field(default_factory=dict)
    silent: list[str] = field(default_factory=list)
    broken: bool = False
    agents: list[str] = field(default_factory=list)
    undelivered: dict[str, int] = field(default_factory=dict)


class Drills:
    """Runs one drill at a time. `check` is called after each round of the engine, and when `due_ns` has come."""

    def __init__(self, engine: Engine, log: Log, author: Author, clock: Clock) -> None:
        """Take up what the log knows; a drill's case that a daemon left behind is closed."""
        self._engine, self._log, self._author, self._clock = engine, log, author, clock
        self._run: _Run | None = None
        self._number = 0
        reader = log.reader()
        kept = reader.note(NOTE)
        reader.close()
        self.last: Passed | None = None if kept is None else msgspec.json.decode(kept, type=Passed)
        self.passed = self.failed = 0
        self._generation = log.generation

    @property
    def due_ns(self) -> int | None:
        """When the drill under way is out of time, in boot ns."""
        return None if self._run is None else self._run.end_ns

    def begin(self, peer: Peer, later: Later, *, urgency: str, timeout_s: float) -> None:
        """Begin; *later* gets the outcome. DaemonError if one is under way, or the log takes nothing now."""
        if self._run is not None:
            raise DaemonError("a drill is under way: wait for its end")
        now_ns = self._clock.boot_ns()
        event = self._event(DRILL_CLASS, {"urgency": urgency, "uid": peer.uid, "pid": peer.pid}, now_ns)
        try:
            ticket = self._log.append(Batch(now_ns, ereports=(event,)))
        except LogBusyError as err:
            raise DaemonError(f"no drill: {err}") from err
        self._run = _Run(peer, later, event, now_ns, now_ns + round(timeout_s * 1e9), ticket)
        self._run.undelivered = {name: _undelivered(self._engine.own_statistics(name)) for name in self._engine.modules}

    def _event(self, class_: str, payload: dict[str, PayloadValue], now_ns: int) -> Ereport:
        self._number += 1
        finding = Finding(class_, Evidence(HOST, class_.rpartition(".")[2], 0), "info", dict(payload))
        return msgspec.structs.replace(self._author.ereport(self._engine.fabric, "fmd", finding, now_ns + self._number), injected=True)

    def check(self) -> bool:
        """Go on as far as possible; True if something was changed that the engine has to take up."""
        self._renew()
        moved = self._close_cases()
        run = self._run
        if run is None:
            return moved
        self._advance(run)
        if "passed" in run.reached:
            self._finish(run, missing="")
        elif self._is_over(run):
            self._finish(run, missing=next(stage for stage in STAGES if stage not in run.reached))
        return moved

    # The log had to begin a new file, which knows nothing of the last drill.
    def _renew(self) -> None:
        if self._log.generation != self._generation and self.last is not None:
            with contextlib.suppress(LogBusyError):
                self._log.append(Batch(self._clock.boot_ns(), notes={NOTE: msgspec.json.encode(self.last).decode()}))
                self._generation = self._log.generation

    def _is_over(self, run: _Run) -> bool:
        nobody = "logged" in run.reached and not self._is_diagnosed(run)
        return nobody or run.broken or self._clock.boot_ns() >= run.end_ns

    def _is_diagnosed(self, run: _Run) -> bool:
        return any(has is not None for has in self._engine.takers(run.event).values())

    def _advance(self, run: _Run) -> None:
        if run.ticket.durable:
            self._reach(run, "logged")
        case = next((c for c in self._engine.docket.cases.values() if run.event.uuid in c.ereports), None)
        if case is not None:
            run.case = case.uuid
        events = {event.class_: event for event in self._lists(run.case)}
        if "list.suspect" in events:
            self._reach(run, "diagnosed")
            self._heard(run, events["list.suspect"], "announced")
        if "list.resolved" in events:
            self._reach(run, "closed")
            self._heard(run, events["list.resolved"], "passed")

    def _lists(self, case: str) -> Iterable[ListEvent]:
        return self._engine.lists(case) if case else ()

    def _heard(self, run: _Run, event: ListEvent, stage: str) -> None:
        takers = {name: self._has(run, name, taken) for name, taken in self._engine.takers(event).items()}
        run.agents = sorted(takers)
        run.silent = sorted(name for name, has in takers.items() if not has)
        run.broken = None in takers.values()
        if not run.silent:
            self._reach(run, stage)

    # An agent that hands events on has one when it has arrived.
    def _has(self, run: _Run, name: str, taken: bool | None) -> bool | None:
        if not taken:
            return taken
        counted = self._engine.own_statistics(name)
        if _undelivered(counted) > run.undelivered.get(name, 0):
            return None
        return counted.get(WAITING, 0) == 0

    def _reach(self, run: _Run, stage: str) -> None:
        run.reached.setdefault(stage, self._clock.boot_ns() - run.began_ns)

    # A drill's case: of the drill under way, once its agents know of it; or left behind.
    def _close_cases(self) -> bool:
        docket, moved = self._engine.docket, False
        for case in [c for c in docket.cases.values() if is_drill(c)]:
            mine = self._run is not None and self._run.event.uuid in case.ereports
            if mine and self._run is not None and "announced" not in self._run.reached:
                continue
            if case.state == "SOLVED":
                docket.set_status(case, dict.fromkeys(range(len(case.record.suspects)), "repaired"))
                moved = True
            elif case.state == "REPAIRED":
                docket.resolve(case)
                moved = True
        if moved:
            self._engine.commit()
        return moved

    def _finish(self, run: _Run, *, missing: str) -> None:
        self._run = None
        took_s = (self._clock.boot_ns() - run.began_ns) / 1e9
        if missing:
            self.failed += 1
        else:
            self.passed += 1
            time = utc(self._clock.wall_ns())
            self.last = Passed(time=time, case=run.case, took_s=took_s, agents=run.agents, uid=run.peer.uid)
        self._store(run, missing)
        stages = {stage: at_ns / 1e9 for stage, at_ns in run.reached.items()}
        run.later.settle({
            "passed": not missing, "missing": missing, "why": self._why(run, missing), "case": run.case, "ereport": run.event.uuid,
            "stages": stages, "agents": run.agents, "silent": run.silent, "took_s": took_s,
        })  # fmt: skip

    def _why(self, run: _Run, missing: str) -> str:
        if not missing:
            return ""
        if missing == "logged":
            return self._log.trouble or "the log did not take the ereport in time"
        if missing == "diagnosed" and not self._is_diagnosed(run):
            return "no module that is active takes it: `pcifma config` says which was set aside, and why"
        if run.silent:
            return f"not answered by {', '.join(run.silent)}: `pcifma config` and `pcifma stat -m MODULE` say how they do"
        return "out of time"

    def _store(self, run: _Run, missing: str) -> None:
        payload: dict[str, PayloadValue] = {
            "passed": not missing, "missing": missing, "case": run.case, "agents": list(run.agents),
            "uid": run.peer.uid, "pid": run.peer.pid,
        }  # fmt: skip
        notes = {} if missing or self.last is None else {NOTE: msgspec.json.encode(self.last).decode()}
        event = self._event(DRILLED_CLASS, payload, self._clock.boot_ns())
        try:
            self._log.append(Batch(self._clock.boot_ns(), ereports=(event,), notes=notes))
        except LogBusyError:
            return  # it is told to whoever ordered it


def _undelivered(counted: Mapping[str, int]) -> int:
    return sum(counted.get(name, 0) for name in UNDELIVERED)


def is_drill(case: Case) -> bool:
    """True for the case of a drill."""
    return case.record.injected and any(suspect.class_ == DRILL_FAULT for suspect in case.record.suspects)
