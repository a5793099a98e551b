"""Whether a Function sleeps, from facts that touch no hardware. A sleeping one is not read: a read would wake its parent."""

from __future__ import annotations

from functools import lru_cache

from pcifma.access.seam import Host
from pcifma.regs.bdf import Bdf

DEVICES = "/sys/bus/pci/devices"
_SLEEPING = frozenset({"suspended", "suspending"})


@lru_cache(maxsize=8192)
def directory(bdf: Bdf) -> str:
    """The Function's directory in sysfs."""
    return f"{DEVICES}/{bdf}"


def fact(host: Host, bdf: Bdf, name: str) -> str | None:
    """The text of the Function's sysfs attribute *name*, stripped; None where there is none."""
    content = host.read(f"{directory(bdf)}/{name}")
    return None if content is None else content.decode(errors="replace").strip()


def number(host: Host, bdf: Bdf, name: str) -> int | None:
    """The Function's sysfs attribute *name* as a number (`0x8086` or decimal); None where it is absent or none."""
    try:
        return int(fact(host, bdf, name) or "", 0)
    except ValueError:
        return None


def state(host: Host, bdf: Bdf) -> str | None:
    """`D3cold`, `D3hot suspended`, … where the Function sleeps; None where it is awake or nothing says that it sleeps."""
    power = fact(host, bdf, "power_state") or ""
    if power == "D0":
        return None  # whatever runtime power management means to do with it, reading it wakes nothing
    runtime = fact(host, bdf, "power/runtime_status") or ""
    if power != "D3cold" and runtime not in _SLEEPING:
        return None
    return " ".join(word for word in (power, runtime if power != "D3cold" else "") if word)
