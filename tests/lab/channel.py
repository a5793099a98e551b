"""The command channel: the guest's second serial port for a few bytes a command, a shared directory for all that is long."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from pathlib import Path

from .error import LabError

SLACK = 20.0  # seconds that a slow machine may need to answer after the guest's own time limit has struck
TIMED_OUT = (124, 137)  # timeout(1)'s statuses


@dataclass(frozen=True, slots=True)
class Result:
    """What a command in the guest did: its exit status, standard output and standard error."""

    status: int
    stdout: str
    stderr: str


class Channel:
    """Speaks with guest/agent.sh; one command at a time."""

    def __init__(self, connection: socket.socket, share: Path) -> None:
        self._connection = connection
        self._share = share
        self._number = 0
        self._pending = b""

    def ready(self, seconds: float) -> None:
        """Wait until the guest takes commands. LabError after *seconds*, or at once if the machine is gone."""
        self._answer("ready", seconds)

    def call(self, script: str, seconds: float) -> Result:
        """Run *script* by the guest's sh. LabError if it does not end within *seconds* or the machine is gone."""
        self._number += 1
        name = str(self._number)
        (self._share / f"{name}.sh").write_text(script)
        self._connection.sendall(f"{name} {max(1, round(seconds))}\n".encode())
        status = self._answer(name, seconds + SLACK)
        out, err = ((self._share / f"{name}.{kind}").read_text(errors="surrogateescape") for kind in ("out", "err"))
        if status in TIMED_OUT:
            raise LabError(f"not ended within {seconds} s: {script.strip().splitlines()[-1]}\n{out[-2000:]}{err[-2000:]}")
        return Result(status, out, err)

    def close(self) -> None:
        """Close the channel."""
        self._connection.close()

    def _answer(self, name: str, seconds: float) -> int:
        deadline = time.monotonic() + seconds
        while True:
            word, _, status = self._line(deadline, name).partition(" ")
            if word == name:
                return int(status)

    def _line(self, deadline: float, name: str) -> str:
        while b"\n" not in self._pending:
            self._connection.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                data = self._connection.recv(4096)
            except TimeoutError:
                raise LabError(f"no answer from the guest ({name})") from None
            except OSError as error:
                raise LabError(f"no answer from the guest ({name}): {error}") from error
            if not data:
                raise LabError(f"the machine stopped ({name})")
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode(errors="replace").strip()
