"""A recording through the whole path, cases included: the poller's looks, a real log in a temporary directory, the real engine."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from pcifma.access.fixture import Fixture
from pcifma.errors import LogError
from pcifma.event.case import ListEvent
from pcifma.event.ereport import Ereport
from pcifma.fabric.build import build
from pcifma.fmd.engine.engine import Engine
from pcifma.fmd.engine.house import NoHouse
from pcifma.fmd.engine.module import Registration
from pcifma.fmd.log.batch import Batch
from pcifma.fmd.log.log import Log
from pcifma.fmd.property import typed
from pcifma.plugin.loader import Plugin
from pcifma.plugin.status import Status
from pcifma.poll.look import Look
from pcifma.poll.replay import play

# After the last look, time goes on so far for modules that still wait for something.
PATIENCE_NS = 600 * 1_000_000_000
_DURABLE_S = 60.0
_ROUND = 500

Happening = Look | ListEvent | Ereport


def registration(plugin: Plugin) -> Registration:
    """How the engine is told of the module *plugin*, its properties at their defaults."""
    manifest = plugin.manifest
    properties = {name: typed(row.type, row.default) for name, row in manifest.properties.items()}
    return Registration(plugin.name, manifest.version, plugin.open, tuple(manifest.subscribe), properties, manifest.planned)


def rehearse(fixture: Fixture, plugins: Sequence[Plugin]) -> Iterator[Happening]:
    """Each look of the recording, then the events that the log took with it, list events and the modules' own ereports included."""
    modules = [plugin for plugin in plugins if plugin.manifest.kind == "module"]
    sources = [plugin for plugin in plugins if plugin.manifest.kind == "source"]
    with tempfile.TemporaryDirectory(prefix="pcifma-replay-") as directory:
        log = Log.open(Path(directory) / "log", clock=fixture.clock, report=_silent)
        try:
            yield from _Rehearsal(fixture, log, modules).run(sources)
        finally:
            log.close()


class _Recorded(NoHouse):
    # Of a recording it is known whom its looks could not read.
    def __init__(self) -> None:
        self.unread: dict[str, str] = {}

    def status(self) -> Status:
        return msgspec.structs.replace(super().status(), unread=self.unread)


class _Rehearsal:
    def __init__(self, fixture: Fixture, log: Log, modules: Sequence[Plugin]) -> None:
        self._fixture, self._log = fixture, log
        self._reader = log.reader()
        self._shown = 0
        fabric = build(fixture)
        self._house = _Recorded()
        self._engine = Engine(
            log, fixture.clock, host=fixture.name, boot=fixture.boot, facts=fixture.host, fabric=fabric, house=self._house
        )
        for plugin in modules:
            self._engine.register(registration(plugin))

    def run(self, sources: Sequence[Plugin]) -> Iterator[Happening]:
        fabric_id = self._engine.fabric.id
        for look in play(self._fixture, sources):
            if look.fabric.id != fabric_id:
                fabric_id = look.fabric.id
                self._engine.topo(look.fabric)
            self._append(look)
            self._house.unread = look.unread
            yield look
            yield from self._settle()
        end_ns = self._fixture.clock.boot_ns() + PATIENCE_NS
        while (due_ns := self._engine.next_due_ns()) is not None and due_ns <= end_ns:
            self._fixture.clock.wait_until(due_ns)
            yield from self._settle()
        self._engine.close()
        self._reader.close()

    def _append(self, look: Look) -> None:
        if look.ereports or look.latched:
            batch = Batch(look.when.boot_ns, tuple(look.ereports), latched=look.latched)
            if not self._log.append(batch).wait(_DURABLE_S):
                raise LogError(f"{self._log.path}: the replay's log does not take its events: {self._log.trouble}")

    def _settle(self) -> Iterator[Happening]:
        # Until the engine has nothing more to do at this time. What it writes comes back from the log, durable.
        while True:
            before = self._log.committed
            self._engine.pump()
            self._engine.wait()
            yield from self._news()
            if self._log.committed == before:
                return

    def _news(self) -> Iterator[Happening]:
        # All events as the log has them, its numbers included.
        while fresh := self._reader.events(self._shown, _ROUND, self._log.committed):
            self._shown = fresh[-1].seq
            yield from (logged.event for logged in fresh)


def _silent(line: str) -> None:
    del line  # the log lives as long as the replay
