"""Which Functions planned work touches: what is named, what shares its link or its device, and all that is below."""

from __future__ import annotations

from collections.abc import Iterable

from pcifma.errors import UsageError
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.function import Function, Slot
from pcifma.regs.bdf import Bdf


def anchors(fabric: Fabric, what: str) -> list[str]:
    """The addresses below which everything is meant by *what*, an address or a slot's label; UsageError if it names nothing, or two slots.

    A card is anchored at the port above it, whose end of the link sees what is done to the card; so that it is still covered when it
    comes back at another address.
    """
    named = _named(fabric, what)
    every = {top.bdf: top for top in (_top(fabric, f) for f in named)}
    tops = [top for top in every.values() if not any(above.bdf in every for above in fabric.path(top)[:-1])]
    if len({top.bdf if top.bus_range else top.bdf[:3] for top in tops}) > 1:
        raise UsageError(f"{what!r} names several places ({', '.join(sorted(str(f.bdf) for f in named))}): give an address")
    return sorted(str(top.bdf) for top in tops)


def _named(fabric: Fabric, what: str) -> list[Function]:
    try:
        function = fabric.get(Bdf.parse(what))
    except ValueError:
        found = [f for f in fabric if f.slot is not None and labelled(f.slot, what)]
        found += [f for f in fabric if f.slot_below is not None and labelled(f.slot_below, what)]
    else:
        found = [] if function is None else [function]
    if not found:
        raise UsageError(f"{what!r} is no Function and no slot here: `pcifma topology` lists both")
    return found


def labelled(slot: Slot, text: str) -> bool:
    """True if *text* is one of the labels of *slot*, or its number."""
    labels = {slot.label, *(label for label, _ in slot.others), *([str(slot.number)] if slot.number else [])}
    return text.strip().casefold() in {label.strip().casefold() for label in labels}


def _top(fabric: Fabric, function: Function) -> Function:
    if function.physfn is not None:
        function = fabric.get(function.physfn) or function
    port = fabric.link_partner(function)
    if port is not None or function.bus_range is not None:
        return port or function
    return fabric.parent(function) or function


def covered(fabric: Fabric, tops: Iterable[str]) -> frozenset[str]:
    """The addresses of *tops*, of what shares a device with them where they are no ports, and of all below."""
    found: set[str] = set()
    for text in tops:
        found.add(text)
        top = fabric.get(Bdf.parse(text))
        if top is not None:
            found |= {str(f.bdf) for f in _below(fabric, [top] if top.bus_range else _siblings(fabric, top))}
    return frozenset(found)


def _siblings(fabric: Fabric, function: Function) -> list[Function]:
    return [f for f in fabric if f.bdf[:3] == function.bdf[:3]]


def _below(fabric: Fabric, tops: list[Function]) -> list[Function]:
    found: list[Function] = []
    todo = list(tops)
    while todo:
        one = todo.pop()
        found.append(one)
        todo += [*fabric.children(one), *fabric.virtual_functions(one)]
    return found
