"""Why a Function could not be looked at, told apart without touching it: gone, asleep, busy, or out of reach from here."""

from __future__ import annotations

from collections.abc import Iterable

from pcifma.access.seam import Host
from pcifma.fabric import power
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.function import Function

ASLEEP = "asleep"

# Reason, and what would help. Printed, counted in the trailer, and the payload of ereport.pcifma.unread.
REMEDIES = {
    "short": "only the first 64 bytes can be read: run as root (a capture: take it with lspci -xxxx as root)",
    "gone": "reads all ones: look at the link and slot above it; it is not 32 errors",
    ASLEEP: "not woken: look again when it is in use, or wake it by using it",
    "busy": "not ready, or in reset: it is looked at again at the next look",
    "slow": "its reads take too long: looked at less often; exclude it if that is not enough",
    "unreadable": "the kernel refused the read: see dmesg",
}


def asleep(host: Host, fabric: Fabric, function: Function) -> bool:
    """True if reading *function* could wake it or a bridge above it (facts only; no register is touched)."""
    return any(power.state(host, above.bdf) is not None for above in fabric.path(function))


def may_sleep(host: Host, fabric: Fabric, function: Function) -> bool:
    """True if the kernel may suspend *function* or a bridge above it at run time, so that *asleep* must be asked at each look."""
    return any(power.fact(host, above.bdf, "power/control") == "auto" for above in fabric.path(function))


def summary(reasons: Iterable[str]) -> dict[str, int]:
    """How many Functions there are of each reason."""
    found: dict[str, int] = {}
    for reason in reasons:
        found[reason] = found.get(reason, 0) + 1
    return dict(sorted(found.items()))
