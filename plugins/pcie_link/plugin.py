"""Links: what their lanes, retimers and flits say of errors (lane.py, flit.py), and how fast and wide they run (training.py)."""

from __future__ import annotations

from collections.abc import Iterable

from pcifma.plugin import Fabric, Finding, Host, Snapshot, Watch

from . import flit, lane, training

# Without any of these a Function has none of the registers; Functions of one kind share their capabilities.
_SPEAKING = frozenset({flit.FLIT.name, *(c.name for c, _, _ in lane.BY_LANE), *(c.name for c, _ in lane.STATUS)})


def watches(fabric: Fabric, host: Host) -> Iterable[Watch]:
    """Status registers of each end of a link that has them; the state of each link at its lower end."""
    shapes = {id(function.capabilities): function.capabilities for function in fabric}
    mute = {key for key, capabilities in shapes.items() if {c.name for c in capabilities}.isdisjoint(_SPEAKING)}
    for function in fabric:
        if id(function.capabilities) not in mute:
            yield from lane.watches(function)
            yield from flit.watches(function)
    yield from training.watches(fabric, host)


def normalise(now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
    """What the three say."""
    yield from lane.normalise(now)
    yield from flit.normalise(now, before)
    yield from training.normalise(now, before)
