"""Session: one live trace, from definitions to clean-up.

    sweep leftovers ──> instance, clock ──> find the result's address ──> define ──> enable ──> read … ──> stop, drain ──> remove

Whatever happens after the first step, the last one happens: normal end, error, or a signal that Python sees. A tracer that is killed
leaves its instance and group; the next one sweeps them.
"""

import contextlib
import fcntl
import os
import platform
import re
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from pcifma.errors import FormatError
from pcifma.xpv.definition import FUNCTION, MODULE, Place, TraceError, entry, filters, leaving, registers, trial
from pcifma.xpv.elf import function_offset
from pcifma.xpv.line import Exit, Lost, Record, parse
from pcifma.xpv.tracefs import Tracefs

CLOCK = "mono"
_PAUSE_S = 0.1  # between looks at the buffer: a look a call would cost the traced more than the call
_SPOOL = 1 << 26
_CHUNK = 1 << 16
_UNIMPLEMENTED = 0x50FF
# Addresses that no structure of ours has: what is looked for in registers and on the stack.
_MARKS = (0x5A17C0D1, 0x2B3D4F61, 0x13579BDF, 0x6E5D4C3B)
_LIBC = re.compile(r"(libc[.-].*so.*|ld-musl-.*)\Z")
SYSCALL = "syscalls/sys_exit_ioctl"
_FAILED = re.compile(r".{0,17}-(\d{1,10}) .*: sys_ioctl -> 0x([0-9a-f]{16})\Z")
_STAT = re.compile(r"^(?:overrun|dropped events): (\d+)$", re.MULTILINE)
PRIVCMD = "/dev/xen/privcmd"


def kernel_place(kallsyms: Path = Path("/proc/kallsyms"), machine: str | None = None) -> tuple[Place, bool]:
    """Return where privcmd's ioctl is probed in this kernel, and whether it is there yet (its module may load later)."""
    regs = registers(machine or platform.machine())
    try:
        with kallsyms.open(errors="replace") as file:
            found = [line.split() for line in file if f" {FUNCTION}" in line]
    except OSError:
        found = []
    exact = [words for words in found if len(words) > 2 and words[2] == FUNCTION]
    built_in = bool(exact) and len(exact[0]) == 3
    return Place("kernel", FUNCTION if built_in else f"{MODULE}:{FUNCTION}", regs), bool(exact)


def library_place(pid: int | None = None, proc: Path = Path("/proc")) -> Place:
    """Return where ioctl is probed in the C library of process *pid*, or of this one. Raises TraceError or SourceError."""
    regs = registers(platform.machine())
    home = proc / ("self" if pid is None else str(pid))
    try:
        mapped = [line.split(maxsplit=5)[5] for line in (home / "maps").read_text(errors="replace").splitlines() if "/" in line]
    except (OSError, IndexError) as err:
        raise TraceError(f"{home}/maps: cannot be read ({err}): name a running process, or run the command with -c") from err
    libraries = [path for path in dict.fromkeys(mapped) if _LIBC.match(path.rpartition("/")[2])]
    if not libraries:
        raise TraceError(f"{home}: has no shared C library mapped: a static program can only be traced on a kernel with kprobes")
    # Of a process with another root, the file is reached through its own.
    path = libraries[0] if pid is None else f"{home}/root{libraries[0]}"
    return Place("library", f"{os.path.realpath(path)}:{function_offset(path, 'ioctl'):#x}", regs)


