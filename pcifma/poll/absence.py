"""Why a Function could not be looked at, told apart without touching it: gone, asleep, busy, or out of reach from here."""

from __future__ import annotations

from collections.abc import Iterable

from pcifma.access.seam import Host
from pcifma.fabric import power
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.function import Function
from pcifma.regs.bdf import Bdf

ASLEEP = "asleep"

# Reason, and what would help. Printed, counted in the trailer, and the payload of ereport.pcifma.unread.
REMEDIES = {
    "short": "only the first 64 bytes can be read: run as root (a capture: take it with lspci -xxxx as root)",
    "gone": "reads all ones: look at the link and slot above it; it is not 32 errors",
    ASLEEP: "not woken: look again when it is in use, or wake it by using it",
    "busy": "not ready, or in reset: it is looked at again at the next look",
    "slow": "its reads take too long: looked at less often; exclude it if that is not enough",
    "excluded": "left alone: poll.exclude in the configuration names it",
    "unreadable": "the kernel refused the read: see dmesg",
}


def asleep(host: Host, fabric: Fabric, function: Function) -> bool:
    """True if reading *function* could wake it or a bridge above it."""
    return any(power.state(host, above.bdf) is not None for above in fabric.path(function))


class Sleepers:
    """Who sleeps on this fabric, from facts alone: a Function that sleeps itself, or below a bridge that does, since reading
    it would wake the bridge. Only those that the kernel may suspend at run time are asked about at each look.
    """

    def __init__(self, host: Host, fabric: Fabric) -> None:
        self._host, self._fabric = host, fabric
        self._candidates: list[Function] | None = None
        self._fresh = True

    def now(self, *, slow: bool) -> set[Bdf]:
        """The Functions that sleep now. *slow*: ask anew who may."""
        if self._fresh:
            self._fresh = False
            built = {f.bdf for f in self._fabric if f.unread == ASLEEP}
            return {f.bdf for f in self._fabric if not built.isdisjoint(above.bdf for above in self._fabric.path(f))} if built else set()
        if self._candidates is None or slow:
            self._candidates = self._may_sleep()
        states: dict[Bdf, bool] = {}
        return {f.bdf for f in self._candidates if any(self._sleeps(above.bdf, states) for above in self._fabric.path(f))}

    def _may_sleep(self) -> list[Function]:
        auto = {f.bdf for f in self._fabric if f.unread == ASLEEP or power.fact(self._host, f.bdf, "power/control") == "auto"}
        return [f for f in self._fabric if not auto.isdisjoint(above.bdf for above in self._fabric.path(f))] if auto else []

    def _sleeps(self, bdf: Bdf, states: dict[Bdf, bool]) -> bool:
        if bdf not in states:
            states[bdf] = power.state(self._host, bdf) is not None
        return states[bdf]


def summary(reasons: Iterable[str]) -> dict[str, int]:
    """How many Functions there are of each reason."""
    found: dict[str, int] = {}
    for reason in reasons:
        found[reason] = found.get(reason, 0) + 1
    return dict(sorted(found.items()))
