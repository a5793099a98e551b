"""The process of one third-party plugin: limits itself, loads the plugin, and calls it as the daemon says.

A child of the nursery. What the plugin raises goes back as text; whatever else it does (hang, crash, flood, leave) ends this
process and nothing more.
"""

from __future__ import annotations

import ctypes
import os
import resource
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar, cast

import msgspec

from pcifma.access.seam import Record
from pcifma.errors import PluginError
from pcifma.event.case import ListEvent, Suspect
from pcifma.event.ereport import Ereport
from pcifma.event.line import decode, encode
from pcifma.fmd.child import message
from pcifma.fmd.child.seccomp import shield
from pcifma.platform.coverage import Coverage
from pcifma.plugin import boundary, loader
from pcifma.plugin.guard import line as told
from pcifma.plugin.module import Module, PropertyValue, Response
from pcifma.plugin.status import Status
from pcifma.plugin.watch import Finding

_PR_SET_NO_NEW_PRIVS = 38
_PROCESSES = 64  # of its user; for root there is no such limit
_FILES = 64

T = TypeVar("T")


class Line:
    """The socket to the daemon: blocking, one frame at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def receive(self) -> message.ToChild:
        """The next frame; SystemExit when the daemon is gone."""
        (length,) = message.LENGTH.unpack(self._exactly(message.LENGTH.size))
        return cast(message.ToChild, message.TO_CHILD.decode(self._exactly(length)))

    def send(self, answer: message.Message) -> None:
        """Send one frame; PluginError if it is too large."""
        data = message.frame(answer)
        if len(data) > message.FRAME_LIMIT:
            raise PluginError(f"flood: an answer of {len(data)} bytes")
        self._sock.sendall(data)

    def ask(self, question: message.Message) -> object:
        """The daemon's answer to a question of the plugin; PluginError if it refuses."""
        self.send(question)
        reply = self.receive()
        if isinstance(reply, message.Refusal):
            raise PluginError(reply.text)
        assert isinstance(reply, message.Reply)
        return reply.value

    def _exactly(self, length: int) -> bytes:
        parts = bytearray()
        while len(parts) < length:
            part = self._sock.recv(length - len(parts))
            if not part:
                raise SystemExit(0)
            parts += part
        return bytes(parts)


class RemoteHost:
    """Host, asked over the line."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def read(self, path: str) -> bytes | None:
        """As Host.read."""
        return cast("bytes | None", self._line.ask(message.HostAsk("read", path)))

    def entries(self, path: str) -> tuple[str, ...]:
        """As Host.entries."""
        return tuple(cast("list[str]", self._line.ask(message.HostAsk("entries", path))))

    def link(self, path: str) -> str | None:
        """As Host.link."""
        return cast("str | None", self._line.ask(message.HostAsk("link", path)))

    def why(self, path: str) -> str:
        """As Host.why."""
        return cast(str, self._line.ask(message.HostAsk("why", path)))

    def stream(self, name: str) -> Iterator[Record]:
        """Streams are the daemon's: no records here."""
        return iter(())


class RemoteCase:
    """Case, asked over the line."""

    def __init__(self, line: Line, uuid: str, key: str) -> None:
        self._line, self._uuid, self._key = line, uuid, key

    @property
    def uuid(self) -> str:
        """The case's uuid."""
        return self._uuid

    @property
    def key(self) -> str:
        """What the module opened it under."""
        return self._key

    @property
    def state(self) -> str:
        """The case's state, asked for now."""
        return cast(str, self._line.ask(message.CaseState(self._uuid)))

    def add_ereport(self, event: Ereport) -> None:
        """As Case.add_ereport."""
        self._line.ask(message.AddEreport(self._uuid, encode(event)))

    def add_suspect(self, suspect: Suspect) -> None:
        """As Case.add_suspect."""
        self._line.ask(message.AddSuspect(self._uuid, suspect))

    def solve(self, code: str, *, severity: str, urgency: str, rest: int = 0) -> None:
        """As Case.solve."""
        self._line.ask(message.Solve(self._uuid, code, severity, urgency, rest))

    def revise(self, suspects: Iterable[Suspect], *, code: str, severity: str, urgency: str, rest: int = 0) -> None:
        """As Case.revise."""
        self._line.ask(message.Revise(self._uuid, list(suspects), code, severity, urgency, rest))

    def close(self) -> None:
        """As Case.close."""
        self._line.ask(message.CloseCase(self._uuid))