@dataclass(slots=True)
class Session:
    """A live trace of *place* in *tracefs*. Use as a context; read `records` inside it. *buffer_kb* is the buffer of each CPU.

    *tids* restricts it to threads (and those they create). *address* is, once begun, where results are found; None: this kernel shows none.
    """

    tracefs: Tracefs
    place: Place
    buffer_kb: int = 4096
    tids: tuple[int, ...] = ()
    name: str = ""
    address: str | None = None
    swept: tuple[str, ...] = ()
    garbled: int = 0
    _errnos: dict[int, int] = field(default_factory=dict)
    _lost: int = 0
    _rest: bytes = b""
    _clean: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __enter__(self) -> "Session":
        """Define and enable the probes. Raises TraceError, and leaves nothing behind, if that cannot be done."""
        self.swept = self.tracefs.sweep()
        self.name = self.tracefs.own_name()
        try:
            self._begin()
        except BaseException:
            self._clean.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and remove everything."""
        self._clean.close()

    def _begin(self) -> None:
        fs = self.tracefs
        try:
            (fs.root / "instances" / self.name).mkdir()
        except OSError as err:
            raise fs.explained(f"instances/{self.name}", err) from err
        self._clean.callback(fs.undefine, self.name)
        self._clean.callback(fs.remove_instance, self.name)
        self._set("trace_clock", CLOCK)
        self._set("buffer_size_kb", str(self.buffer_kb))
        self._define_return()
        fs.define(entry(self.name, self.place))
        for event, text in filters(self.place).items():
            self._set(f"events/{self.name}/{event}/filter", text)
        if self.tids:
            self._set("options/event-fork", "1")
            self._set("set_event_pid", " ".join(map(str, self.tids)))

    def start(self) -> None:
        """Let events flow. The C library hides errno from its caller's probe; the system call's own event, where there is one, tells it."""
        if self.place.layer == "library" and self.tracefs.has(f"instances/{self.name}/events/{SYSCALL}"):
            self._set(f"events/{SYSCALL}/filter", "ret < 0")
            self._set(f"events/{SYSCALL}/enable", "1")
            self._clean.callback(self._set, f"events/{SYSCALL}/enable", "0")
        self._set(f"events/{self.name}/enable", "1")

    def _set(self, name: str, text: str) -> None:
        self.tracefs.write(f"instances/{self.name}/{name}", text)

    def _define_return(self) -> None:
        for address in ("$arg3",) if self.place.layer == "kernel" else ():
            with contextlib.suppress(TraceError):
                self.tracefs.define(leaving(self.name, self.place, address))
                self.address = address
                return
        self.address = self._found_address()
        self.tracefs.define(leaving(self.name, self.place, self.address))

    def _found_address(self) -> str | None:
        # Calls of our own with marks for addresses; the place that shows every mark at the return is the one. None shows them: no results.
        try:
            self.tracefs.define(trial(self.name, self.place))
            seen = self._tried()
        except TraceError:
            return None
        finally:
            self.tracefs.undefine(self.name)
        return next((fetch for fetch, values in zip(self.place.candidates(), seen, strict=True) if _holds_marks(values)), None)

    def _tried(self) -> list[list[int]]:
        self._set("set_event_pid", str(os.getpid()))
        self._set(f"events/{self.name}/enable", "1")
        try:
            _call_with_marks(PRIVCMD if self.place.layer == "kernel" else os.devnull)
            return _candidates(self.tracefs.read(f"instances/{self.name}/trace"), len(self.place.candidates()))
        finally:
            self._set(f"events/{self.name}/enable", "0")
            self._set("trace", "")
            self._set("set_event_pid", "")

    def records(self, ended: Callable[[], bool], *, later: bool = False) -> Generator[Record | None, None, None]:
        """Yield records as they come, None each time there are none for now. When *ended* says so, stop, yield what is left, and end.

        With *later*, nothing is decoded before the end: it is kept as text until then, and the traced have the processor for themselves.
        """
        pipe = self.pipe()
        try:
            with tempfile.SpooledTemporaryFile(max_size=_SPOOL) as spool:
                while not ended():
                    yield from self._spooled(pipe, spool) if later else self.read(pipe)
                    yield None
                    time.sleep(_PAUSE_S)
                self._set("tracing_on", "0")
                yield from self._spooled(pipe, spool)
                spool.seek(0)
                while chunk := spool.read(_CHUNK):
                    yield from self._decoded(chunk)
        finally:
            os.close(pipe)
        yield from self._overruns()

    def _chunks(self, pipe: int) -> Iterator[bytes]:
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(pipe, _CHUNK):
                yield chunk

    def pipe(self) -> int:
        """Open the stream of records, which never blocks; the descriptor is the caller's."""
        return os.open(self.tracefs.root / "instances" / self.name / "trace_pipe", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def read(self, pipe: int) -> Iterator[Record]:
        """Yield what has come since the last call."""
        for chunk in self._chunks(pipe):
            yield from self._decoded(chunk)

    def _spooled(self, pipe: int, spool: IO[bytes]) -> Iterator[Record]:
        spool.writelines(self._chunks(pipe))
        yield from ()

    def _decoded(self, chunk: bytes) -> Iterator[Record]:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            yield from self._parsed(line.decode("utf-8", "backslashreplace"))

    def _parsed(self, line: str) -> Iterator[Record]:
        failed = _FAILED.match(line) if self.place.layer == "library" else None
        if failed:
            self._errnos[int(failed[1])] = int(failed[2], 16) - 2**64
            return
        try:
            record = parse(line)
        except FormatError:  # a process may carry a line break in its name; the tracer must not stop for it
            self.garbled += 1
            return
        if isinstance(record, Lost):
            self._lost += record.count
        if isinstance(record, Exit):
            record = replace(record, result=self._errnos.pop(record.tid, -1)) if record.result == -1 else record
        if record is not None:
            yield record

    def _overruns(self) -> Iterator[Lost]:
        # What the kernel says it dropped in all, less what it said in the stream.
        total = 0
        for stats in (self.tracefs.root / "instances" / self.name / "per_cpu").glob("cpu*/stats"):
            total += sum(int(number) for number in _STAT.findall(stats.read_text()))
        if total > self._lost:
            yield Lost(-1, total - self._lost)


def _call_with_marks(device: str) -> None:
    try:
        file = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError as err:
        raise TraceError(f"{device}: {err.strerror}: results after a call cannot be found without it") from err
    try:
        for mark in _MARKS:
            with contextlib.suppress(OSError):
                fcntl.ioctl(file, _UNIMPLEMENTED, mark)
    finally:
        os.close(file)


def _candidates(trace: str, count: int) -> list[list[int]]:
    rows = [dict(re.findall(r"\b(c\d+)=(0x[0-9a-f]+)", line)) for line in trace.splitlines() if ": trial: " in line]
    return [[int(row.get(f"c{n}", "0x0"), 16) for row in rows] for n in range(count)]


def _holds_marks(values: list[int]) -> bool:
    # In the C library, calls of others (the tracer's own reads and writes) come in between.
    marks = iter(values)
    return all(mark in marks for mark in _MARKS)
