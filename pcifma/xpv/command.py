"""Command: the process that is traced: one that we start, held at a gate until the probes are in place, or one that runs already."""

import errno
import os
import shlex
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from pcifma.errors import UsageError

_NOT_STARTED = 127


@dataclass(slots=True)
class Child:
    """A command of ours: its process *pid*, waiting at a gate until `release`. *status* is its exit status, once it has ended."""

    pid: int
    words: list[str]
    status: int | None = None
    _gate: int = -1
    _report: int = -1

    def release(self) -> None:
        """Let the command run. Raises UsageError if it cannot be started."""
        os.write(self._gate, b"g")
        os.close(self._gate)
        failure = os.read(self._report, 16)
        os.close(self._report)
        self._gate = self._report = -1
        if failure:
            os.waitpid(self.pid, 0)
            self.status = _NOT_STARTED
            raise UsageError(f"{self.words[0]}: {os.strerror(int(failure))}: give -c a command that can be run")

    def ended(self) -> bool:
        """Tell whether the command is over."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def close(self) -> None:
        """Close the gate: a command that was never released ends without having run. A running one is left alone."""
        for end in (self._gate, self._report):
            if end >= 0:
                os.close(end)
        if self._gate >= 0 and self.status is None:
            os.waitpid(self.pid, 0)
        self._gate = self._report = -1


def spawn(command: str) -> Child:
    """Prepare *command* (words as in a shell, but no shell) behind its gate. Raises UsageError for words that cannot be split."""
    try:
        words = shlex.split(command)
    except ValueError as err:
        raise UsageError(f"{command!r}: {err}: quote the command's words as for a shell") from err
    if not words:
        raise UsageError("-c: is empty: give the command to trace")
    sys.stdout.flush()
    gate_out, gate_in = os.pipe()
    report_out, report_in = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(gate_in)
        os.close(report_out)
        _run(words, gate_out, report_in)
    os.close(gate_out)
    os.close(report_in)
    return Child(pid, words, _gate=gate_in, _report=report_out)


def _run(words: list[str], gate: int, report: int) -> NoReturn:
    # In the child: nothing of the tracer's may run here, whatever happens.
    code = errno.EINVAL
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        if os.read(gate, 1):
            os.execvp(words[0], words)
    except OSError as err:
        code = err.errno or code
        os.write(report, str(code).encode())
    finally:
        os._exit(_NOT_STARTED)


def threads(pid: int, proc: Path = Path("/proc")) -> tuple[int, ...]:
    """Return the threads of the running process *pid*. Raises UsageError if there is none."""
    try:
        return tuple(sorted(int(path.name) for path in (proc / str(pid) / "task").iterdir()))
    except OSError as err:
        raise UsageError(f"-p {pid}: {err.strerror}: give the id of a running process") from err


def runs(pid: int, proc: Path = Path("/proc")) -> bool:
    """Tell whether the process *pid* is there and no zombie."""
    try:
        stat = (proc / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[:1] != ["Z"]
