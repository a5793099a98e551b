"""A loaded module, called through its Guard.

A module that raises, whatever it raises, is set aside: it gets no more events, its cursor stays before the event that it failed
on, and the daemon goes on. When it is opened again (reset, or the next start) it goes on after that event.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import ParamSpec

from pcifma.event.case import ListEvent
from pcifma.event.ereport import Ereport
from pcifma.fmd.engine.dispatch import Subscription
from pcifma.fmd.engine.services import ModuleServices
from pcifma.fmd.log.batch import Checkpoint
from pcifma.plugin import boundary
from pcifma.plugin.guard import Guard, line
from pcifma.plugin.module import Module, PropertyValue, Services


@dataclass(frozen=True, slots=True)
class Registration:
    """What the engine is told of a module: *open* makes it, *subscribe* are class globs, *properties* are typed already.

    *planned*: it gets ereports of planned work too. One that was never here starts behind the event numbered *since* (None: the newest).
    """

    name: str
    version: str
    open: Callable[[Services], Module]
    subscribe: tuple[str, ...] = ()
    properties: Mapping[str, PropertyValue] = field(default_factory=dict)
    planned: bool = False
    since: int | None = None


@dataclass(slots=True)
class Statistics:
    """What the daemon counts of a module since it was loaded.

    *accepted*: events it has made evidence of a case, or counted in a SERD engine; *dropped*: those it did not get because it was set
    aside; *spent_ns*: time inside it; *waited_ns*: of all events together, between being durable and being handed out; *waiting_ns*:
    time during which one at least waited; *planned*: ereports of planned work that it did not get.
    """

    delivered: int = 0
    accepted: int = 0
    dropped: int = 0
    timeouts: int = 0
    checkpoints: int = 0
    spent_ns: int = 0
    waited_ns: int = 0
    waiting_ns: int = 0
    planned: int = 0

    def as_dict(self) -> dict[str, int]:
        """By name."""
        return asdict(self)


P = ParamSpec("P")
Report = Callable[[str, BaseException], None]


class Loaded:
    """A module with its services and statistics. *instance* is None until it is opened, and where it failed to open.

    *cursor* is the newest event that it has done with, *seen* the newest that it was offered, set aside or not.
    """

    def __init__(self, registration: Registration, services: ModuleServices, cursor: int, report: Report) -> None:
        self.registration = registration
        self.name = registration.name
        self.subscription = Subscription(registration.subscribe)
        self.services = services
        self.cursor = self.seen = cursor
        self.statistics = Statistics()
        self.guard = Guard(self.name, report)
        self.instance: Module | None = None
        self._saved = (-1, "")
        self._accepted = self._taken_ns = 0
        self.loaded_ns = time.monotonic_ns()

    @property
    def unsaved(self) -> bool:
        """There is something to checkpoint."""
        return self.services.dirty or self._saved != (self.cursor, self.failed)

    def renew(self) -> None:
        """Checkpoint everything next time."""
        self._saved = (-1, "")
        self.services.renew()

    def checkpoint(self, boot: str, wall_offset_ns: int) -> Checkpoint:
        """What has changed since the last call."""
        self.statistics.checkpoints += 1
        self._saved = (self.cursor, self.failed)
        return self.services.checkpoint(self.cursor, boot, wall_offset_ns, self.failed)

    def has(self, event: Ereport | ListEvent) -> bool | None:
        """Whether it has done with *event*; None if it is set aside."""
        return None if self.failed else bool(event.seq) and self.cursor >= event.seq

    def kept(self) -> dict[str, int]:
        """What the daemon counts of it, its age and what it holds now included."""
        age_ns = time.monotonic_ns() - self.loaded_ns
        held = {"age_ns": age_ns, "state_bytes": self.services.state_bytes, "buffer_bytes": self.services.buffered_bytes}
        return self.statistics.as_dict() | held

    def own(self) -> dict[str, int]:
        """What it counts itself, by its services and in its stats()."""
        counted = dict(self.services.statistics)
        if self.instance is not None and not self.failed:
            instance = self.instance
            self.call(lambda: counted.update(boundary.statistics(instance.stats())))
        return counted

    @property
    def failed(self) -> str:
        """Why it was set aside, in one line; empty while it is well."""
        return "" if self.guard.failed is None else line(self.guard.failed)

    def accept(self, seq: int) -> None:
        """The event numbered *seq* is evidence; said twice in a row, it is one."""
        self.statistics.accepted += seq != self._accepted
        self._accepted = seq

    def take(self, durable_ns: int, now_ns: int) -> None:
        """An event that was durable at *durable_ns* is handed out at *now_ns* (monotonic)."""
        self.statistics.delivered += 1
        self.statistics.waited_ns += max(0, now_ns - durable_ns)
        self.statistics.waiting_ns += max(0, now_ns - max(durable_ns, self._taken_ns))
        self._taken_ns = now_ns

    def call(self, function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Call into the module; False if it raised, or is set aside."""
        started_ns = time.perf_counter_ns()
        self.guard.call(function, *args, **kwargs)
        self.statistics.spent_ns += time.perf_counter_ns() - started_ns
        return self.guard.failed is None
