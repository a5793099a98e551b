"""Files that users name as input, named pipes among them: one that somebody writes to is read to its end (a shell's `<(…)`), one that
nobody writes to is given up after two seconds: whoever fills it may only just have been started.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import time
from typing import BinaryIO, cast

_CHUNK = 1 << 16
_PATIENCE_S, _PAUSE_S = 2.0, 0.01


def open_input(path: str) -> BinaryIO:
    """Open *path* for reading; OSError, also for a directory and for a pipe without a writer."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISDIR(mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        begin = _begin(fd) if stat.S_ISFIFO(mode) else None
        os.set_blocking(fd, True)
    except OSError:
        os.close(fd)
        raise
    return os.fdopen(fd, "rb") if begin is None else cast(BinaryIO, io.BufferedReader(_Pipe(fd, begin)))


def _begin(fd: int) -> bytes:
    # At its end at once: nobody has it open for writing. Else it has something, or says that there is nothing yet.
    end_s = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end_s:
        try:
            begin = os.read(fd, _CHUNK)
        except BlockingIOError:
            return b""
        if begin:
            return begin
        time.sleep(_PAUSE_S)
    raise OSError(errno.EPIPE, "a pipe that nobody writes to")


class _Pipe(io.RawIOBase):
    # A pipe of which *begin* was read already.

    def __init__(self, fd: int, begin: bytes) -> None:
        self._fd, self._begin = fd, begin

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._begin[: len(buffer)] if self._begin else os.read(self._fd, len(buffer))
        self._begin = self._begin[len(data) :]
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            os.close(self._fd)
        super().close()
