"""The swap test: what was at fault before, by serial number and by place. Did it follow the card, or stay with the slot?

A part without a serial number cannot be told from another of its kind: then nothing is said of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from pcifma.plugin import Fabric, Function, fmri

KEPT = 500
# A fault that was seen to move with the card, or to stay behind, is that much likelier the card's, or the slot's.
WEIGHT = 10.0
LOG_WEIGHT = math.log(WEIGHT)


class Entry(msgspec.Struct, frozen=True):
    """One case: *family* of its fault, where the part sat (*place*, and *slot* for people), which part (*ids*, *serial*), when."""

    family: str
    place: str
    slot: str
    ids: str
    serial: str
    time: str
    case: str


class Swap(msgspec.Struct, frozen=True):
    """What the history says of one part: `card` it followed, or `slot` it stayed with; *words* for people."""

    what: str
    words: str


def entry(family: str, fabric: Fabric, function: Function, *, time: str, case: str) -> Entry:
    """*function* at fault in *case*."""
    place, ids, serial = fmri.identity(fabric, function).rsplit("/", 2)
    return Entry(family, place, _slot(function), ids, serial, time, case)


def _slot(function: Function) -> str:
    label = function.slot.label if function.slot is not None else ""
    return label or str(function.bdf)


def swaps(history: Iterable[Entry], one: Entry) -> list[Swap]:
    """What of *history* bears on *one*, newest first, one of a kind."""
    found: dict[str, Swap] = {}
    for old in reversed(list(history)):
        if old.family != one.family:
            continue
        when = f"(case {old.case[:8]}, {old.time[:10]})"
        if old.serial == one.serial != "-" and old.ids == one.ids and old.place != one.place:
            found.setdefault("card", Swap("card", f"followed the card: serial {one.serial} had it in {old.slot} too {when}"))
        elif old.place == one.place and _another(old, one):
            words = f"stayed with the slot: serial {old.serial} had it in {one.slot} before serial {one.serial} {when}"
            found.setdefault("slot", Swap("slot", words))
    return list(found.values())


def _another(old: Entry, one: Entry) -> bool:
    return old.ids != one.ids or ("-" not in (old.serial, one.serial) and old.serial != one.serial)
