"""What the daemon does for one module: the plugin API's Services, and what of it has to be checkpointed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from pcifma.access.seam import Host
from pcifma.errors import PluginError
from pcifma.event.ereport import Ereport
from pcifma.fabric.fabric import Fabric
from pcifma.fmd.engine import serd, timer
from pcifma.fmd.engine.docket import Docket
from pcifma.fmd.engine.handle import Case
from pcifma.fmd.engine.house import House, Program
from pcifma.fmd.engine.moment import Moment
from pcifma.fmd.engine.serd import SerdState
from pcifma.fmd.engine.timer import Timer, Timers
from pcifma.fmd.log.batch import Checkpoint
from pcifma.platform.coverage import Coverage
from pcifma.plugin import boundary
from pcifma.plugin.boundary import number, seconds
from pcifma.plugin.module import PropertyValue, Response
from pcifma.plugin.status import Status
from pcifma.plugin.watch import Finding

# What one module may hold; beyond it the call raises, and a module that does not expect that is set aside.
BUFFER_BYTES = 1 << 20
BUFFERS_BYTES = 10 << 20
STATISTIC_LIMIT = 1024
SERD_LIMIT = 65536
SERD_EVENTS = 100_000
TIMER_LIMIT = BUFFER_LIMIT = 4096
CASE_LIMIT = 10000
TEXT_LIMIT = 65536
# Buffers that belong to cases: `pcifma explain` reads them, and a module that begins anew knows by them what it has told already.
REASONS = "why:"
_INT64 = (1 << 63) - 1


class Desk(Protocol):
    """What services need of the engine."""

    @property
    def fabric(self) -> Fabric: ...
    @property
    def host(self) -> Host: ...
    @property
    def docket(self) -> Docket: ...
    @property
    def moment(self) -> Moment: ...
    def at_ns(self, event: Ereport) -> int:
        """When *event* happened, on this boot's line."""

    def accepted(self, module: str, seq: int) -> None:
        """Note that *module* counts the event numbered *seq*."""

    def post(self, module: str, finding: Finding, number: int) -> None:
        """Log the *number*th ereport of *module*'s own."""

    def subscribe(self, module: str, globs: Sequence[str]) -> None:
        """Let *module* have events of these classes."""

    def status(self) -> Status:
        """The daemon's counts."""

    @property
    def house(self) -> House: ...

    def ended(self, module: str, timer: str, outcome: str) -> None:
        """A program of *module* has ended."""


