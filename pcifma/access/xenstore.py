"""Xenstore, read-only: the tree in which Xen's tools say which guest has which device. Part of the Host below `/xenstore`.

One request, one reply (Xen, docs/misc/xenstore.txt; xen/include/public/io/xs_wire.h): a header of four 32-bit numbers in the
machine's order (kind, request, transaction, length), then the payload. The store is asked only when somebody reads such a path.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import stat
import struct
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from pcifma.access.host import DiskTree
from pcifma.access.tree import MountedTree, Tree

MOUNT = "/xenstore"
PLACES = ("/run/xenstored/socket", "/var/run/xenstored/socket", "/dev/xen/xenbus", "/proc/xen/xenbus")
DEADLINE_S = 2.0  # xenstored answers in well under a millisecond; one that hangs must not take us along
_HEADER = struct.Struct("=IIII")
_DIRECTORY, _READ, _ERROR = 1, 2, 16
_PAYLOAD_LIMIT = 4096


class Xenstore:
    """The store behind the first of *places* that can be opened: a socket, or the kernel's device. A Tree."""

    def __init__(self, places: Sequence[str] = PLACES, *, deadline_s: float = DEADLINE_S) -> None:
        self._places = places
        self._deadline_s = deadline_s
        self._fd: int | None = None
        self._request = 0
        self._one_at_a_time = threading.Lock()

    def content(self, path: str) -> bytes:
        """The node's value; OSError where there is no such node or no store."""
        return self._ask(_READ, path)

    def names(self, path: str) -> list[str]:
        """Names of the node's children; OSError."""
        return [name.decode("utf-8", "replace") for name in self._ask(_DIRECTORY, path).split(b"\0") if name]

    def link(self, path: str) -> str:
        """OSError: nodes are no links."""
        raise OSError(errno.EINVAL, "no link")

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _ask(self, kind: int, path: str) -> bytes:
        payload = os.fsencode(path or "/") + b"\0"
        with self._one_at_a_time:
            self._request += 1
            try:
                fd = self._fd if self._fd is not None else self._open()
                _write_all(fd, _HEADER.pack(kind, self._request, 0, len(payload)) + payload)
                answer, data = self._reply(fd)
            except OSError:
                self.close()  # whatever comes late must not answer the next question
                raise
        if answer == _ERROR:
            raise OSError(getattr(errno, data.rstrip(b"\0").decode("ascii", "replace"), errno.EIO), "xenstore")
        return data

    def _reply(self, fd: int) -> tuple[int, bytes]:
        deadline = time.monotonic() + self._deadline_s
        while True:
            kind, request, _, length = _HEADER.unpack(_read_all(fd, _HEADER.size, deadline))
            if length > _PAYLOAD_LIMIT:
                raise OSError(errno.EIO, "xenstore answers too much")
            data = _read_all(fd, length, deadline)
            if request == self._request:  # anything else is a watch's event
                return kind, data

    def _open(self) -> int:
        for place in self._places:
            try:
                self._fd = _connect(place)
            except OSError:
                continue
            return self._fd
        raise OSError(errno.ENOENT, "no xenstore")


def machine_tree(root: Path) -> Tree:
    """The files of the machine whose `/` is at *root*, and its xenstore below `/xenstore`."""
    below = str(root).rstrip("/")
    return MountedTree(DiskTree(root), MOUNT, Xenstore([f"{below}{place}" for place in PLACES]))


def _connect(place: str) -> int:
    if not stat.S_ISSOCK(os.stat(place).st_mode):  # noqa: PTH116 - no Path for one question
        return os.open(place, os.O_RDWR | os.O_CLOEXEC)
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(DEADLINE_S)
        link.connect(place)
        link.settimeout(None)
        return link.detach()


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _read_all(fd: int, length: int, deadline: float) -> bytes:
    data = b""
    while len(data) < length:
        ready, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
        part = os.read(fd, length - len(data)) if ready else b""
        if not part:
            raise OSError(errno.EIO, "xenstore does not answer")
        data += part
    return data
