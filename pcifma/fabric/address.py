"""Which Function a memory address belongs to, as far as bridge windows and BARs tell.

BARs say where they begin and not how long they are: the window of the bridge above bounds them.
"""

from __future__ import annotations

from pcifma.fabric.fabric import Fabric
from pcifma.fabric.function import Function


def owner(fabric: Fabric, address: int) -> Function | None:
    """The Function that *address* belongs to: below the deepest bridge whose window holds it, the one whose BAR begins nearest
    below it. None where no window holds it (host memory), or no BAR there begins below it.
    """
    best: tuple[int, int] = (-1, -1)
    found = None
    for function in fabric:
        start = max((bar for bar in function.bars if bar <= address), default=None)
        above = fabric.parent(function)
        if start is None or above is None or not _holds(above, address):
            continue
        rank = (len(fabric.path(function)), start)
        if rank > best:
            best, found = rank, function
    return found


def _holds(bridge: Function, address: int) -> bool:
    return any(first <= address <= last for first, last in bridge.windows)
