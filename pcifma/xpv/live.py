"""Live: what `pcifma trace run` does: a place to probe, a session, perhaps a command, and every record to the report and the recording."""

import contextlib
import platform
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from pcifma.errors import UsageError
from pcifma.xpv.command import Child, runs, spawn, threads
from pcifma.xpv.decode import Decoder
from pcifma.xpv.definition import Place, TraceError
from pcifma.xpv.recording import Writer, created, header, trailer
from pcifma.xpv.report import Print, Report
from pcifma.xpv.session import CLOCK, SYSCALL, Session, kernel_place, library_place
from pcifma.xpv.tracefs import Tracefs, mounted

HYPERVISOR = Path("/sys/hypervisor/type")


@dataclass(frozen=True, slots=True)
class Request:
    """What to trace: a command, a process or the machine; where to record; *via* "auto", "kernel" or "library"; *everything* disables
    hiding.
    """

    command_line: str | None = None
    pid: int | None = None
    output: str | None = None
    buffer_kb: int = 4096
    via: str = "auto"
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended: by a signal, with *gaps* of lost events, and the command's exit status if there was one."""

    interrupted: bool
    gaps: int
    status: int | None


class _Stop:
    # Set by the first signal; nothing is raised, so that clean-up is never cut in two.
    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.signal = number


@contextlib.contextmanager
def _signals() -> Iterator[_Stop]:
    stop = _Stop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def place(request: Request, fs: Tracefs, warn: Print) -> Place:
    """Return what to probe here, and *warn* of what will not be seen. Raises TraceError if nothing can be probed."""
    kprobes, uprobes = fs.has("kprobe_events"), fs.has("uprobe_events")
    if request.via == "kernel" and not kprobes:
        raise TraceError("this kernel has no kprobes (CONFIG_KPROBE_EVENTS): use --via library")
    if not kprobes and not uprobes:
        raise TraceError("this kernel has neither kprobes nor uprobes (CONFIG_KPROBE_EVENTS, CONFIG_UPROBE_EVENTS): boot one that has")
    if _hypervisor() != "xen":
        warn("this machine runs under no Xen: only programs that call privcmd's ioctls all the same will be seen")
    if request.via != "library" and kprobes:
        found, present = kernel_place()
        if not present:
            warn("xen_privcmd is not loaded: nothing is seen until it is (modprobe xen-privcmd)")
        return found
    found = library_place(request.pid)
    why = "" if kprobes else "this kernel has no kprobes: "
    numbers = "" if fs.has(f"events/{SYSCALL}") else ", and errors have no number (CONFIG_FTRACE_SYSCALLS)"
    warn(f"{why}watching ioctl in {found.spot.rpartition(':')[0]}: static programs and other C libraries are not seen{numbers}")
    return found


def _hypervisor() -> str:
    try:
        return HYPERVISOR.read_text().strip()
    except OSError:
        return ""


def trace(request: Request, report: Report, warn: Print) -> Outcome:
    """Trace until the command or process ends or a signal comes; feed *report*. Raises PcifmaError; cleans up in any case."""
    if request.command_line is not None and request.pid is not None:
        raise UsageError("-c and -p: give one of them: a command to run, or a process that runs")
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(_signals())
        fs = mounted()
        spot = place(request, fs, warn)
        recording = stack.enter_context(created(request.output)) if request.output else None
        child = stack.enter_context(contextlib.closing(spawn(request.command_line))) if request.command_line is not None else None
        session = stack.enter_context(Session(fs, spot, request.buffer_kb, _tids(request, child)))
        _tell(session, warn)
        decoder = Decoder(spot.layer)
        writer = Writer(recording) if recording else None
        if recording:
            recording.write(header(CLOCK, spot.layer, platform.release()).encode("ascii", "replace"))
        session.start()
        if child:
            child.release()
        report.begin()
        _pump(session, _ended(request, child, stop), decoder, report, writer)
        _finish(session, decoder, report, writer, child)
        if stop.signal is None and child and child.status:
            warn(f"{child.words[0]}: {_fate(child.status)}")
        return Outcome(stop.signal is not None, decoder.gaps, child.status if child else None)


def _fate(status: int) -> str:
    return f"exit status {status}" if status > 0 else f"killed by signal {-status}"


def _tids(request: Request, child: Child | None) -> tuple[int, ...]:
    if request.pid is not None and not request.everything:
        return threads(request.pid)
    return (child.pid,) if child and not request.everything else ()


def _tell(session: Session, warn: Print) -> None:
    if session.swept:
        warn(f"removed what {len(session.swept)} killed tracer(s) left in tracefs: {' '.join(session.swept)}")
    if session.address is None:
        warn("results inside structures (a multicall's, a new domain's id) cannot be seen on this kernel: they show as unknown")


def _ended(request: Request, child: Child | None, stop: _Stop) -> Callable[[], bool]:
    def ended() -> bool:
        if stop.signal is not None:
            return True
        if child is not None:
            return child.ended()
        return request.pid is not None and not runs(request.pid)

    return ended


def _pump(session: Session, ended: Callable[[], bool], decoder: Decoder, report: Report, writer: Writer | None) -> None:
    # A recording is written as it goes: a tracer that is killed leaves what it had.
    later = writer is None and not report.streams
    with contextlib.closing(session.records(ended, later=later)) as records:
        for record in records:
            if record is None:
                report.flush()
                continue
            if writer:
                writer.write(record)
            report.feed(decoder.feed(record))


def _finish(session: Session, decoder: Decoder, report: Report, writer: Writer | None, child: Child | None) -> None:
    if writer:
        writer.file.write(trailer(writer.events, decoder.lost).encode())
    report.finish(decoder, garbled=session.garbled, status=child.status if child else None)
