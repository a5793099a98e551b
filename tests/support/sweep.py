"""One look, or several, at a bench through named source plugins: the ereports of bits."""

from __future__ import annotations

from collections.abc import Callable

from support.image import Image
from support.machine import Bench, bench

from pcifma.event.ereport import Ereport
from pcifma.event.value import FABRIC_CLASS
from pcifma.fabric.build import build
from pcifma.plugin.loader import builtin
from pcifma.poll.poller import Poller

SECOND = 1_000_000_000


class Sweep:
    """*on* looked at by the built-in plugins *names*; each `look` is *seconds* after the one before."""

    def __init__(self, on: Bench, *names: str) -> None:
        self.on = on
        self.poller = Poller(on.machine, build(on.machine), builtin(names))

    def look(self, seconds: float = 0) -> list[Ereport]:
        """The ereports of one look, snapshots and plugins set aside left out; a plugin that raises is a failure."""
        self.on.clock.wait_until(self.on.clock.boot_ns() + int(seconds * SECOND))
        found = self.poller.look().ereports
        assert not [e.payload for e in found if e.class_ == "ereport.pcifma.module"]
        return [e for e in found if e.class_ != FABRIC_CLASS]


def sweep(name: str, *images: Image, change: Callable[[Bench], None] | None = None) -> list[Ereport]:
    """The ereports of one look at *images* through the plugin *name*, after *change*."""
    on = bench(*images)
    if change is not None:
        change(on)
    return Sweep(on, name).look()


def told(events: list[Ereport]) -> list[tuple[str, str, object]]:
    """Device, class behind `ereport.`, and bit of each."""
    return [(e.device, e.class_.removeprefix("ereport."), e.payload.get("bit")) for e in events]
