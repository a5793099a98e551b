"""Clocks: the machine's own, and a simulated one that only moves when told to and runs what was scheduled on its way."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from itertools import count

# 2000-01-01T00:00:00Z in nanoseconds since 1970: the wall time at which every recording starts.
EPOCH_2000_NS = 946_684_800 * 1_000_000_000

_LONGEST_SLEEP_S = 60.0  # time.sleep runs on a clock that stops in suspend: look again at least this often


class SystemClock:
    """This machine's time."""

    def wall_ns(self) -> int:
        """Nanoseconds since 1970, UTC."""
        return time.time_ns()

    def boot_ns(self) -> int:
        """Nanoseconds since boot, suspend included (CLOCK_BOOTTIME)."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def wait_until(self, boot_ns: int) -> None:
        """Sleep until boot_ns() is at least *boot_ns*; returns at once where that is past."""
        while (left_ns := boot_ns - self.boot_ns()) > 0:
            time.sleep(min(left_ns / 1e9, _LONGEST_SLEEP_S))


class SimulatedClock:
    """Time that stands still until it is advanced. Starts at 2000-01-01T00:00:00Z, boot time 0; both move together.

    Scheduled actions run in the order of their time, then of scheduling, with the clock at their time.
    """

    def __init__(self, wall_ns: int = EPOCH_2000_NS) -> None:
        self._start_ns = wall_ns
        self._now_ns = 0
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self.end_ns = 0

    def wall_ns(self) -> int:
        """Nanoseconds since 1970, UTC."""
        return self._start_ns + self._now_ns

    def boot_ns(self) -> int:
        """Nanoseconds since the start."""
        return self._now_ns

    def schedule(self, boot_ns: int, action: Callable[[], None]) -> None:
        """Run *action* when time reaches *boot_ns*; now, if that is not in the future. `end_ns` is the last such time."""
        self.end_ns = max(self.end_ns, boot_ns)
        if boot_ns <= self._now_ns:
            action()
        else:
            heapq.heappush(self._due, (boot_ns, next(self._order), action))

    def advance_to(self, boot_ns: int) -> None:
        """Move time to *boot_ns*, running what is due on the way; a time in the past changes nothing."""
        while self._due and self._due[0][0] <= boot_ns:
            at_ns, _, action = heapq.heappop(self._due)
            self._now_ns = max(self._now_ns, at_ns)
            action()
        self._now_ns = max(self._now_ns, boot_ns)

    def advance_to_end(self) -> None:
        """Move time to the last scheduled action."""
        self.advance_to(self.end_ns)

    def wait_until(self, boot_ns: int) -> None:
        """Advance to *boot_ns*: waiting takes no time."""
        self.advance_to(boot_ns)