class ModuleServices:
    """Services of one module. Cases, SERD engines, buffers, statistics and timers (but passing ones) are checkpointed."""

    def __init__(self, desk: Desk, name: str, version: str, properties: Mapping[str, PropertyValue]) -> None:
        self.name = name
        self.version = version
        self.statistics: dict[str, int] = {}
        self.timers = Timers()
        self.serds: dict[str, SerdState] = {}
        self.buffers: dict[str, bytes] = {}
        # Numbers the ereports that the module has posted, for their uuids.
        self.posted = 0
        self._desk = desk
        self._properties = dict(properties)
        self._changed: set[tuple[str, str]] = set()
        # Timers that are armed and not checkpointed.
        self._passing: set[str] = set()
        self._buffered = 0  # bytes in all buffers

    @property
    def properties(self) -> Mapping[str, PropertyValue]:
        """The module's typed properties, defaults filled in."""
        return self._properties

    @property
    def fabric(self) -> Fabric:
        """The fabric as it is now."""
        return self._desk.fabric

    @property
    def host(self) -> Host:
        """Facts of the host."""
        return self._desk.host

    def now_ns(self) -> int:
        """Boot time of the event being handled, or now, in ns."""
        return self._desk.moment.now_ns()

    def count(self, statistic: str, n: int = 1) -> None:
        """Add *n* to a statistic."""
        if statistic not in self.statistics:
            self._check(statistic)
            self._limit(len(self.statistics), STATISTIC_LIMIT, "statistics")
        before = self.statistics.get(statistic, 0)
        self.statistics[statistic] = before + number(n, -_INT64 - before, _INT64 - before, f"module {self.name}: statistic {statistic}:")
        self._changed.add(("stat", statistic))

    def open_case(self, key: str) -> Case:
        """The module's open case under *key*, or a new one."""
        docket = self._desk.docket
        self._check(key)
        docket.limit(self.name, key, CASE_LIMIT)
        de = {"scheme": "fmd", "mod-name": self.name, "mod-version": self.version}
        return docket.open(self.name, key, cause=self._desk.moment.cause, de=de, rules=f"{self.name} {self.version}")

    def cases(self) -> Iterable[Case]:
        """The module's cases that are not closed."""
        return self._desk.docket.of(self.name)

    def serd(self, name: str, n: int, t_s: float) -> SerdHandle:
        """The module's SERD engine *name*, made if needed; a changed n or t counts from now on."""
        number(n, 0, SERD_EVENTS, f"module {self.name}: SERD engine's n")
        t_ns = round(seconds(t_s, f"module {self.name}: SERD engine's t") * 1e9)
        state = self.serds.get(self._check(name))
        if state is None:
            self._limit(len(self.serds), SERD_LIMIT, "SERD engines")
            state = self.serds[name] = SerdState(n, t_ns)
        elif (state.n, state.t_ns) != (n, t_ns):
            state.n, state.t_ns = n, t_ns
        return SerdHandle(state, self._desk.at_ns, lambda event: self._counted(name, event))

    def _counted(self, serd: str, event: Ereport | None) -> None:
        self._changed.add(("serd", serd))
        if event is not None:
            self._desk.accepted(self.name, event.seq)

    def reset_serd(self, name: str) -> None:
        """For an operator: empty the SERD engine *name*; PluginError if the module has none of that name."""
        state = self.serds.get(name)
        if state is None:
            raise PluginError(f"module {self.name} has no SERD engine {name!r}: `pcifma stat -s -m {self.name}` lists them")
        state.reset()
        self._changed.add(("serd", name))

    def arm(self, timer: str, delay_s: float, data: str = "", *, keep: bool = True) -> None:
        """Call timeout(timer, data) once, *delay_s* seconds from now; arming again moves it. Without *keep* a restart forgets it."""
        if self._check(timer) not in self.timers.armed:
            self._limit(len(self.timers.armed), TIMER_LIMIT, "timers")
        due_ns = self.now_ns() + round(seconds(delay_s, f"module {self.name}: timer {timer}") * 1e9)
        row = Timer(due_ns, self._check(data, TEXT_LIMIT))
        if keep or (timer in self.timers.armed and timer not in self._passing):
            self._changed.add(("timer", timer))
        (self._passing.discard if keep else self._passing.add)(timer)
        self.timers.arm(timer, row)

    def disarm(self, timer: str) -> None:
        """Forget the timer."""
        if self.timers.disarm(timer):
            self._gone(timer)

    def expire(self, upto_ns: int) -> tuple[str, Timer] | None:
        """For the engine: take the earliest timer that is due at or before *upto_ns*."""
        due = self.timers.take(upto_ns)
        if due is not None:
            self._gone(due[0])
        return due

    def _gone(self, timer: str) -> None:
        if timer in self._passing:
            self._passing.discard(timer)
        else:
            self._changed.add(("timer", timer))

    def get(self, buffer: str) -> bytes | None:
        """A checkpointed buffer's content."""
        return self.buffers.get(buffer)

    def put(self, buffer: str, data: bytes) -> None:
        """Set a checkpointed buffer (at most 1 MiB, 10 MiB in all)."""
        if self._check(buffer) not in self.buffers:
            self._limit(len(self.buffers), BUFFER_LIMIT, "buffers")
        if not isinstance(data, bytes | bytearray | memoryview):
            raise PluginError(f"module {self.name}: buffer {buffer}: bytes are wanted, not {type(data).__name__}")
        grown = len(data) - len(self.buffers.get(buffer, b""))
        if len(data) > BUFFER_BYTES or self._buffered + grown > BUFFERS_BYTES:
            raise PluginError(f"module {self.name}: buffer {buffer} of {len(data)} bytes is too large (1 MiB each, 10 MiB in all)")
        self.buffers[buffer] = bytes(data)
        self._buffered += grown
        self._changed.add(("buffer", buffer))

    def post(self, finding: Finding) -> None:
        """Post an ereport of the module's own."""
        boundary.finding(finding)
        self.posted += 1
        self._changed.add(("posted", ""))
        self._desk.post(self.name, finding, self.posted)

    def subscribe(self, *globs: str) -> None:
        """Take events of these classes too."""
        self._desk.subscribe(self.name, globs)

    def status(self) -> Status:
        """What the daemon counts of itself."""
        return self._desk.status()

    def coverage(self) -> Iterable[Coverage]:
        """Who would hear an error of each Function."""
        return self._desk.house.coverage()

    def execute(self, timer: str, program: Sequence[str], data: bytes, limit_s: float) -> None:
        """Run *program*; timeout(timer, outcome) when it has ended."""
        self._check(timer)
        self._desk.house.run(self.name, Program(program, data, limit_s), lambda outcome: self._desk.ended(self.name, timer, outcome))

    def respond(self, timer: str, response: Response) -> None:
        """Have the keeper take a part out of service; timeout(timer, outcome) when it has answered."""
        self._check(timer)
        self._desk.house.respond(self.name, response, lambda outcome: self._desk.ended(self.name, timer, outcome))

    def isolate(self, uuid: str) -> None:
        """Every suspect of the case *uuid* is out of service."""
        case = self._desk.docket.cases.get(uuid)
        if case is not None and case.record.state in ("SOLVED", "CLOSE_WAIT"):
            self._desk.docket.isolate(case)

    # Names become keys of the log: text that it can hold, and of some shortness.
    def _check(self, name: str, limit: int = 256) -> str:
        return boundary.text(name, limit, f"module {self.name}: a name")

    def _limit(self, size: int, limit: int, what: str) -> None:
        if size >= limit:
            raise PluginError(f"module {self.name}: more than {limit} {what}")

    @property
    def buffered_bytes(self) -> int:
        """Bytes in its buffers."""
        return self._buffered

    @property
    def state_bytes(self) -> int:
        """Bytes of everything else that is checkpointed."""
        kinds: dict[str, Iterable[str]] = {"serd": self.serds, "timer": self.timers.armed, "stat": self.statistics}
        return sum(len(body) for kind, held in kinds.items() for key in held if (body := self._body(kind, key)) is not None)

    @property
    def dirty(self) -> bool:
        """Something has changed since the last checkpoint."""
        return bool(self._changed)

    def checkpoint(self, cursor: int, boot: str, wall_offset_ns: int, failed: str) -> Checkpoint:
        """What has changed since the last call."""
        put: dict[tuple[str, str], bytes] = {}
        drop: list[tuple[str, str]] = []
        for key in self._changed:
            body = self._body(*key)
            if body is None:
                drop.append(key)
            else:
                put[key] = body
        self._changed.clear()
        return Checkpoint(self.name, cursor, boot, wall_offset_ns, failed, put, tuple(drop))

    def _body(self, kind: str, key: str) -> bytes | None:
        if kind == "serd":
            return serd.encode(self.serds[key]) if key in self.serds else None
        if kind == "timer":
            armed = self.timers.armed.get(key)
            return None if armed is None or key in self._passing else timer.encode(armed)
        if kind == "buffer":
            return self.buffers.get(key)
        number = self.posted if kind == "posted" else self.statistics.get(key)
        return None if number is None else str(number).encode()

    def restore(self, state: Mapping[tuple[str, str], bytes], shift_ns: int, now_ns: int) -> None:
        """Take up a checkpoint whose boot times lie *shift_ns* before this boot's line."""
        for (kind, key), body in state.items():
            if kind == "serd":
                self.serds[key] = serd.decode(body)
                if shift_ns:
                    self.serds[key].shift(shift_ns, now_ns)
            elif kind == "timer":
                self.timers.arm(key, timer.decode(body, shift_ns))
            elif kind == "buffer":
                self._buffered += len(body) - len(self.buffers.get(key, b""))
                self.buffers[key] = body
            elif kind == "posted":
                self.posted = int(body)
            else:
                self.statistics[key] = int(body)

    def renew(self) -> None:
        """Put everything into the next checkpoint."""
        kinds: dict[str, Iterable[str]] = {"serd": self.serds, "timer": self.timers.armed, "buffer": self.buffers, "stat": self.statistics}
        self._changed |= {(kind, key) for kind, held in kinds.items() for key in held} | {("posted", "")}

    def forget(self) -> None:
        """Drop everything, for a module that begins anew, but its reasons for the cases that it has told."""
        self.renew()
        self.serds, self.statistics, self.timers = {}, {}, Timers()
        self.buffers = {name: data for name, data in self.buffers.items() if name.startswith(REASONS)}
        self._buffered = sum(map(len, self.buffers.values()))


class SerdHandle:
    """A SERD engine as its module holds it."""

    __slots__ = ("_at_ns", "_changed", "_state")

    def __init__(self, state: SerdState, at_ns: Callable[[Ereport], int], changed: Callable[[Ereport | None], None]) -> None:
        self._state = state
        self._at_ns = at_ns
        self._changed = changed

    def record(self, event: Ereport) -> bool:
        """Count *event* (its `count` times) at its boot time; True when the engine has fired (and is then reset)."""
        boundary.event(event)
        self._changed(event)
        return self._state.record(self._at_ns(event), event.count)

    def reset(self) -> None:
        """Forget everything."""
        self._changed(None)
        self._state.reset()
