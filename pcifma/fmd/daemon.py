"""The daemon: everything put together, and the loop that runs until it is told to stop.

    WAITING ── storage takes the log ──> RUNNING ── SIGTERM, SIGINT ──> STOPPED
       nothing is looked at meanwhile:      look when a look is due; the engine when a batch is durable or a timer due;
       the registers keep it all            uevents; the control socket; plugins' processes and the keeper, when they end
"""

from __future__ import annotations

import selectors
import signal
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pcifma.access.seam import Machine
from pcifma.access.uevent import Uevents
from pcifma.errors import LogBusyError, LogUnavailableError, PcifmaError, SourceError
from pcifma.event.ereport import Ereport
from pcifma.fabric.build import build
from pcifma.fabric.fabric import Fabric
from pcifma.fmd.acknowledge import Acknowledger, Outcome
from pcifma.fmd.child.nursery import Nursery
from pcifma.fmd.child.offspring import OFFSPRING
from pcifma.fmd.child.public import Public
from pcifma.fmd.config import Config
from pcifma.fmd.consent import Consent
from pcifma.fmd.deadline import Readers
from pcifma.fmd.drill import Drills
from pcifma.fmd.engine.engine import Engine
from pcifma.fmd.engine.own import Author
from pcifma.fmd.hotplug import functions
from pcifma.fmd.house import House
from pcifma.fmd.keeper.client import KeeperClient
from pcifma.fmd.keeper.message import FACTS
from pcifma.fmd.log.batch import Batch
from pcifma.fmd.log.log import Log
from pcifma.fmd.log.retention import Limits
from pcifma.fmd.lookout import Duty, Lookout
from pcifma.fmd.loop import Loop
from pcifma.fmd.maintain import Planned, Work
from pcifma.fmd.notify import Notify
from pcifma.fmd.path import Paths
from pcifma.fmd.privilege import Identity
from pcifma.fmd.program import Programs
from pcifma.fmd.recorded import RecordedWriter
from pcifma.fmd.respond import Responder
from pcifma.fmd.roster import Roster, Where
from pcifma.fmd.socket import Arguments, Peer
from pcifma.plugin.watch import HOST, Evidence, Finding
from pcifma.regs.bdf import Bdf

_RETRY_NS = 2_000_000_000  # how often storage that did not take the log is tried again
_SETTLE_NS = 300_000_000  # hot-plug comes as a burst of uevents: wait until it is over
_HOUSEKEEPING_NS = 5_000_000_000
_PUMP_BUDGET_S = 0.05  # modules share the loop with looks: so long at a time
_NEVER_NS = 1 << 62
_TEXT_LIMIT = 400
_NO_FABRIC = Fabric("", {})

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Setup:
    """What a daemon is made of. *keeper* and *readers* are None where the source is no live machine, or nobody is root.

    *trusted*: uids that may own plugin directories. *file*: the configuration file that the command line named.
    *retirer* is a keeper for responses, where they are allowed. *children*: who third-party plugins run as.
    """

    config: Config
    paths: Paths
    machine: Machine
    keeper: KeeperClient | None
    readers: Readers | None
    trusted: frozenset[int]
    nursery: Nursery | None = None
    file: Path | None = None
    retirer: KeeperClient | None = None
    children: Identity | None = None


@dataclass(slots=True)
class Running:
    """What there is once storage has taken the log."""

    log: Log
    lookout: Lookout
    engine: Engine
    drills: Drills
    planned: Planned


