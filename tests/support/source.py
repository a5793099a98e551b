"""A source plugin made of two functions, for the poller."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pcifma.access.seam import Host
from pcifma.fabric.fabric import Fabric
from pcifma.plugin import Finding, Snapshot, Watch

Normalise = Callable[[Snapshot, Snapshot | None], Iterable[Finding]]


@dataclass
class MadeSource:
    """Stands where a loaded plugin stands: *declared* are its watches, *meaning* its normalise; `seen` keeps what it was given."""

    declared: list[Watch]
    meaning: Normalise
    name: str = "made"

    def __post_init__(self) -> None:
        self.seen: list[tuple[Snapshot, Snapshot | None]] = []

    @property
    def source(self) -> MadeSource:
        return self

    def watches(self, fabric: Fabric, host: Host) -> Iterable[Watch]:
        return self.declared

    def normalise(self, now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
        self.seen.append((now, before))
        return self.meaning(now, before)
