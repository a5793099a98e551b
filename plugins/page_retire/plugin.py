"""Pages of memory: soft offline in Linux (hard where data is lost already), page offline in Xen."""

from __future__ import annotations

import re

from pcifma.plugin import Agent, Response, Services, Suspect

_CLASS = "fault.memory.page"
_FRAME = re.compile(r"/frame=(0x[0-9a-f]{1,12})(?:$|/)")


def open(services: Services) -> Agent:
    """Start the agent."""
    return Agent(services, choose)


def choose(suspect: Suspect) -> Response | None:
    """The page that *suspect* is, by the frame in its ASRU; None for anything else."""
    found = _FRAME.search(suspect.asru)
    if not suspect.class_.startswith(_CLASS) or found is None:
        return None
    return Response("page", found[1], hard=suspect.class_.endswith("_ue"))
