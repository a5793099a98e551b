"""Tracefs: the kernel's files for probes and their events, one private instance and one event group a tracer.

Both are named for the tracer's process, pcifma_<pid>_<start time>, so that a later run can tell the leftovers of a killed one from a live
one's and take them away. Nothing outside these two is ever written, but for the lines that define and remove our own events.
"""

import errno
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pcifma.xpv.definition import TraceError

PREFIX = "pcifma_"
_OWNED = re.compile(r"pcifma_(\d{1,10})_(\d{1,20})\Z")
_DEFINED = re.compile(r"[pr]\d*:(pcifma_\d{1,10}_\d{1,20})/(\w+)\s")
_STARTTIME = 19  # /proc/PID/stat, field 22, counted behind the command's closing bracket
_RETRIES, _PAUSE_S = 50, 0.02
STANDARD = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")


@dataclass(frozen=True, slots=True)
class Tracefs:
    """A mounted tracefs at *root*; *proc* and *lockdown* are where processes and the kernel's lockdown are looked up."""

    root: Path
    proc: Path = Path("/proc")
    lockdown: Path = Path("/sys/kernel/security/lockdown")

    def has(self, name: str) -> bool:
        """Tell whether the file *name* is there."""
        return (self.root / name).exists()

    def write(self, name: str, text: str, *, append: bool = False) -> None:
        """Write *text* to the file *name*. Raises TraceError with what the kernel has against it."""
        # One write a file: the kernel takes each as a command of its own. (Python's own append mode seeks, which these files refuse.)
        try:
            file = os.open(self.root / name, os.O_WRONLY | (os.O_APPEND if append else os.O_TRUNC))
            try:
                os.write(file, text.encode())
            finally:
                os.close(file)
        except OSError as err:
            raise self.explained(name, err) from err

    def read(self, name: str) -> str:
        """Return the text of the file *name*. Raises TraceError."""
        try:
            return (self.root / name).read_text(errors="replace")
        except OSError as err:
            raise self.explained(name, err) from err

    def explained(self, name: str, err: OSError) -> TraceError:
        """Return the error that tells the operator why the kernel refused *name*, and what to do."""
        if err.errno in (errno.EPERM, errno.EACCES):
            if self._locked_down():
                return TraceError(
                    f"{self.root / name}: lockdown=confidentiality forbids probes: boot with lockdown=integrity or without lockdown"
                )
            return TraceError(f"{self.root / name}: not permitted: tracing needs root (CAP_SYS_ADMIN and write access to tracefs)")
        return TraceError(f"{self.root / name}: {err.strerror}: {self._last_complaint() or 'see the kernel log (dmesg)'}")

    def _locked_down(self) -> bool:
        try:
            return "[confidentiality]" in self.lockdown.read_text()
        except OSError:
            return False

    def _last_complaint(self) -> str:
        try:
            lines = [line for line in (self.root / "error_log").read_text(errors="replace").splitlines() if "error:" in line]
        except OSError:
            return ""
        return lines[-1].partition("] ")[2] if lines else ""

    def define(self, definition: str) -> None:
        """Add a probe. Raises TraceError if the kernel refuses it."""
        self.write("dynamic_events" if self.has("dynamic_events") else self._events_file(definition), definition + "\n", append=True)

    def _events_file(self, definition: str) -> str:
        return "uprobe_events" if " /" in definition else "kprobe_events"

    def defined(self) -> Iterator[tuple[str, str]]:
        """Yield group and event of every probe of ours that exists, whoever owns it."""
        for name in ("dynamic_events",) if self.has("dynamic_events") else ("kprobe_events", "uprobe_events"):
            if self.has(name):
                for line in self.read(name).splitlines():
                    found = _DEFINED.match(line)
                    if found:
                        yield found[1], found[2]

    def undefine(self, group: str) -> None:
        """Remove every probe of *group*. Raises TraceError if one is still in use after a second."""
        for owner, event in tuple(self.defined()):
            if owner == group:
                self._patiently(partial(self.define, f"-:{group}/{event}"))

    def remove_instance(self, name: str) -> None:
        """Disable and remove the instance *name*, if it is there. Raises TraceError if it is still in use after a second."""
        instance = self.root / "instances" / name
        if not instance.is_dir():
            return
        if (instance / "events" / name / "enable").exists():
            self.write(f"instances/{name}/events/{name}/enable", "0")
        self._patiently(partial(self._rmdir, name))

    def _rmdir(self, name: str) -> None:
        try:
            (self.root / "instances" / name).rmdir()
        except OSError as err:
            raise self.explained(f"instances/{name}", err) from err

    def _patiently(self, action: Callable[[], None]) -> None:
        # Readers that are being closed, and probes that are just running, hold these for a moment.
        for attempt in range(_RETRIES):
            try:
                return action()
            except TraceError:
                if attempt == _RETRIES - 1:
                    raise
                time.sleep(_PAUSE_S)
        return None

    def sweep(self) -> tuple[str, ...]:
        """Remove what tracers left behind that are no more, and return their names."""
        try:
            instances = [path.name for path in (self.root / "instances").iterdir()]
        except OSError as err:
            raise self.explained("instances", err) from err
        names = {name for name in instances if _OWNED.match(name)} | {group for group, _ in self.defined()}
        dead = tuple(sorted(name for name in names if not self._lives(name)))
        for name in dead:
            self.remove_instance(name)
            self.undefine(name)
        return dead

    def _lives(self, name: str) -> bool:
        found = _OWNED.match(name)
        return found is not None and self.start_time(int(found[1])) == found[2]

    def start_time(self, pid: int) -> str | None:
        """Return when the process *pid* began (clock ticks since boot, as text), None if there is none."""
        try:
            stat = (self.proc / str(pid) / "stat").read_text(errors="replace")
        except OSError:
            return None
        fields = stat.rpartition(")")[2].split()
        return fields[_STARTTIME] if len(fields) > _STARTTIME else None

    def own_name(self) -> str:
        """Return the name for this process's instance and group."""
        return f"{PREFIX}{os.getpid()}_{self.start_time(os.getpid())}"


def mounted(places: tuple[str, ...] = STANDARD) -> Tracefs:
    """Return the tracefs that is mounted at the first of *places*. Raises TraceError if none is, or it may not be looked at."""
    for place in places:
        root = Path(place)
        try:
            if (root / "instances").is_dir():
                return Tracefs(root)
        except PermissionError:
            return _forbidden(root)
    if os.geteuid() != 0:
        raise TraceError(f"{places[0]}: not accessible: tracing needs root (CAP_SYS_ADMIN and write access to tracefs)")
    raise TraceError(f"{places[0]}: tracefs is not mounted: mount -t tracefs tracefs {places[0]}")


def _forbidden(root: Path) -> Tracefs:
    raise Tracefs(root).explained("instances", PermissionError(errno.EACCES, "Permission denied"))
