"""Processors: a core whose own faults convict it goes offline, in Linux, or under Xen the physical one."""

from __future__ import annotations

from pcifma.plugin import Agent, Response, Services, Suspect

# A fault of the core itself. A shared cache, a bus or memory is not helped by one processor less.
_CLASSES = frozenset({"cache", "tlb", "internal"})
_PREFIX = "fault.cpu."


def open(services: Services) -> Agent:
    """Start the agent."""
    return Agent(services, choose)


def choose(suspect: Suspect) -> Response | None:
    """The processor that *suspect* is, `cpu3`; None for anything else."""
    number = suspect.device.removeprefix("cpu")
    if not suspect.class_.startswith(_PREFIX) or not number.isdecimal():
        return None
    unit = suspect.class_.rpartition(".")[2]
    return Response("cpu", number) if any(word in unit for word in _CLASSES) and not unit.startswith("l3") else None
