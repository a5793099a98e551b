"""The engine: hands logged events to modules, in log order, and checkpoints what they make of them.

A round reads what is durable, delivers it, and commits all that changed (cursors, cases, SERD engines, buffers, timers, list
events, ereports of the modules' own) in one transaction. A crash in between repeats the round from the last checkpoint, so no
module misses an event, and none sees its own state and its cursor disagree. One thread: the daemon's main loop.

    engine = Engine(log, clock, host=name, boot=boot_id, facts=host, fabric=fabric)
    engine.register(Registration("pcie_diag", "1", open, ("ereport.io.pciex.*",)))
    while engine.pump(): ...          # after each durable ticket, and when next_due_ns() has come
    engine.close()
"""

from __future__ import annotations

import math
import sqlite3
import time
from bisect import bisect_left
from collections.abc import Iterable

import msgspec

from pcifma.access.seam import Clock, Host
from pcifma.errors import LogUnavailableError, PluginError
from pcifma.event.case import ListEvent
from pcifma.event.ereport import Ereport
from pcifma.fabric.fabric import Fabric
from pcifma.fmd.engine import census
from pcifma.fmd.engine.cache import target_of
from pcifma.fmd.engine.docket import PROBATION_NS, Docket
from pcifma.fmd.engine.house import House, NoHouse
from pcifma.fmd.engine.module import Loaded, Registration
from pcifma.fmd.engine.moment import Moment
from pcifma.fmd.engine.outbox import Outbox
from pcifma.fmd.engine.own import Author
from pcifma.fmd.engine.probation import Probation
from pcifma.fmd.engine.services import ModuleServices
from pcifma.fmd.log.batch import Batch
from pcifma.fmd.log.database import is_broken, is_storage
from pcifma.fmd.log.log import Log
from pcifma.fmd.log.reader import Logged
from pcifma.fmd.log.timeline import Timeline
from pcifma.plugin.guard import Guard
from pcifma.plugin.status import Status
from pcifma.plugin.watch import Finding

# Events in one round, and expired timers of one module in one: a module that arms a timer of no delay does not stop the others.
ROUND = 500
EXPIRIES = 1000
# While a checkpoint is on its way to disk, so many more events may be handed out.
AHEAD = 4096
PATIENCE_S = 10.0


