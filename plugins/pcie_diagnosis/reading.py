"""Readings: what ereports say, and of which part of the fabric; one that says what another has said is not read again.

Buffers: `command:<bus>` holds Device Control of its Functions, `slot:<bus>` Slot Status of those that have a slot.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from pcifma.plugin import Ereport, Fabric

from .evidence import Seen, seen
from .place import home
from .store import Notes, Store

KNOWN = 4096
# The members of a payload that seen() asks for: those that it takes as text, whatever they are, and others.
_TEXTS = ("tlp-requester", "tlp-completer", "tlp-target", "reason", "cause")
_NUMBERS = ("source-id", "source-valid", "tlp-length-dw")
_PLAIN = frozenset({str, msgspec.UnsetType})


class Reading(NamedTuple):
    """What one ereport says: *part* of the fabric, evidence (of the first that said so), and its key."""

    part: str
    seen: Seen
    key: tuple[object, ...]


class Readings:
    """Those of one fabric. They are forgotten when it changes, or what its Functions told of themselves."""

    def __init__(self, store: Store) -> None:
        """As the buffers have them."""
        self._control, self._slot = Notes(store, "command"), Notes(store, "slot")
        self._fabric: Fabric | None = None
        self._known: dict[tuple[object, ...], Reading] = {}

    def learn(self, event: Ereport) -> None:
        """Take note of what a Function's registers (*event*, the raw snapshot) say of itself."""
        status = event.payload.get("pcie_slot_status") if _is_hot_plug(event) else None
        if isinstance(status, int) and not status & _CARD and self._slot.get(event.device) is None:
            status = None  # a slot that never said that a card is in it, or that one came or went, has no presence detection
        news = self._control.learn(event.device, event.payload.get("pcie_command")), self._slot.learn(event.device, status)
        if any(news):
            self._known.clear()

    def of(self, event: Ereport, fabric: Fabric) -> Reading:
        """What *event* says on *fabric*."""
        if fabric is not self._fabric or len(self._known) >= KNOWN:
            self._fabric = fabric
            self._known.clear()
        get, unset = event.payload.get, msgspec.UNSET
        texts = tuple([get(name, unset) for name in _TEXTS])
        if not _PLAIN.issuperset(map(type, texts)):
            return self._read(event, fabric)
        key = event.class_, event.device, event.severity, event.first_look, event.trust, texts, tuple(map(get, _NUMBERS))
        try:
            found = self._known.get(key)
        except TypeError:  # a list where a number belongs
            return self._read(event, fabric)
        if found is None:
            found = self._known[key] = self._read(event, fabric)
        return found

    def _read(self, event: Ereport, fabric: Fabric) -> Reading:
        one = seen(event, fabric, self._control.get(event.device), self._slot.get(event.device))
        return Reading(home(fabric, event.device), one, one.key)


_CARD = 1 << 6 | 1 << 3  # Slot Status: Presence Detect State and Presence Detect Changed (7.5.3.11)


def _is_hot_plug(event: Ereport) -> bool:
    # Slot Capabilities, Hot-Plug Surprise and Hot-Plug Capable (7.5.3.9): elsewhere nobody pulls a card.
    slot = event.payload.get("pcie_slot_cap")
    return isinstance(slot, int) and bool(slot & 0x60)
