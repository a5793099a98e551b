"""Links: what their lanes, retimers and flits say of errors (lane.py, flit.py), and how fast and wide they run (training.py)."""

from __future__ import annotations

from collections.abc import Iterable

from pcifma.plugin import Fabric, Finding, Host, Snapshot, Watch

from . import flit, lane, training


def watches(fabric: Fabric, host: Host) -> Iterable[Watch]:
    """Status registers of each end of a link that has them; the state of each link at its lower end."""
    for function in fabric:
        yield from lane.watches(function)
        yield from flit.watches(function)
    yield from training.watches(fabric, host)


def normalise(now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
    """What the three say."""
    yield from lane.normalise(now)
    yield from flit.normalise(now, before)
    yield from training.normalise(now, before)
