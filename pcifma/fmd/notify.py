"""Telling systemd how the service is doing (sd_notify), by its documented protocol: datagrams to $NOTIFY_SOCKET."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping

_MISSED = 3


class Notify:
    """Sends states; does nothing where no manager listens."""

    def __init__(self, address: str, watchdog_us: int = 0) -> None:
        """*watchdog_us*: how long the manager waits for a sign of life, 0 if it does not."""
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog_us = watchdog_us

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Notify:
        """As systemd set it up for this process."""
        wait = environment.get("WATCHDOG_USEC", "")
        return cls(environment.get("NOTIFY_SOCKET", ""), int(wait) if wait.isdecimal() else 0)

    def expect(self, interval_s: float) -> None:
        """A look comes each *interval_s*: ask for a longer watchdog where the manager's would not outlast two that are missed."""
        needed_us = round(interval_s * _MISSED * 1e6)
        if 0 < self._watchdog_us < needed_us:
            self._watchdog_us = needed_us
            self._send(f"WATCHDOG_USEC={needed_us}")

    def ready(self, status: str) -> None:
        """The daemon is up."""
        self._send(f"READY=1\nMAINPID={os.getpid()}\nSTATUS={_line(status)}")

    def reloading(self) -> None:
        """The configuration is being read again; `ready` says when that is done."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def looked(self, status: str) -> None:
        """A look has been completed: the only thing that feeds the watchdog."""
        self._send(f"WATCHDOG=1\nSTATUS={_line(status)}")

    def stopping(self) -> None:
        """The daemon goes down."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.setblocking(False)
            sock.sendto(text.encode(), self._address)


def _line(text: str) -> str:
    return " ".join(text.split())
