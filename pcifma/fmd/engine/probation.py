"""Probation: for how long a repaired case is watched, and which new case has followed it.

    REPAIRED ── quiet until the end ──> list.resolved
       └─ a new case blames the same place first ──> the new case `follows` it, and it is resolved together with that one

Within the boot of the repair, time is boot time, which no step of the wall clock moves; after a reboot it is wall time.
"""

from __future__ import annotations

from collections.abc import Iterable

from pcifma.access.seam import Clock
from pcifma.event.case import Suspect
from pcifma.fmd.engine.cache import place
from pcifma.fmd.engine.case import CaseRecord

DAY_NS = 86_400 * 1_000_000_000
_FUNCTION_SLASHES = 3  # in the identity of a Function, at least: anything else is no place where a part sits


class Probation:
    """Lasts *lasts_ns* from a repair; *boot* is this boot's id."""

    def __init__(self, clock: Clock, boot: str, lasts_ns: int = DAY_NS) -> None:
        self.lasts_ns = lasts_ns
        self._clock, self._boot = clock, boot

    def begin(self, record: CaseRecord) -> None:
        """*record* was repaired now."""
        record.repaired_wall_ns = self._clock.wall_ns()
        record.probation_wall_ns = record.repaired_wall_ns + self.lasts_ns
        record.probation_boot, record.probation_boot_ns = self._boot, self._clock.boot_ns() + self.lasts_ns

    def left_ns(self, record: CaseRecord) -> int:
        """How long it still lasts; 0 or less: it is over."""
        if record.probation_boot and record.probation_boot == self._boot:
            return record.probation_boot_ns - self._clock.boot_ns()
        return record.probation_wall_ns - self._clock.wall_ns()


def first_places(suspects: Iterable[Suspect], targets: Iterable[str]) -> frozenset[str]:
    """Where the most certain of *suspects* sit; *targets* are their identities, in the same order."""
    named = list(zip(suspects, targets, strict=True))
    most = max((suspect.certainty for suspect, _ in named), default=0)
    return frozenset(place(target) for suspect, target in named if suspect.certainty == most and target.count("/") >= _FUNCTION_SLASHES)
