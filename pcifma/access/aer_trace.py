"""The stream `aer_event`: the kernel's tracepoint ras:aer_event, read from a private tracefs instance.

The instance is ours alone: no other tracer is disturbed, and none disturbs it. It is named for its process, so that the next
listener takes away what a killed one left behind. Times are boot time.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pcifma.access.ring import Layout, parse_page
from pcifma.access.seam import Record
from pcifma.access.tracepoint import Tracepoint, parse_format
from pcifma.errors import SourceError

STREAM = "aer_event"
PLACES = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
_EVENT = "events/ras/aer_event"
_OURS = re.compile(r"pcifma-aer-(\d{1,10})-(\d{1,20})\Z")
_BUFFER_KB = 256  # a CPU: some 2,000 events between two looks; what does not fit is counted as lost
_STARTTIME = 19  # /proc/PID/stat, field 22, counted behind the command's closing bracket


class AerTrace:
    """One instance, from `open` to `close`. *root* is a mounted tracefs, *proc* where processes are looked up."""

    def __init__(self, root: Path, proc: Path = Path("/proc")) -> None:
        self._root, self._proc = root, proc
        self._name = f"pcifma-aer-{os.getpid()}-{self._start_time(os.getpid())}"
        self._instance = root / "instances" / self._name
        self._pipes: list[int] = []
        self._event: Tracepoint | None = None
        self._layout: Layout | None = None

    def open(self) -> None:
        """Make the instance and enable the event. SourceError with what stands against it; nothing is left behind then."""
        try:
            self._sweep()
            self._event = parse_format((self._root / _EVENT / "format").read_text(), str(self._root / _EVENT / "format"))
            self._layout = Layout.parse((self._root / "events/header_page").read_text(), "events/header_page")
            self._instance.mkdir()
            self._begin()
        except OSError as err:
            self.close()
            raise SourceError(f"{err.filename or self._root}: {err.strerror}: listening to AER needs root and a mounted tracefs") from None

    def _begin(self) -> None:
        (self._instance / "trace_clock").write_text("boot")
        (self._instance / "buffer_size_kb").write_text(str(_BUFFER_KB))
        cpus = sorted((self._instance / "per_cpu").iterdir())
        self._pipes = [os.open(cpu / "trace_pipe_raw", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC) for cpu in cpus]
        (self._instance / _EVENT / "enable").write_text("1")

    def records(self) -> list[Record]:
        """What has come since the last call, in the order of time; a record with `lost` where some did not fit."""
        found = [record for pipe in self._pipes for record in self._of(pipe)]
        return sorted(found, key=lambda record: record.boot_ns)

    def close(self) -> None:
        """Disable the event and remove the instance. Harmless when repeated."""
        for pipe in self._pipes:
            os.close(pipe)
        self._pipes = []
        _remove(self._instance)

    def _of(self, pipe: int) -> Iterator[Record]:
        event, layout = self._event, self._layout
        assert event is not None and layout is not None
        while page := _read(pipe, layout.size):
            parsed = parse_page(page, layout)
            if parsed.lost:
                yield Record(STREAM, {"lost": str(parsed.lost)}, parsed.events[0][0] if parsed.events else 0)
            for boot_ns, data in parsed.events:
                if int.from_bytes(data[:2], sys.byteorder) == event.id:
                    yield Record(STREAM, event.fields(data), boot_ns)

    def _sweep(self) -> None:
        for path in (self._root / "instances").iterdir():
            found = _OURS.match(path.name)
            if found and self._start_time(int(found[1])) != found[2]:
                _remove(path)

    def _start_time(self, pid: int) -> str:
        try:
            stat = (self._proc / str(pid) / "stat").read_text(errors="replace")
        except OSError:
            return ""
        return stat.rpartition(")")[2].split()[_STARTTIME]


def mounted() -> Path | None:
    """Where tracefs is mounted, or None."""
    return next((Path(place) for place in PLACES if Path(place, "instances").is_dir()), None)


def _read(pipe: int, size: int) -> bytes:
    try:
        return os.read(pipe, size)
    except BlockingIOError:
        return b""


def _remove(instance: Path) -> None:
    with suppress(OSError):
        (instance / _EVENT / "enable").write_text("0")
    with suppress(OSError):
        instance.rmdir()