class Engine:
    """All modules of a daemon, their docket, and the log that they live on."""

    def __init__(
        self, log: Log, clock: Clock, *, host: str, boot: str, facts: Host, fabric: Fabric, house: House | None = None,
        probation_ns: int = PROBATION_NS,
    ) -> None:  # fmt: skip
        """Take up what *log* kept: cases and resource cache at once, each module's state when it is registered."""
        self.log = log
        self.clock = clock
        self.fabric = fabric
        self.host = facts
        self.house = house or NoHouse()
        self.modules: dict[str, Loaded] = {}
        self._let_go: set[str] = set()
        self._boot = boot
        self._reader = log.reader()
        self._author = Author(clock, host=host, boot=boot)
        self._timeline = Timeline(clock, boot, log.committed, all(kept.boot == boot for kept in self._reader.modules()))
        self.docket = Docket(
            host=host,
            clock=clock,
            committed=lambda: log.committed,
            target_of=lambda device: target_of(self.fabric, device),
            probation=Probation(clock, boot, probation_ns),
        )
        self.docket.on_evidence = self.accepted
        self.docket.restore(self._reader.cases(), self._reader.resources(), self._reader.evidence)
        self._ereports: list[Ereport] = []
        self._outbox = Outbox(log)
        self._generation = log.generation
        self.moment = Moment(clock)

    def register(self, registration: Registration) -> Loaded:
        """Load a module, restore its checkpoint and open it; a module that was never here starts at the end of the log.

        PluginError if one of that name is loaded already or a subscription is no class glob; LogUnavailableError if storage is down.
        One that raises is set aside.
        """
        if registration.name in self.modules:
            raise PluginError(f"module {registration.name} is loaded already")
        if registration.name in self._let_go:
            self._outbox.wait(self._batch, PATIENCE_S)  # its last checkpoint, for the reader below
        try:
            module = self._restored(registration)
        except sqlite3.OperationalError as err:  # of this thread's reader
            raise LogUnavailableError(f"{self.log.path}: cannot be read: {err}; free or repair the storage") from err
        self.modules[registration.name] = module
        self._open(module)
        self._commit()
        return module

    def _restored(self, registration: Registration) -> Loaded:
        services = ModuleServices(self, registration.name, registration.version, registration.properties)
        kept = next((kept for kept in self._reader.modules() if kept.module == registration.name), None)
        start = self.log.committed if registration.since is None else registration.since
        cursor = start if kept is None else kept.cursor + bool(kept.failed)
        module = Loaded(registration, services, cursor, self._set_aside)
        if kept is not None:
            shift_ns = self._timeline.shift(kept.boot, kept.wall_offset_ns)
            services.restore(self._reader.state(registration.name), shift_ns, self.clock.boot_ns())
        return module

    def _open(self, module: Loaded) -> None:
        def open_() -> None:
            module.instance = module.registration.open(module.services)

        self.moment.begin(f"open {module.name}")
        module.call(open_)
        self.moment.end()

    def unregister(self, name: str) -> None:
        """Close a module and let it go; its cases and its checkpoint stay. PluginError if there is none of that name."""
        module = self.module(name)
        self._shut(module)
        self._commit()
        del self.modules[name]
        self._let_go.add(name)

    def _shut(self, module: Loaded) -> None:
        self.house.end(module.name)
        if module.instance is not None and not module.failed:
            module.call(module.instance.close)

    def reset(self, name: str) -> None:
        """Begin a module anew at the end of the log: its checkpoint and its unsolved cases are forgotten."""
        module = self.module(name)
        self._shut(module)
        for case in self.docket.of(name):
            if case.state == "UNSOLVED":
                case.close()
        module.services.forget()
        module.guard = Guard(name, self._set_aside)
        module.instance = None
        module.cursor = module.seen = self.log.committed
        self._open(module)
        self._commit()

    def module(self, name: str) -> Loaded:
        """The module *name*; PluginError if none of that name is loaded."""
        if name not in self.modules:
            raise PluginError(f"no module {name} is loaded: `pcifma config` lists those that are")
        return self.modules[name]

    def pump(self, limit: int = ROUND, *, until_s: float = math.inf) -> bool:
        """Do one round of at most *limit* events, none after *until_s* (time.monotonic) but the first; True if another can follow at
        once, False if the log or time must move first.

        LogError if a checkpoint was refused for good: the daemon must start again, from the last one that is durable.
        LogUnavailableError if the log cannot be read now; nothing is lost, pump again later.
        """
        try:
            return self._pump(limit, until_s)
        except sqlite3.DatabaseError as err:  # of this thread's reader
            if is_broken(err):
                self.log.check()
                return False
            if not is_storage(err):
                raise
            raise LogUnavailableError(f"{self.log.path}: cannot be read: {err}; free or repair the storage") from err

    def _pump(self, limit: int, until_s: float) -> bool:
        if self.log.generation != self._generation:
            self._renew()
        self._commit()
        if self._outbox.gathered >= AHEAD:
            return False
        more = self._round(limit, until_s)
        if not more or time.monotonic() <= until_s:  # else what is left comes first
            self._expire_all(self.clock.boot_ns(), until_s)
        self.docket.resolve_due()
        self.docket.settle(self._cursor_of)
        self._commit()
        return more and self._outbox.gathered < AHEAD

    # The log had to begin a new file: it knows nothing of what is in memory.
    def _renew(self) -> None:
        self._generation = self.log.generation
        self._reader.close()
        self._reader = self.log.reader()
        self.docket.renew()
        for module in self.modules.values():
            module.renew()

    def next_due_ns(self) -> int | None:
        """Boot time at which pump has something to do by itself: the earliest timer, or the end of a probation."""
        due = [due_ns for module in self._active() if (due_ns := module.services.timers.next_ns()) is not None]
        left_ns = self.docket.next_left_ns()
        if left_ns is not None:
            due.append(self.clock.boot_ns() + left_ns)
        return min(due, default=None)

    def topo(self, fabric: Fabric) -> None:
        """The fabric has changed: recognise replaced and absent parts, and tell every module."""
        self.fabric = fabric
        self.docket.topo(self.docket.cache.changes(fabric))
        self.moment.begin(f"topo {fabric.id}")
        for module in self._active():
            assert module.instance is not None
            module.call(module.instance.topo, fabric)
        self.moment.end()
        self._commit()

    def statistics(self, name: str) -> dict[str, int]:
        """What is counted of module *name*: the daemon's counters, those it counts by its services, and its own stats()."""
        return self.kept_statistics(name) | self.own_statistics(name)

    def kept_statistics(self, name: str) -> dict[str, int]:
        """What the daemon counts of module *name*: since it was loaded, and (cases open, bytes held) now."""
        return {**self.module(name).kept(), "open": len(self.docket.of(name)), "solved": self.docket.solved[name]}

    def own_statistics(self, name: str) -> dict[str, int]:
        """What module *name* counts itself."""
        return self.module(name).own()

    def takers(self, event: Ereport | ListEvent) -> dict[str, bool | None]:
        """The modules that *event* is for, and whether each of them has done with it; None for one that is set aside."""
        return {module.name: module.has(event) for module in self.modules.values() if module.subscription.takes(event)}

    def lists(self, case: str) -> list[ListEvent]:
        """The list events of *case* that are durable, in log order."""
        return list(self._reader.lists(case))

    def status(self) -> Status:
        """The daemon's counts, with how modules and cases are."""
        daemon = self.house.status()
        modules = (*daemon.modules, *census.modules(self.modules.values()))
        return msgspec.structs.replace(daemon, modules=modules, cases=census.cases(self.docket))

    def commit(self) -> bool:
        """Hand what an operator has changed to the log; False if it does not take it now (the next pump tries again)."""
        return self._commit()

    @property
    def stored(self) -> bool:
        """Everything that has changed is durable."""
        return not (self.docket.changes or self._ereports) and self._outbox.idle

    def wait(self) -> None:
        """Return when everything handed to the log is durable; LogError if it does not take it in time."""
        self._outbox.wait(self._batch, PATIENCE_S)

    def close(self) -> None:
        """Close every module and commit; the log stays open. LogError if it does not take the last checkpoint."""
        for name in list(self.modules):
            self._shut(self.modules[name])
        try:
            self._outbox.wait(self._batch, PATIENCE_S)
        finally:
            self._reader.close()

    # One round.

    def _round(self, limit: int, until_s: float = math.inf) -> bool:
        active = self._active()
        self.log.subscribers = frozenset(module.name for module in active)
        upto = self.log.take()
        after = min((module.cursor for module in active), default=upto)
        events = self._reader.events(after, limit, upto) if after < upto else []
        commits, handed = self.log.commits() if events else [], 0
        for logged in events:
            at = min(bisect_left(commits, (logged.seq, 0)), len(commits) - 1)
            if not self._hand_out(logged, commits[at][1], until_s):
                break
            handed += 1
            if time.monotonic() > until_s:  # a module that takes its time does not take that of the looks
                break
        self.moment.end()
        self._outbox.gathered += handed
        last = events[handed - 1].seq if handed else after
        reached = last if handed < len(events) or len(events) == limit else upto
        for module in active:
            if not module.failed:
                module.cursor = max(module.cursor, reached)
        return reached < upto

    def _hand_out(self, logged: Logged, durable_ns: int, until_s: float) -> bool:
        # False if time is over and timers that ran out before the event are still to be told: it comes after them, the next time.
        at_ns = self._timeline.of(logged)
        event, seq = logged.event, logged.event.seq
        planned = isinstance(event, Ereport) and event.maintenance is not msgspec.UNSET
        for module in self.modules.values():
            if module.seen >= seq or not module.subscription.takes(event):
                continue
            if planned and not module.registration.planned:
                module.seen = seq
                module.statistics.planned += 1
                continue
            if not module.failed and not self._expire(module, at_ns, until_s):
                return False
            module.seen = seq
            if module.failed:
                module.statistics.dropped += 1
                continue
            assert module.instance is not None
            self.moment.begin(logged.uuid, at_ns, logged)
            module.take(durable_ns, time.monotonic_ns())
            if module.call(module.instance.recv, event):
                module.cursor = seq
        return True

    def _expire_all(self, upto_ns: int, until_s: float) -> None:
        for module in self._active():
            self._expire(module, upto_ns, until_s)

    def _expire(self, module: Loaded, upto_ns: int, until_s: float) -> bool:
        # False if time is over before all are told that are due; one is told in any case.
        next_ns = module.services.timers.next_ns()
        if next_ns is None or next_ns > upto_ns:
            return True
        for number in range(EXPIRIES):
            if number and time.monotonic() > until_s:
                self.moment.end()
                return (due_ns := module.services.timers.next_ns()) is None or due_ns > upto_ns
            if module.failed or (due := module.services.expire(upto_ns)) is None:
                break
            name, timer = due
            assert module.instance is not None
            self.moment.begin(f"timer {name} {timer.due_ns}", timer.due_ns)
            module.statistics.timeouts += 1
            module.call(module.instance.timeout, name, timer.data)
        self.moment.end()
        return True

    def _active(self) -> list[Loaded]:
        return [module for module in self.modules.values() if not module.failed]

    def _cursor_of(self, name: str) -> int | None:
        module = self.modules.get(name)
        return None if module is None or module.failed else module.cursor

    def _set_aside(self, module: str, err: BaseException) -> None:
        self._ereports.append(self._author.failure(self.fabric, module, err))

    def _commit(self) -> bool:
        return self._outbox.send(self._batch)

    def _batch(self) -> Batch | None:
        changes = self.docket.take()
        moved = [module for module in self.modules.values() if module.unsaved]
        if not (moved or changes or self._ereports):
            return None
        offset_ns = self._timeline.wall_offset_ns
        ereports, self._ereports = tuple(self._ereports), []
        return Batch(
            boot_ns=self.clock.boot_ns(),
            ereports=ereports,
            lists=tuple(changes.lists),
            checkpoints=tuple(module.checkpoint(self._boot, offset_ns) for module in moved),
            cases=tuple(record.row() for record in changes.cases.values()),
            resources=tuple(entry.row() for entry in changes.resources.values()),
            evidence=tuple(changes.evidence),
            released=tuple(changes.released),
        )

    # What services ask of the engine.

    def at_ns(self, event: Ereport) -> int:
        """When *event* happened, in ns of this boot."""
        at_ns = self.moment.time_of(event.seq)
        return self._timeline.of(Logged(event, self._reader.boot_ns(event.seq) or 0)) if at_ns is None else at_ns

    def accepted(self, module: str, seq: int) -> None:
        """An ereport is evidence for *module*."""
        if module in self.modules:
            self.modules[module].accept(seq)

    def post(self, module: str, finding: Finding, number: int) -> None:
        """Log the *number*th ereport of *module*'s own with the next checkpoint."""
        self._ereports.append(self._author.ereport(self.fabric, module, finding, number))

    def subscribe(self, module: str, globs: Iterable[str]) -> None:
        """Let *module* have events of these classes too."""
        self.modules[module].subscription.add(globs)

    def ended(self, module: str, timer: str, outcome: str) -> None:
        """A program of *module* has ended: that is a timer that runs out now."""
        found = self.modules.get(module)
        if found is not None and not found.failed:
            found.services.arm(timer, 0.0, outcome, keep=False)
