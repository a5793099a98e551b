"""Boot time across boots. Windows and timers run on the boot time of this boot, so a step of the wall clock opens nothing.

Times that an earlier boot left behind move onto this boot's line by the wall clock, and never into the future.
"""

from __future__ import annotations

from dataclasses import dataclass

from pcifma.access.seam import Clock
from pcifma.event.ereport import Ereport
from pcifma.fmd.log.reader import Logged
from pcifma.fmd.log.row import wall_of


@dataclass(frozen=True, slots=True)
class Timeline:
    """The line of the running boot. *first_seq* is the newest event that the log held when this daemon started."""

    clock: Clock
    boot: str
    first_seq: int
    same_boot: bool

    @property
    def wall_offset_ns(self) -> int:
        """Wall time minus boot time, now."""
        return self.clock.wall_ns() - self.clock.boot_ns()

    def of(self, logged: Logged) -> int:
        """When *logged* happened, in ns of this boot; negative before it."""
        event = logged.event
        in_this_boot = event.boot == self.boot if isinstance(event, Ereport) else self.same_boot or event.seq > self.first_seq
        return logged.boot_ns if in_this_boot else self.of_wall(wall_of(event.time))

    def of_wall(self, wall_ns: int) -> int:
        """A wall time as boot time of this boot, at most now."""
        return min(wall_ns - self.wall_offset_ns, self.clock.boot_ns())

    def shift(self, boot: str, wall_offset_ns: int) -> int:
        """What to add to a boot time of *boot* to have it on this line."""
        return 0 if boot == self.boot else wall_offset_ns - self.wall_offset_ns
