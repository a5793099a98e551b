"""QEMU's machine protocol (QMP) over a socket that was passed to it: no path, nothing left behind."""

from __future__ import annotations

import json
import socket
from typing import cast

from .error import LabError

Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]


class Monitor:
    """One QMP session. Every answer is awaited for *seconds* at most."""

    def __init__(self, connection: socket.socket, seconds: float = 30) -> None:
        connection.settimeout(seconds)
        self._connection = connection
        self._stream = connection.makefile("rb")
        self.events: list[dict[str, Value]] = []
        self._next()
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: Value) -> Value:
        """Run one QMP command and return its `return` member. LabError with QEMU's text if it fails or QEMU is gone."""
        request = {"execute": command, "arguments": {key.replace("_", "-"): value for key, value in arguments.items()}}
        try:
            self._connection.sendall(json.dumps(request).encode() + b"\n")
            while True:
                answer = self._next()
                if "return" in answer:
                    return answer["return"]
                if "error" in answer:
                    raise LabError(f"qmp {command}: {cast('dict[str, Value]', answer['error'])['desc']}")
                self.events.append(answer)
        except OSError as error:
            raise LabError(f"qmp {command}: {error}") from error

    def human(self, line: str) -> str:
        """Run one line of QEMU's human monitor and return what it prints."""
        return cast(str, self.execute("human-monitor-command", command_line=line))

    def close(self) -> None:
        """Close the session."""
        self._stream.close()
        self._connection.close()

    def _next(self) -> dict[str, Value]:
        line = self._stream.readline()
        if not line:
            raise LabError("qmp: QEMU is gone")
        return cast("dict[str, Value]", json.loads(line))
