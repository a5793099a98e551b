"""The outbox: what the engine has changed on its way to disk, one batch at a time.

While one is under way, changes gather, so that the slower the disk, the more events share a checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable

from pcifma.errors import LogBusyError, LogUnavailableError
from pcifma.fmd.log.batch import Batch
from pcifma.fmd.log.log import Log
from pcifma.fmd.log.ticket import Ticket


class Outbox:
    """*gathered* counts the events whose effects are not on their way yet."""

    def __init__(self, log: Log) -> None:
        self.gathered = 0
        self._log = log
        self._unsent: Batch | None = None
        self._ticket: Ticket | None = None

    @property
    def idle(self) -> bool:
        """Nothing is on its way."""
        return self._unsent is None and (self._ticket is None or self._ticket.done)

    def send(self, collect: Callable[[], Batch | None]) -> bool:
        """Send what *collect* gives (None: nothing). False, without collecting, while a batch is under way or refused for now.

        LogError if the batch before was refused for good: then memory and log disagree, and only a restart makes them agree.
        """
        if self._ticket is not None:
            if not self._ticket.done:
                return False
            self._ticket.wait()
            self._ticket = None
        if self._unsent is None:
            self._unsent, self.gathered = collect(), 0
        return self._unsent is None or self._append(self._unsent)

    def _append(self, batch: Batch) -> bool:
        try:
            self._ticket = self._log.append(batch)
        except LogBusyError:
            return False
        self._unsent = None
        return True

    def wait(self, collect: Callable[[], Batch | None], timeout_s: float) -> None:
        """Make all that has changed durable; LogUnavailableError if that takes longer than *timeout_s*."""
        for _ in range(2):
            if self._ticket is not None and not self._ticket.wait(timeout_s):
                break
            self.send(collect)
        if self._unsent is not None or (self._ticket is not None and not self._ticket.wait(timeout_s)):
            raise LogUnavailableError(f"{self._log.path}: the last changes are not stored: {self._log.trouble or 'storage is too slow'}")