class RemoteSerd:
    """Serd, asked over the line."""

    def __init__(self, line: Line, name: str, n: int, t_s: float) -> None:
        self._line, self._engine = line, (name, n, t_s)

    def record(self, event: Ereport) -> bool:
        """As Serd.record."""
        return bool(self._line.ask(message.SerdRecord(*self._engine, encode(event))))

    def reset(self) -> None:
        """As Serd.reset."""
        self._line.ask(message.SerdRecord(*self._engine, b""))


class RemoteServices:
    """Services, asked over the line."""

    def __init__(self, line: Line, opened: message.Open) -> None:
        self._line = line
        self.properties: Mapping[str, PropertyValue] = opened.properties
        self.fabric = opened.fabric.fabric()
        self.host = RemoteHost(line)
        self.boot_ns = opened.now_ns

    def now_ns(self) -> int:
        """Boot time of the event being handled."""
        return self.boot_ns

    def count(self, statistic: str, n: int = 1) -> None:
        """As Services.count."""
        self._line.ask(message.Count(statistic, n))

    def open_case(self, key: str) -> RemoteCase:
        """As Services.open_case."""
        return RemoteCase(self._line, cast(str, self._line.ask(message.OpenCase(key))), key)

    def cases(self) -> Iterable[RemoteCase]:
        """As Services.cases."""
        return [RemoteCase(self._line, uuid, key) for uuid, key in cast("list[list[str]]", self._line.ask(message.Cases()))]

    def serd(self, name: str, n: int, t_s: float) -> RemoteSerd:
        """As Services.serd."""
        return RemoteSerd(self._line, name, n, t_s)

    def arm(self, timer: str, delay_s: float, data: str = "", *, keep: bool = True) -> None:
        """As Services.arm."""
        self._line.ask(message.Arm(timer, delay_s, data, keep))

    def disarm(self, timer: str) -> None:
        """As Services.disarm."""
        self._line.ask(message.Disarm(timer))

    def get(self, buffer: str) -> bytes | None:
        """As Services.get."""
        return cast("bytes | None", self._line.ask(message.Get(buffer)))

    def put(self, buffer: str, data: bytes) -> None:
        """As Services.put."""
        self._line.ask(message.Put(buffer, data))

    def post(self, finding: Finding) -> None:
        """As Services.post."""
        self._line.ask(message.Post(finding))

    def subscribe(self, *globs: str) -> None:
        """As Services.subscribe."""
        self._line.ask(message.Subscribe(list(globs)))

    def status(self) -> Status:
        """As Services.status."""
        return msgspec.convert(self._line.ask(message.GetStatus()), Status)

    def coverage(self) -> Iterable[Coverage]:
        """As Services.coverage."""
        return msgspec.convert(self._line.ask(message.GetCoverage()), list[Coverage])

    def execute(self, timer: str, program: Sequence[str], data: bytes, limit_s: float) -> None:
        """PluginError: this process starts, and waits for, what it needs itself."""
        raise PluginError("only built-in modules have programs run for them: start what you need, it ends with this process")

    def respond(self, timer: str, response: Response) -> None:
        """PluginError: parts are taken out of service by built-in modules only."""
        raise PluginError("only built-in modules take parts out of service")

    def isolate(self, uuid: str) -> None:
        """PluginError, as above."""
        raise PluginError("only built-in modules take parts out of service")


