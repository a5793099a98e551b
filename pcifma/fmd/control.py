"""What can be asked and ordered over the control socket: one row a verb."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import get_args

import msgspec

from pcifma import __version__
from pcifma.errors import PcifmaError, PluginError, UsageError
from pcifma.event.case import Urgency
from pcifma.event.identity import utc
from pcifma.fmd.clearing import Clearing
from pcifma.fmd.concern import functions_of, with_partners
from pcifma.fmd.daemon import Daemon, Running
from pcifma.fmd.engine.cache import Resource
from pcifma.fmd.engine.verdict import Verdict, flush, judge, spoken
from pcifma.fmd.log.archive import LogName
from pcifma.fmd.log.purge import Purged, forget, purge
from pcifma.fmd.log.ticket import Ticket
from pcifma.fmd.maintain import Work
from pcifma.fmd.socket import Arguments, Later, Peer, Verb
from pcifma.platform.guest import guests
from pcifma.poll.absence import summary

_UNREAD_SHOWN = 1000
_DRILL_LONGEST_S = 600.0
# fmadm's names of the logs, and the tables that they are here.
LOGS: dict[str, LogName] = {"errlog": "error", "fltlog": "fault"}


class Control:
    """The verbs of *daemon*."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._clearing = Clearing(daemon)

    def verbs(self) -> dict[str, Verb]:
        """By name."""
        return {
            "status": Verb(self._status),
            "guests": Verb(self._guests),
            "config": Verb(self._config),
            "stat": Verb(self._stat),
            "serd": Verb(self._serd),
            "reset": Verb(self._reset, changes=True),
            "rotate": Verb(self._rotate, changes=True),
            "maintain": Verb(self._maintain, changes=True),
            "maintain-end": Verb(self._maintain_end, changes=True),
            "maintain-list": Verb(self._maintain_list),
            "drill": Verb(self._drill, changes=True),
            "flush": Verb(self._flush, changes=True),
            "purge": Verb(self._purge, changes=True),
            "load": Verb(self._load, changes=True),
            "unload": Verb(self._unload, changes=True),
            "repaired": Verb(partial(self._judge, "repaired"), changes=True),
            "replaced": Verb(partial(self._judge, "replaced"), changes=True),
            "acquit": Verb(partial(self._judge, "acquitted"), changes=True),
            "exhibit": Verb(self._exhibit),
            "clear.plan": Verb(self._clearing.plan),
            "clear": Verb(self._clearing.clear, changes=True),
            "sweep": Verb(self._clearing.sweep, changes=True),
        }

    def _exhibit(self, arguments: Arguments, peer: Peer) -> dict[str, object]:
        from pcifma.fmd.exhibit import Exhibits  # noqa: PLC0415 - asked for once a year, and it weighs 2 MiB

        return Exhibits(self._daemon).show(arguments, peer)

    def _status(self, arguments: Arguments, peer: Peer) -> dict[str, object]:
        daemon = self._daemon
        setup = daemon.setup
        keeper = setup.keeper
        found: dict[str, object] = {
            "version": __version__,
            "pid": os.getpid(),
            "uid": os.geteuid(),
            "host": setup.machine.name,
            "boot": setup.machine.boot,
            "source": setup.machine.kind,
            "started": utc(daemon.started_ns),
            "now": utc(daemon.clock.wall_ns()),
            "keeper": "none" if keeper is None else "root" if keeper.alive else "gone",
            "interval_s": setup.config.number("poll.interval"),
            "clear": setup.config.flag("clear") and (keeper is not None or setup.machine.kind == "fixture"),
            "waiting": daemon.waiting,
            "plugins": {status: sum(row.status == status for row in daemon.roster.rows()) for status in ("active", "failed", "loading")},
        }
        found["maintenance"] = self._maintain_list(arguments, peer)
        return found | self._children() | self._looks() | self._log() | self._drills()

    def _children(self) -> dict[str, object]:
        who = self._daemon.setup.children
        if who is None:
            return {}
        running = sum(row.origin != "built-in" and row.status == "active" for row in self._daemon.roster.rows())
        return {"children": {"running": running, "uid": who.uid, "apart": who.uid != os.geteuid(), "note": who.note}}

    def _drills(self) -> dict[str, object]:
        running = self._daemon.running
        if running is None:
            return {}
        drills = running.drills
        last = None if drills.last is None else msgspec.to_builtins(drills.last)
        return {"drill": {"last_passed": last, "passed": drills.passed, "failed": drills.failed}}

    def _guests(self, arguments: Arguments, peer: Peer) -> dict[str, str]:
        running = self._daemon.running
        return {} if running is None else guests(self._daemon.setup.machine.host, running.lookout.fabric)

    def _looks(self) -> dict[str, object]:
        running = self._daemon.running
        if running is None:
            return {"looks": 0}
        count = running.lookout.count
        return {
            "looks": count.looks,
            "deferred": count.deferred,
            "last_look": None if count.last_wall_ns is None else utc(count.last_wall_ns),
            "longest_look_s": count.longest_ns / 1e9,
            "fabric": running.lookout.fabric.id,
            "functions": count.functions,
            "unread": summary(count.unread.values()),
            "unread_functions": dict(sorted(count.unread.items())[:_UNREAD_SHOWN]),
            "ereports": count.ereports,
            "writes": count.writes,
            "writes_refused": count.refused,
        }

    def _log(self) -> dict[str, object]:
        running = self._daemon.running
        if running is None:
            return {}
        log = running.log
        return {"log": {"path": str(log.path), "seq": log.committed, "trouble": log.trouble, **log.counters}}

    def _config(self, arguments: Arguments, peer: Peer) -> list[dict[str, object]]:
        return [asdict(row) for row in self._daemon.roster.rows()]

    def _stat(self, arguments: Arguments, peer: Peer) -> Mapping[str, object]:
        running = self._daemon.running
        if running is None:
            return {}
        engine = running.engine
        if arguments.get("apart"):
            return {name: {"fmd": engine.kept_statistics(name), "own": engine.own_statistics(name)} for name in engine.modules}
        return {name: engine.statistics(name) for name in engine.modules}

    def _serd(self, arguments: Arguments, peer: Peer) -> list[dict[str, object]]:
        now_ns = self._daemon.clock.boot_ns()
        engines = self._running().engine.module(_text(arguments, "name", "which module")).services.serds
        return [
            {
                "name": name, "n": state.n, "t_s": state.t_ns / 1e9, "count": state.total, "late": state.late,
                "oldest_s": (now_ns - state.kept[0][0]) / 1e9 if state.kept else None,
            }
            for name, state in sorted(engines.items())
        ]  # fmt: skip

    def _reset(self, arguments: Arguments, peer: Peer) -> dict[str, str]:
        engine, name = self._running().engine, _text(arguments, "name", "which module")
        if "serd" in arguments:
            serd = _text(arguments, "serd", "which SERD engine")
            engine.module(name).services.reset_serd(serd)
            engine.commit()
            return {"reset": name, "serd": serd}
        engine.reset(name)
        return {"reset": name}

    def _rotate(self, arguments: Arguments, peer: Peer) -> Later:
        log, loop, later = self._running().log, self._daemon.loop, Later()
        which = LOGS.get(_text(arguments, "log", "which log"))
        if which is None:
            raise UsageError(f"no log {arguments['log']!r}: there is {', '.join(LOGS)}")
        made: list[Path | None] = []
        ticket = log.do(lambda store: made.append(store.rotate(which, log.subscribers)))
        ticket.then(lambda done: loop.post(lambda: later.settle(done.error or {"file": None if made[0] is None else str(made[0])})))
        return later

    def _drill(self, arguments: Arguments, peer: Peer) -> Later:
        drills, later = self._running().drills, Later()
        urgency = _text(arguments, "urgency", "how urgent")
        timeout_s = arguments.get("timeout_s")
        if urgency not in get_args(Urgency):
            raise UsageError(f"urgency {urgency!r}: write one of {', '.join(get_args(Urgency))}")
        if not isinstance(timeout_s, int | float) or not 0 < timeout_s <= _DRILL_LONGEST_S:
            raise UsageError(f"timeout_s: seconds are wanted, {_DRILL_LONGEST_S:g} at most")
        drills.begin(peer, later, urgency=urgency, timeout_s=timeout_s)
        return later

    def _maintain(self, arguments: Arguments, peer: Peer) -> Later:
        running, for_s = self._running(), arguments.get("for_s")
        if not isinstance(for_s, int | float):
            raise UsageError("for_s: seconds are wanted")
        what, why = str(arguments.get("what", "")), _text(arguments, "why", "why")
        work, ticket = running.planned.begin(running.lookout.fabric, peer, what=what, why=why, for_s=for_s)
        return self._once_durable(ticket, told(work))

    def _maintain_end(self, arguments: Arguments, peer: Peer) -> Later:
        running, name = self._running(), _text(arguments, "id", "which work")
        self._daemon.look_now()
        work, ticket = running.planned.end(name, running.lookout.count.last_wall_ns)
        return self._once_durable(ticket, told(work))

    def _maintain_list(self, arguments: Arguments, peer: Peer) -> list[dict[str, object]]:
        running = self._daemon.running
        return [] if running is None else [told(work) for work in running.planned.active]

    def _once_durable(self, ticket: Ticket, result: object) -> Later:
        later, loop = Later(), self._daemon.loop
        ticket.then(lambda done: loop.post(lambda: later.settle(done.error or result)))
        return later

    def _flush(self, arguments: Arguments, peer: Peer) -> Later:
        running, what = self._running(), _text(arguments, "what", "which resource")
        keys = flush(running.engine.docket, what)
        return self._once_durable(running.log.do(lambda store: forget(store, keys)), {"flushed": len(keys)})

    def _purge(self, arguments: Arguments, peer: Peer) -> Later:
        running, loop, later = self._running(), self._daemon.loop, Later()
        done: list[Purged] = []

        def settle(error: PcifmaError | None) -> None:
            for found in done:
                running.engine.docket.forget(found.cases)
            later.settle(error or {"ereports": done[0].ereports, "lists": done[0].lists, "cases": len(done[0].cases)})

        ticket = running.log.do(lambda store: done.append(purge(store)))
        ticket.then(lambda ticket: loop.post(lambda: settle(ticket.error)))
        return later

    def _load(self, arguments: Arguments, peer: Peer) -> object:
        self._running()
        later = Later()
        name = _name(arguments)

        def done(err: PcifmaError | None) -> None:
            later.settle({"loaded": name} if err is None else err)

        self._daemon.roster.load(name, done, path=str(arguments.get("path", "")))
        return later

    def _unload(self, arguments: Arguments, peer: Peer) -> dict[str, str]:
        self._running()
        name = _name(arguments)
        self._daemon.roster.unload(name)
        return {"unloaded": name}

    def _judge(self, verdict: Verdict, arguments: Arguments, peer: Peer) -> Later:
        running, what, suspect = self._running(), str(arguments.get("what", "")), str(arguments.get("suspect", ""))
        docket = running.engine.docket
        judged = judge(docket, running.engine.fabric, suspect or what, verdict, case=what if suspect else "")
        notes = [spoken(entry, verdict) for entry in judged]
        for entry, note in zip(judged, notes, strict=True):
            docket.remark(entry.case, f"{verdict} {entry.suspect.device} by uid {peer.uid} pid {peer.pid}{f': {note}' if note else ''}")
        running.engine.commit()
        latched = self._rebase(running, judged) if verdict != "acquitted" else 0
        uuids = {case.record.id: case.uuid for case in docket.cases.values()}
        done = [
            {"case": uuids.get(r.case, ""), "device": r.suspect.device, "class": r.suspect.class_, "note": note, "latched": latched}
            for r, note in zip(judged, notes, strict=True)
        ]
        later = Later()
        self._daemon.when_stored.append(lambda: later.settle(done))  # whoever reads the log next finds it there
        self._daemon.pump_now()
        return later

    def _rebase(self, running: Running, judged: list[Resource]) -> int:
        # A new baseline of all that the case concerns; how many bits stay latched there that nobody will clear.
        fabric, numbers = running.lookout.fabric, {entry.case for entry in judged}
        reader = running.log.reader()
        try:
            cases = [case.record for case in running.engine.docket.cases.values() if case.record.id in numbers]
            concerned = [functions_of(case, reader, fabric) for case in cases]
        finally:
            reader.close()
        functions = with_partners(frozenset().union(*concerned), fabric)
        running.lookout.rebase(functions)
        self._daemon.look_now()
        return running.lookout.latched(functions)

    def _running(self) -> Running:
        running = self._daemon.running
        if running is None:
            raise PluginError(f"the daemon waits for its storage: {self._daemon.waiting}")
        return running


def told(work: Work) -> dict[str, object]:
    """Planned work as it is told."""
    return {
        "id": work.id, "what": work.what, "below": work.anchors, "why": work.why, "uid": work.uid, "pid": work.pid, "began": work.began,
        "until": work.until,
    }  # fmt: skip


def _name(arguments: Arguments) -> str:
    return _text(arguments, "name", "which plugin")


def _text(arguments: Arguments, key: str, what: str) -> str:
    found = arguments.get(key)
    if not isinstance(found, str) or not found:
        raise UsageError(f'say {what}: {{"{key}": "…"}}')
    return found