class Daemon:
    """One daemon. `run` returns when it has been told to stop."""

    def __init__(self, setup: Setup, loop: Loop, *, say: Say, notify: Notify) -> None:
        self.setup, self.loop, self.say, self.notify = setup, loop, say, notify
        self.clock = setup.machine.clock
        self.started_ns = self.clock.wall_ns()
        self.author = Author(self.clock, host=setup.machine.name, boot=setup.machine.boot)
        self.roster = Roster(Where(setup.config, setup.paths, setup.trusted, setup.nursery, public(setup)), loop, say)
        self.programs = Programs(loop)
        self.responder = Responder(loop, setup.retirer)
        self.consent = Consent(setup.machine)
        self.running: Running | None = None
        self.waiting = self._trouble = ""
        self._own: list[Ereport] = []
        self._number = 0
        self._stopping = False
        self._pump_ns = _NEVER_NS
        self._settle_ns = _NEVER_NS
        self._changed: set[Bdf] = set()
        self._open_ns = self._keep_house_ns = self.clock.boot_ns()
        # Called once, when all that the engine has changed is durable.
        self.when_stored: list[Callable[[], None]] = []
        self.each_while: list[Callable[[], None]] = [OFFSPRING.reap, self.roster.tend]
        self.reload: Callable[[], None] = lambda: None

    def run(self) -> None:
        """Run until SIGTERM or SIGINT. LogError where the log is another daemon's, or a newer version's."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self.loop.on_signal(number, self.stop)
        self.loop.on_signal(signal.SIGHUP, self.reload)
        if self.setup.keeper is not None:
            self.loop.add(self.setup.keeper.fileno(), selectors.EVENT_READ, self._keeper_gone)
        uevents = self._listen()
        if uevents is None:
            self.each_while.append(lambda: self._rescan(self.running) if self.running is not None else None)
        try:
            while not self._stopping:
                self.loop.turn(self._due_ns())
                self._do_what_is_due()
        finally:
            self.notify.stopping()
            if uevents is not None:
                uevents.close()
            self._close()

    def stop(self) -> None:
        """Leave the loop at its next turn."""
        self._stopping = True

    def post(self, class_: str, payload: Mapping[str, str | int]) -> None:
        """Log an ereport of the daemon's own with the next look: *class_* behind `ereport.pcifma.`."""
        self._number += 1
        finding = Finding(f"ereport.pcifma.{class_}", Evidence(HOST, class_, 0), "info", dict(payload))
        fabric = self.running.lookout.fabric if self.running is not None else _NO_FABRIC
        self._own.append(self.author.ereport(fabric, "fmd", finding, self.clock.boot_ns() + self._number))

    def audit(self, peer: Peer, verb: str, arguments: Arguments, outcome: str) -> None:
        """Keep who changed, or tried to change, what: a line, and an ereport at once."""
        words = " ".join(f"{key}={value!r}" for key, value in arguments.items())[:_TEXT_LIMIT]
        self.say(f"{verb} {words} by uid {peer.uid} pid {peer.pid}: {outcome}"[:_TEXT_LIMIT])
        if outcome.startswith("refused"):
            return  # anybody in the group can be refused, as often as they like: a line is enough
        self.post("change", {"verb": verb, "arguments": words, "uid": peer.uid, "pid": peer.pid, "outcome": outcome[:_TEXT_LIMIT]})
        self._log_own()

    # What is due.

    def _due_ns(self) -> int:
        due = [self._pump_ns, self._settle_ns, self._keep_house_ns, self.clock.boot_ns() + self.programs.due_in_ns()]
        if self.running is None:
            return min([*due, self._open_ns])
        timers = (self.running.engine.next_due_ns(), self.running.drills.due_ns, self.running.planned.due_ns)
        return min([*due, self.running.lookout.due_ns, *(due_ns for due_ns in timers if due_ns is not None)])

    def _do_what_is_due(self) -> None:
        now_ns = self.clock.boot_ns()
        if now_ns >= self._keep_house_ns:
            self._keep_house_ns = now_ns + _HOUSEKEEPING_NS
            for call in self.each_while:
                call()
        self.programs.check()
        if self.running is None:
            if now_ns >= self._open_ns:
                self._open()
            return
        if now_ns >= self._settle_ns:
            self._rescan(self.running)
        work_ns = self.running.planned.due_ns
        if now_ns >= self.running.lookout.due_ns or (work_ns is not None and now_ns >= work_ns):
            self._look(self.running)  # also as planned work runs out, so that what comes later is known to be later
            self.running.planned.check()
        timer_ns = self.running.engine.next_due_ns()
        drill_ns = self.running.drills.due_ns
        if now_ns >= min(due_ns for due_ns in (self._pump_ns, timer_ns, drill_ns) if due_ns is not None):
            self._pump(self.running)

    def _open(self) -> None:
        try:
            log = Log.open(self.setup.paths.log, clock=self.clock, report=self.say, limits=limits_of(self.setup.config))
        except LogUnavailableError as err:
            self._wait(err)
            return
        try:
            self._begin(log)
        except (LogUnavailableError, sqlite3.OperationalError) as err:  # it opened, and failed then
            log.close()
            self._wait(err)

    def _wait(self, err: Exception) -> None:
        if str(err) != self.waiting:
            self.say(f"{err}; nothing is looked at until then")
        self.waiting = str(err)
        self._open_ns = self.clock.boot_ns() + _RETRY_NS
        self.notify.ready(f"waiting for storage: {err}")

    def _begin(self, log: Log) -> None:
        setup = self.setup
        sources = self.roster.prepare()
        lookout = Lookout(
            setup.machine, build(setup.machine), sources, log, streams=self.roster.streams(),
            duty=self.duty(), readers=setup.readers, acknowledger=self._acknowledger(),
        )  # fmt: skip
        facts = setup.machine.host
        house = House(setup.machine, lookout, log, self.programs, self.responder, self.roster, self.started_ns)
        engine = Engine(
            log, self.clock, host=setup.machine.name, boot=setup.machine.boot, facts=facts, fabric=lookout.fabric, house=house,
            probation_ns=int(setup.config.number("probation") * 1e9),
        )  # fmt: skip
        planned = Planned(log, self.clock, setup.machine.boot, self._tell_of_work)
        lookout.mark = planned.mark
        drills = Drills(engine, log, self.author, self.clock)
        house.planned, house.drills = planned, drills
        self.roster.attach(lookout.poller, engine)
        self.running, self.waiting = Running(log, lookout, engine, drills, planned), ""
        log.on_commit = partial(self.loop.post, self._durable)
        self._pump_ns = self.clock.boot_ns()
        self._look(self.running)
        self.notify.ready(self.status_line())

    def _tell_of_work(self, work: Work, state: str) -> None:
        where = work.what or "the whole host"
        self.say(f"planned work {work.id} on {where} {state}: {work.why} (uid {work.uid} pid {work.pid}, until {work.until})"[:_TEXT_LIMIT])
        who: dict[str, str | int] = {"uid": work.uid, "pid": work.pid}
        self.post("maintenance", {"id": work.id, "state": state, "what": work.what, "why": work.why, "until": work.until, **who})
        self._log_own()

    def duty(self) -> Duty:
        """How to look, as the configuration has it now."""
        fast_ns, slow_ns = (int(self.setup.config.number(f"poll.{name}") * 1e9) for name in ("interval", "slow_interval"))
        self.notify.expect(fast_ns / 1e9)
        flag = self.setup.config.flag
        return Duty(fast_ns, slow_ns, self.consent.allows, automatic=flag("clear"), polls=flag("poll.registers"))

    def _acknowledger(self) -> Acknowledger | None:
        machine = self.setup.machine
        writer = RecordedWriter(machine) if machine.kind == "fixture" else self.setup.keeper
        if writer is None:
            return None
        return Acknowledger(writer.acknowledge, lambda outcome: self.loop.post(lambda: self._acknowledged(outcome)), boot=machine.boot)

    def _acknowledged(self, outcome: Outcome) -> None:
        if self.running is not None:
            self.running.lookout.outcome(outcome)

    def pump_now(self) -> None:
        """Let the engine take up what was changed, at the loop's next turn."""
        self._pump_ns = 0

    def look_now(self) -> None:
        """Look before anything else happens, if storage has taken the log."""
        if self.running is not None:
            self._look(self.running)

    def _look(self, running: Running) -> None:
        own, self._own = self._own, []
        if running.lookout.look(own):
            self.notify.looked(self.status_line())
        else:
            self._own = own
        if running.lookout.fabric is not running.engine.fabric:
            running.engine.topo(running.lookout.fabric)
            self._pump_ns = 0

    def _durable(self) -> None:
        self._pump_ns = 0

    def _pump(self, running: Running) -> None:
        # As much as there is, but looks come first.
        end_s = time.monotonic() + _PUMP_BUDGET_S
        self._pump_ns = _NEVER_NS
        try:
            while running.engine.pump(until_s=end_s):
                if time.monotonic() > end_s:
                    self._pump_ns = 0
                    break
            if running.drills.check():
                self._pump_ns = 0
            if running.engine.stored:
                calls, self.when_stored = self.when_stored, []
                for call in calls:
                    call()
        except LogUnavailableError as err:
            self._note_trouble(str(err))
            self._pump_ns = self.clock.boot_ns() + _RETRY_NS

    def _note_trouble(self, text: str) -> None:
        if text != self._trouble:
            self.say(text)
        self._trouble = text

    def _log_own(self) -> None:
        if self.running is None or not self._own:
            return
        try:
            self.running.log.append(Batch(self.clock.boot_ns(), ereports=tuple(self._own)))
        except LogBusyError:
            return  # with the next look, then
        self._own = []

    # What others bring.

    def _listen(self) -> Uevents | None:
        if self.setup.machine.kind != "live":
            return None
        try:
            uevents = Uevents()
        except SourceError as err:
            self.say(f"{err}: hot-plug is noticed by looking")
            return None
        self.loop.add(uevents.fileno(), selectors.EVENT_READ, lambda: self._happened(uevents))
        return uevents

    def _happened(self, uevents: Uevents) -> None:
        changed, missed = functions(uevents.records())
        self._changed |= changed
        if changed or missed:
            self._settle_ns = self.clock.boot_ns() + _SETTLE_NS

    def _rescan(self, running: Running) -> None:
        self._settle_ns = _NEVER_NS
        changed, self._changed = self._changed, set()
        if running.lookout.rescan(changed):
            running.engine.topo(running.lookout.fabric)
            self._pump_ns = 0

    def rebuild(self) -> None:
        """Take every Function anew: what may be read of them has changed."""
        if self.running is not None:
            self._changed |= set(self.running.lookout.fabric.functions)
            self._rescan(self.running)

    def _keeper_gone(self) -> None:
        keeper = self.setup.keeper
        if keeper is None or keeper.check():
            return
        self.loop.remove(keeper.fileno())
        self.say("the keeper is gone: what is open is still read, nothing new can be opened or acknowledged; restart pcifma fmd")
        self.post("keeper", {"pid": keeper.pid})

    def status_line(self) -> str:
        """How it goes, on one line."""
        if self.running is None:
            return f"waiting for storage: {self.waiting}"
        count = self.running.lookout.count
        unread = f"{len(count.unread)} unread, " if count.unread else ""
        return f"{count.functions} Functions, {unread}{count.looks} looks, {count.ereports} ereports, {count.writes} writes"

    def _close(self) -> None:
        running, self.running = self.running, None
        try:
            if running is not None:
                if running.lookout.acknowledger is not None:
                    running.lookout.acknowledger.close()
                running.engine.close()
        except PcifmaError as err:
            self.say(str(err))
        finally:
            self.programs.close()
            self.responder.close()
            self.roster.close()
            if running is not None:
                running.log.close()


def public(setup: Setup) -> Public | None:
    """What of this host third-party plugins may see; None where it is none that lives."""
    return Public.beside(setup.paths.own, FACTS) if setup.machine.kind == "live" else None


def limits_of(config: Config) -> Limits:
    """How large the log may become."""
    size, faults, cases = (int(config.number(f"log.{name}")) for name in ("size", "faults", "cases"))
    return Limits(database_bytes=size, fault_bytes=faults, cases=cases)
