"""Timers of modules, on boot time. An expiry is delivered before any event that happened after it, so a replay is exact."""

from __future__ import annotations

import heapq

import msgspec


class Timer(msgspec.Struct, frozen=True):
    """When it is due, in ns of boot time, and what its module wanted to be told."""

    due_ns: int
    data: str


class Timers:
    """The armed timers of one module, by name."""

    def __init__(self) -> None:
        self.armed: dict[str, Timer] = {}
        self._due: list[tuple[int, str]] = []

    def arm(self, name: str, timer: Timer) -> None:
        """Arm *name*, or move it."""
        self.armed[name] = timer
        heapq.heappush(self._due, (timer.due_ns, name))

    def disarm(self, name: str) -> bool:
        """Forget *name*; False if it was not armed."""
        return self.armed.pop(name, None) is not None

    def next_ns(self) -> int | None:
        """When the next one is due; None if none is armed."""
        while self._due:
            due_ns, name = self._due[0]
            timer = self.armed.get(name)
            if timer is not None and timer.due_ns == due_ns:
                return due_ns
            heapq.heappop(self._due)
        return None

    def take(self, upto_ns: int) -> tuple[str, Timer] | None:
        """Remove and return the earliest timer due at or before *upto_ns*."""
        due_ns = self.next_ns()
        if due_ns is None or due_ns > upto_ns:
            return None
        _, name = heapq.heappop(self._due)
        return name, self.armed.pop(name)


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Timer)


def encode(timer: Timer) -> bytes:
    """The checkpointed form."""
    return _ENCODER.encode(timer)


def decode(body: bytes, shift_ns: int = 0) -> Timer:
    """Read the checkpointed form, moved onto this boot's timeline."""
    timer = _DECODER.decode(body)
    return Timer(timer.due_ns + shift_ns, timer.data)
