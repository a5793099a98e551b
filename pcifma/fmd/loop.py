"""The main loop: one thread that waits for file descriptors, for calls from other threads, for signals, and for the time."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
from collections import deque
from collections.abc import Callable

from pcifma.access.seam import Clock

Call = Callable[[], None]
_LONGEST_S = 60.0  # timeouts run on a clock that stops in suspend: look at boot time this often at least


class Loop:
    """Calls whoever has something to do. *post* may be called from any thread; everything else belongs to the loop's own."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._posted: deque[Call] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector.register(self._wake, selectors.EVENT_READ, self._run_posted)
        self._signals: dict[int, Call] = {}

    def add(self, fd: int, events: int, call: Call) -> None:
        """Call *call* when *fd* is ready for *events* (selectors.EVENT_READ, EVENT_WRITE); replaces what was there for *fd*."""
        if fd in self._selector.get_map():
            self._selector.modify(fd, events, call)
        else:
            self._selector.register(fd, events, call)

    def remove(self, fd: int) -> None:
        """Forget *fd*."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(fd)

    def post(self, call: Call) -> None:
        """Run *call* on the loop's thread, soon."""
        self._posted.append(call)
        with contextlib.suppress(OSError):  # the loop is closed: nobody waits
            os.eventfd_write(self._wake, 1)

    def on_signal(self, number: int, call: Call) -> None:
        """Run *call* on the loop's thread after signal *number*."""
        signal.signal(number, lambda *_: self.post(call))

    def turn(self, until_ns: int) -> None:
        """Wait until something is ready or boot time has reached *until_ns*, and call whoever it concerns."""
        left_s = min(max(0.0, (until_ns - self._clock.boot_ns()) / 1e9), _LONGEST_S)
        for key, _ in self._selector.select(left_s):
            if key.fd in self._selector.get_map():  # an earlier call may have removed it
                key.data()

    def close(self) -> None:
        """Forget everything."""
        self._selector.close()
        os.close(self._wake)

    def _run_posted(self) -> None:
        os.eventfd_read(self._wake)
        for _ in range(len(self._posted)):
            self._posted.popleft()()
