"""A ticket: the promise that a batch will be durable, and the moment when it is."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pcifma.errors import LogError


class Ticket:
    """Returned by Log.append. Done once: durable (synced to disk), or refused with *error*."""

    __slots__ = ("_callbacks", "_done", "_lock", "error")

    def __init__(self) -> None:
        self.error: LogError | None = None
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[Ticket], None]] = []

    @property
    def done(self) -> bool:
        """Durable or refused; no longer under way."""
        return self._done.is_set()

    @property
    def durable(self) -> bool:
        """Everything in the batch is on disk, synced."""
        return self.done and self.error is None

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until done, at most *timeout_s* seconds; True when durable. LogError if the batch was refused."""
        self._done.wait(timeout_s)
        if self.error is not None:
            raise self.error
        return self.done

    def then(self, callback: Callable[[Ticket], None]) -> None:
        """Call *callback* once when done: on the log thread (it must not block), or at once if done already."""
        with self._lock:
            if not self.done:
                self._callbacks.append(callback)
                return
        callback(self)

    def finish(self, error: LogError | None = None) -> None:
        """For the log alone: the batch is durable, or refused because of *error*."""
        with self._lock:
            self.error = error
            self._done.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)