class Runner:
    """The plugin and its state in this process."""

    def __init__(self, line: Line, plugin: loader.Plugin) -> None:
        self._line, self._plugin = line, plugin
        self._services: RemoteServices | None = None
        self._module: Module | None = None

    def call(self, what: message.ToChild) -> message.Message:
        """Do one call; what the plugin raises passes through."""
        if isinstance(what, message.Watches):
            found = self._plugin.source.watches(what.fabric.fabric(), RemoteHost(self._line))
            return message.Watched(_bounded(found, boundary.WATCH_LIMIT, "watches"))
        if isinstance(what, message.Normalise):
            return message.Found(_bounded(self._plugin.source.normalise(what.now, what.before), boundary.FINDING_LIMIT, "findings"))
        if isinstance(what, message.Open):
            self._services = RemoteServices(self._line, what)
            self._module = self._plugin.open(self._services)
            return message.Done()
        assert self._module is not None and self._services is not None
        return self._deliver(self._module, self._services, what)

    def _deliver(self, module: Module, services: RemoteServices, what: message.ToChild) -> message.Message:
        if isinstance(what, message.Recv | message.Timeout | message.Topo):
            services.boot_ns = what.now_ns
        if isinstance(what, message.Recv):
            module.recv(cast("Ereport | ListEvent", decode(what.event)))
        elif isinstance(what, message.Timeout):
            module.timeout(what.timer, what.data)
        elif isinstance(what, message.Topo):
            services.fabric = what.fabric.fabric()
            module.topo(services.fabric)
        elif isinstance(what, message.Stats):
            return message.Counted({str(name): int(value) for name, value in module.stats().items()})
        elif isinstance(what, message.Close):
            module.close()
        return message.Done()


def _bounded(found: Iterable[T], limit: int, what: str) -> list[T]:
    items = list(islice(found, limit + 1))
    if len(items) > limit:
        raise PluginError(f"flood: more than {limit} {what} in one call")
    return items


def confine(memory: int) -> None:
    """Limit this process before any foreign code runs: memory, processes, files, core dumps, privileges."""
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.environ.clear()
    os.environ["PATH"] = os.defpath
    os.chdir("/")
    os.umask(0o077)
    os.nice(10)  # looking comes first
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limits = {resource.RLIMIT_AS: memory, resource.RLIMIT_NPROC: _PROCESSES, resource.RLIMIT_NOFILE: _FILES, resource.RLIMIT_FSIZE: memory}
    for which, wanted in limits.items():
        hard = resource.getrlimit(which)[1]
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(which, (limit, limit))
    shield(os.getppid())


def check_readable(directory: Path) -> None:
    """PluginError if this process's user cannot get at the plugin in *directory*."""
    if not os.access(directory, os.R_OK | os.X_OK) or not all(os.access(path, os.R_OK) for path in directory.iterdir()):
        who = f"uid {os.geteuid()}, who plugins run as (child.user)"
        raise PluginError(f"{directory}: not readable for {who}: chmod -R o+rX {directory}, and let its parents be searched")


def load(directory: Path, origin: loader.Origin) -> loader.Plugin:
    """The plugin in *directory*, its code imported; PluginError that says what stands in the way."""
    check_readable(directory)
    try:
        return loader.load(directory, origin)
    except PluginError as err:
        library = Path(os.__file__).parent
        if "ModuleNotFoundError" in str(err) and not os.access(library, os.R_OK | os.X_OK):
            raise PluginError(f"{err} (the interpreter's library, {library}, is closed to uid {os.geteuid()})") from err
        raise


def serve(line: Line) -> None:
    """Load, say so, then answer calls until the daemon closes the line."""
    runner: Runner | None = None
    while True:
        what = line.receive()
        try:
            if isinstance(what, message.Start):
                confine(what.memory)
                runner = Runner(line, load(Path(what.path), cast(loader.Origin, what.origin)))
                answer: message.Message = message.Ready()
            else:
                assert runner is not None
                answer = runner.call(what)
            line.send(answer)
        except BaseException as err:  # the child's own edge: the plugin may raise anything; the daemon hears of it and ends us
            line.send(message.Failed(told(err)))


def run(sock: socket.socket) -> None:
    """Serve on the line that the daemon gave this process."""
    with sock:
        serve(Line(sock))
