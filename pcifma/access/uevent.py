"""The stream `uevent`: what the kernel says of PCI Functions on its netlink socket. No privilege, no udev daemon needed.

`ERROR_EVENT` tells of an error recovery: BEGIN_RECOVERY, SUCCESSFUL_RECOVERY, FAILED_RECOVERY, with `DEVICE_ONLINE`.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

from pcifma.access.seam import Record
from pcifma.errors import SourceError

STREAM = "uevent"
_KOBJECT_UEVENT = 15  # linux/netlink.h
_KERNEL_GROUP = 1
_MESSAGE_LIMIT = 16 << 10
_SUBSYSTEMS = frozenset({"pci", "pci_express"})


class Uevents:
    """Uevents of Functions and port services. SourceError where there is no such socket."""

    def __init__(self) -> None:
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, _KOBJECT_UEVENT)
            self._socket.bind((0, _KERNEL_GROUP))
        except OSError as err:
            raise SourceError(f"uevents: {err.strerror}: netlink is not allowed here") from None

    def fileno(self) -> int:
        """Readable when something has happened."""
        return self._socket.fileno()

    def records(self) -> list[Record]:
        """What has come since the last call; a record with `lost` where the socket could not hold all."""
        return list(self._received())

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()

    def _received(self) -> Iterator[Record]:
        while True:
            now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            try:
                data, sender = self._socket.recvfrom(_MESSAGE_LIMIT)
            except BlockingIOError:
                return
            except OSError:  # ENOBUFS
                yield Record(STREAM, {"lost": "1"}, now_ns)
                continue
            if sender[0] == 0 and (fields := parse(data)):  # port 0 is the kernel: no process can have it
                yield Record(STREAM, fields, now_ns)


def parse(message: bytes) -> dict[str, str]:
    """The fields of a uevent of the pci subsystem; empty for any other message."""
    fields = dict(part.split("=", 1) for part in message.decode("utf-8", "replace").split("\0") if "=" in part)
    return fields if fields.get("SUBSYSTEM") in _SUBSYSTEMS else {}
