"""The processes that this daemon started, and those that these left behind. Nobody outlives the plugin that made them.

The daemon is the reaper of its descendants (PR_SET_CHILD_SUBREAPER): a process that forks, leaves its session and loses its
parent becomes ours, is not in the list, and is killed when the plugin ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from _thread import allocate_lock
from collections.abc import Callable

_PR_SET_CHILD_SUBREAPER = 36
_PATIENCE_S = 0.2  # a killed process ends at once, unless it waits for a device
_HUNT_S = 0.5  # for what a dying plugin still forks; what is left then is hunted again later, and looks go on


class Offspring:
    """Process ids of living plugins, and of other processes that are ours to keep."""

    def __init__(self) -> None:
        self._kept: set[int] = set()
        self._dying: set[int] = set()
        # What is being born is no stray.
        self._lock = allocate_lock()
        # Who ends processes of another user: (pid, with its group or not).
        self.beyond_reach: Callable[[int, bool], None] = lambda pid, group: None

    def adopt(self) -> None:
        """Become the parent of every descendant whose own is gone."""
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)

    def add(self, pid: int) -> None:
        """Keep *pid*, which leads a session of its own."""
        self._kept.add(pid)

    def keep(self, pid: int) -> None:
        """Leave *pid* alone for ever: the keeper."""
        self._kept.add(pid)

    def start(self, spawn: Callable[[], int]) -> int:
        """Keep the process that *spawn* starts, which leads a session of its own, from its first moment on."""
        with self._lock:
            pid = spawn()
            self._kept.add(pid)
        return pid

    @property
    def dying(self) -> bool:
        """Somebody who was killed has not ended yet."""
        return bool(self._dying)

    def kill(self, pid: int) -> int | None:
        """Kill *pid*, its process group, and whatever it left behind; its wait status, None if it has not ended yet."""
        stuck = set(self._dying)
        self._kept.discard(pid)
        self._dying.add(pid)
        # The group goes while its leader is not yet reaped: its number cannot have been given away.
        self._signal(pid, group=True)
        status = self._reap(pid)
        end_s = time.monotonic() + _HUNT_S
        while self._hunt() - stuck and time.monotonic() < end_s:
            time.sleep(0.001)
        return status

    # Kill what was left behind; who has not ended yet. Whoever ends may leave others, which are ours then.
    def _hunt(self) -> set[int]:
        with self._lock:
            strays = children() - self._kept - self._dying
        for stray in strays:
            self._signal(stray, group=False)
        self._dying |= strays
        for pid in list(self._dying):
            self._wait(pid)
        return self._dying

    def _signal(self, pid: int, *, group: bool) -> None:
        try:
            (os.killpg if group else os.kill)(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        except PermissionError:
            self.beyond_reach(pid, group)

    def reap(self) -> None:
        """Take note of killed processes that have ended by now, and kill what they left; never waits."""
        if self._dying:
            self._hunt()

    def _reap(self, pid: int) -> int | None:
        end_s = time.monotonic() + _PATIENCE_S
        while (status := self._wait(pid)) is None and time.monotonic() < end_s:
            time.sleep(0.001)
        return status

    def _wait(self, pid: int) -> int | None:
        try:
            done, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            self._dying.discard(pid)
            return 0
        if done:
            self._dying.discard(pid)
            return status
        return None


def children() -> set[int]:
    """The process ids of this process's children, zombies included."""
    found: set[int] = set()
    for task in os.listdir("/proc/self/task"):  # noqa: PTH208 - loaded by the nursery, which wants little
        with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/children", "rb") as file:  # noqa: PTH123
            found.update(int(pid) for pid in file.read().split())
    return found


OFFSPRING = Offspring()
