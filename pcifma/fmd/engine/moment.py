"""What the engine is handling, and the time that modules are told meanwhile."""

from __future__ import annotations

from pcifma.access.seam import Clock
from pcifma.fmd.log.reader import Logged


class Moment:
    """An event, a timer or a module's opening while it is handled; between two of them it is now.

    *cause* names what is handled, or was last: the same name if it is handled again after a crash.
    """

    def __init__(self, clock: Clock) -> None:
        """Nothing is being handled."""
        self.cause = "start"
        self._clock = clock
        self._at_ns: int | None = None
        self._seq: int | None = None

    def begin(self, cause: str, at_ns: int | None = None, logged: Logged | None = None) -> None:
        """Handle *cause*, which happened at boot time *at_ns* (None: now); *logged* if it is an event of the log."""
        self.cause, self._at_ns = cause, at_ns
        self._seq = None if logged is None else logged.event.seq

    def end(self) -> None:
        """Nothing is being handled any more."""
        self._at_ns = self._seq = None

    def now_ns(self) -> int:
        """Boot time of what is being handled, or now, in ns."""
        return self._clock.boot_ns() if self._at_ns is None else self._at_ns

    def time_of(self, seq: int) -> int | None:
        """Boot time of event *seq* in ns, if that is what is being handled."""
        return self._at_ns if seq == self._seq else None
