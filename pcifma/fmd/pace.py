"""Recorded time at the speed of real time, for a daemon that runs on a fixture or a capture."""

from __future__ import annotations

import time

from pcifma.access.clock import SimulatedClock


class PacedClock:
    """*inner* moves on as real time does since this was made; what is scheduled in it happens on the way."""

    def __init__(self, inner: SimulatedClock) -> None:
        self._inner = inner
        self._start_ns = time.monotonic_ns() - inner.boot_ns()

    def wall_ns(self) -> int:
        """Nanoseconds since 1970, UTC."""
        self._follow()
        return self._inner.wall_ns()

    def boot_ns(self) -> int:
        """Nanoseconds since the recording's start."""
        self._follow()
        return self._inner.boot_ns()

    def wait_until(self, boot_ns: int) -> None:
        """Sleep until boot_ns() is at least *boot_ns*."""
        while (left_ns := boot_ns - self.boot_ns()) > 0:
            time.sleep(left_ns / 1e9)

    def _follow(self) -> None:
        self._inner.advance_to(time.monotonic_ns() - self._start_ns)
