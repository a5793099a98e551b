"""One kernel event, read from a private tracefs instance: a tracepoint, or a probe of ours.

The instance is ours alone: no other tracer is disturbed, and none disturbs it. It is named for its process, as is the probe's group, so
that the next listener takes away what a killed one left behind. Times are boot time.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pcifma.access.ring import Layout, parse_page
from pcifma.access.seam import Record
from pcifma.access.tracepoint import Tracepoint, parse_format
from pcifma.errors import SourceError

PLACES = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
_BUFFER_KB = 256  # a CPU: some 2,000 events between two looks; what does not fit is counted as lost
_STARTTIME = 19  # /proc/PID/stat, field 22, counted behind the command's closing bracket


@dataclass(frozen=True, slots=True)
class Wanted:
    """The event *event* (`ras/aer_event`) as the stream *stream*. *tag* stands in the instance's name, *what* in messages.

    *probe* defines an event of our own instead, as kprobe_events wants it behind the event's name: `convert_log a=%di`.
    """

    stream: str
    event: str
    tag: str
    what: str
    probe: str = ""


AER_EVENT = Wanted("aer_event", "ras/aer_event", "aer", "AER")


class EventTrace:
    """One instance, from `open` to `close`. *root* is a mounted tracefs, *proc* where processes are looked up."""

    def __init__(self, root: Path, wanted: Wanted = AER_EVENT, proc: Path = Path("/proc")) -> None:
        self._root, self._wanted, self._proc = root, wanted, proc
        self._ours = re.compile(rf"pcifma[-_]{wanted.tag}[-_](\d{{1,10}})[-_](\d{{1,20}})\Z")
        me = f"{os.getpid()}-{self._start_time(os.getpid())}"
        self._instance = root / "instances" / f"pcifma-{wanted.tag}-{me}"
        self._group = f"pcifma_{wanted.tag}_{me.replace('-', '_')}"  # a group's name has no hyphen
        self._path = f"events/{self._group}/record" if wanted.probe else f"events/{wanted.event}"
        self._pipes: list[int] = []
        self._event: Tracepoint | None = None
        self._layout: Layout | None = None

    def open(self) -> None:
        """Make the instance and enable the event. SourceError with what stands against it; nothing is left behind then."""
        try:
            self._sweep()
            if self._wanted.probe:
                self._define(f"p:{self._group}/record {self._wanted.probe}")
            self._event = parse_format((self._root / self._path / "format").read_text(), str(self._root / self._path / "format"))
            self._layout = Layout.parse((self._root / "events/header_page").read_text(), "events/header_page")
            self._instance.mkdir()
            self._begin()
        except OSError as err:
            self.close()
            what = f"listening to {self._wanted.what} needs root and a mounted tracefs"
            raise SourceError(f"{err.filename or self._root}: {err.strerror}: {what}") from None

    def _begin(self) -> None:
        (self._instance / "trace_clock").write_text("boot")
        (self._instance / "buffer_size_kb").write_text(str(_BUFFER_KB))
        cpus = sorted((self._instance / "per_cpu").iterdir())
        self._pipes = [os.open(cpu / "trace_pipe_raw", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC) for cpu in cpus]
        (self._instance / self._path / "enable").write_text("1")

    def records(self) -> list[Record]:
        """What has come since the last call, in the order of time; a record with `lost` where some did not fit."""
        found = [record for pipe in self._pipes for record in self._of(pipe)]
        return sorted(found, key=lambda record: record.boot_ns)

    def close(self) -> None:
        """Disable the event and remove the instance. Harmless when repeated."""
        for pipe in self._pipes:
            os.close(pipe)
        self._pipes = []
        _remove(self._instance, self._path)
        if self._wanted.probe:
            self._undefine(self._group)

    def _of(self, pipe: int) -> Iterator[Record]:
        event, layout = self._event, self._layout
        assert event is not None and layout is not None
        while page := _read(pipe, layout.size):
            parsed = parse_page(page, layout)
            if parsed.lost:
                yield Record(self._wanted.stream, {"lost": str(parsed.lost)}, parsed.events[0][0] if parsed.events else 0)
            for boot_ns, data in parsed.events:
                if int.from_bytes(data[:2], sys.byteorder) == event.id:
                    yield Record(self._wanted.stream, event.fields(data), boot_ns)

    def _define(self, text: str) -> None:
        # One write is one command; without O_APPEND the kernel would take away everybody's probes first.
        file = os.open(self._root / "kprobe_events", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            os.write(file, f"{text}\n".encode())
        finally:
            os.close(file)

    def _undefine(self, group: str) -> None:
        with suppress(OSError):
            self._define(f"-:{group}/record")

    def _sweep(self) -> None:
        for path in (self._root / "instances").iterdir():
            if self._is_dead(path.name):
                _remove(path, f"events/{path.name.replace('-', '_')}/record" if self._wanted.probe else self._path)
        if self._wanted.probe:
            groups = re.findall(r"^p\d*:(\w+)/record ", (self._root / "kprobe_events").read_text(), re.MULTILINE)
            for group in groups:
                if self._is_dead(group):
                    self._undefine(group)

    def _is_dead(self, name: str) -> bool:
        found = self._ours.match(name)
        return found is not None and self._start_time(int(found[1])) != found[2]

    def _start_time(self, pid: int) -> str:
        try:
            stat = (self._proc / str(pid) / "stat").read_text(errors="replace")
        except OSError:
            return ""
        return stat.rpartition(")")[2].split()[_STARTTIME]


def mounted() -> Path | None:
    """Where tracefs is mounted, or None."""
    return next((Path(place) for place in PLACES if Path(place, "instances").is_dir()), None)


def opened(wanted: Wanted) -> EventTrace:
    """*wanted*, listened to. SourceError with what stands against it."""
    root = mounted()
    if root is None:
        raise SourceError(f"{PLACES[0]}: no tracefs: mount -t tracefs tracefs {PLACES[0]}")
    trace = EventTrace(root, wanted)
    trace.open()
    return trace


def _read(pipe: int, size: int) -> bytes:
    try:
        return os.read(pipe, size)
    except BlockingIOError:
        return b""


def _remove(instance: Path, event: str) -> None:
    with suppress(OSError):
        (instance / event / "enable").write_text("0")
    with suppress(OSError):
        instance.rmdir()
