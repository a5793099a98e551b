"""The commands' side of the control socket."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from pcifma.errors import DaemonError
from pcifma.fmd.socket import REPLY_LIMIT, VERSION

_TIMEOUT_S = 30.0


class Client:
    """A connection to the daemon whose socket is at *path*; DaemonError if there is none, or it may not be used."""

    def __init__(self, path: Path, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._path = path
        self._sock = _connect(path)
        self._sock.settimeout(timeout_s)
        self._in = bytearray()

    def ask(self, verb: str, arguments: Mapping[str, object] | None = None) -> Any:
        """The result of *verb*; DaemonError with the daemon's words if it refuses."""
        self._send(verb, arguments)
        return self._reply().get("result")

    def rows(self, verb: str, arguments: Mapping[str, object] | None = None) -> Iterator[Any]:
        """The rows of *verb*, as they come."""
        self._send(verb, arguments)
        while "row" in (reply := self._reply()):
            yield reply["row"]

    def close(self) -> None:
        """Hang up."""
        self._sock.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, verb: str, arguments: Mapping[str, object] | None) -> None:
        request = {"v": VERSION, "verb": verb, "args": dict(arguments or {})}
        with contextlib.suppress(OSError):  # a daemon that hangs up has said why before
            self._sock.sendall(msgspec.json.encode(request) + b"\n")

    def _reply(self) -> dict[str, Any]:
        try:
            reply: dict[str, Any] = msgspec.json.decode(self._line(), type=dict[str, Any])
        except msgspec.DecodeError as err:
            raise DaemonError(f"{self._path}: the daemon answered what is no reply: {err}") from err
        if "row" not in reply and not reply.get("ok"):
            raise DaemonError(str(reply.get("error", "refused without a reason")))
        return reply

    def _line(self) -> bytes:
        while (end := self._in.find(b"\n")) < 0:
            if len(self._in) > REPLY_LIMIT + 1024:
                raise DaemonError(f"{self._path}: the daemon's answer has no end")
            try:
                part = self._sock.recv(1 << 18)
            except TimeoutError:
                raise DaemonError(f"{self._path}: the daemon does not answer") from None
            except OSError as err:
                raise DaemonError(f"{self._path}: the daemon hung up ({err.strerror})") from err
            if not part:
                raise DaemonError(f"{self._path}: the daemon hung up")
            self._in += part
        line = bytes(self._in[:end])
        del self._in[: end + 1]
        return line


def _connect(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sock.connect(f"/proc/self/fd/{directory}/{path.name}")
        finally:
            os.close(directory)
    except PermissionError:
        sock.close()
        raise DaemonError(f"{path}: permission denied: run as root, or join the group pcifma to read") from None
    except OSError as err:
        sock.close()
        raise DaemonError(f"{path}: no daemon answers ({err.strerror}): start one with `pcifma fmd`") from None
    return sock
