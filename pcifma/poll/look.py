"""What one look gave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pcifma.fabric.fabric import Fabric
from pcifma.plugin.watch import Evidence
from pcifma.poll.latched import Standing
from pcifma.poll.subject import Moment

if TYPE_CHECKING:
    from pcifma.event.ereport import Ereport


class Look:
    """What one look gave. *evidence* goes with *ereports* that stand on a register bit: (uuid, evidence). *unread* by address.

    *latched* belongs into the same transaction as *ereports*; nothing may be written back to hardware before that is durable. *whole*:
    nothing of the look is left for a later call.
    """

    def __init__(self, when: Moment, fabric: Fabric) -> None:
        self.when, self.fabric = when, fabric
        self.ereports: list[Ereport] = []
        self.evidence: list[tuple[str, Evidence]] = []
        self.latched: tuple[Standing, ...] = ()
        self.unread: dict[str, str] = {}
        self.functions = 0
        self.reads = self.examined = 0
        self.whole = True

    @property
    def read(self) -> int:
        """How many Functions were looked at whole."""
        return self.functions - len(self.unread)
