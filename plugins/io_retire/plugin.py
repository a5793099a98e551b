"""Functions: the driver of a device that a case convicts is unbound, and none binds again until it is repaired."""

from __future__ import annotations

from pcifma.plugin import Agent, Bdf, Response, Services, Suspect

# Uncorrected faults of the device itself; a link that corrects, or a request that a guest made, is no reason to take a device away.
_CLASSES = frozenset({"fault.io.pciex.device-interr", "fault.io.pciex.device-interr-unaf", "fault.io.pci.device-interr"})


def open(services: Services) -> Agent:
    """Start the agent."""
    return Agent(services, choose)


def choose(suspect: Suspect) -> Response | None:
    """The Function that *suspect* is; None for anything else."""
    if suspect.class_ not in _CLASSES:
        return None
    try:
        return Response("io", str(Bdf.parse(suspect.device)))
    except ValueError:
        return None
