"""The kernel's uevents about PCI Functions, from its netlink socket: no privilege needed, no daemon in between, no library loaded."""

from __future__ import annotations

import os
import socket

from pcifma.regs.bdf import Bdf

_KOBJECT_UEVENT = 15  # linux/netlink.h NETLINK_KOBJECT_UEVENT
_KERNEL_GROUP = 1
_MESSAGE_LIMIT = 16 << 10
_BATCH = 256
_SUBSYSTEMS = frozenset({"pci", "pci_express"})


class Uevents:
    """Uevents of the pci subsystem. OSError where there is no such socket."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, _KOBJECT_UEVENT)
        self._sock.bind((0, _KERNEL_GROUP))

    def fileno(self) -> int:
        """Readable when something has happened."""
        return self._sock.fileno()

    def changed(self) -> tuple[set[Bdf], bool]:
        """Functions that something happened to since the last call; True if any may have been missed."""
        found: set[Bdf] = set()
        for _ in range(_BATCH):
            try:
                data, sender = self._sock.recvfrom(_MESSAGE_LIMIT)
            except BlockingIOError:
                return found, False
            except OSError:  # ENOBUFS: the kernel had more to say than the socket holds
                return found, True
            if sender[0] == 0:  # the kernel: no process can have that port
                found |= parse(data)
        return found, True

    def close(self) -> None:
        """Stop listening."""
        self._sock.close()


def parse(message: bytes) -> set[Bdf]:
    """The Function that a uevent of the pci subsystem is about; empty for any other message."""
    fields = dict(part.split("=", 1) for part in message.decode("utf-8", "replace").split("\0") if "=" in part)
    if fields.get("SUBSYSTEM") not in _SUBSYSTEMS:
        return set()
    try:
        return {Bdf.parse(fields.get("PCI_SLOT_NAME") or os.path.basename(fields["DEVPATH"]).partition(":pcie")[0])}  # noqa: PTH119
    except (KeyError, ValueError):
        return set()
