"""Gathering: what comes within the window from one part of the fabric is judged together, with what came just before where looks overlap.

Buffers: `exercise:<part>` holds what waits, `past:<part>` what was judged lately.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import msgspec

from pcifma.plugin import DevType, Ereport, Services

from .address import find
from .evidence import Seen
from .place import home
from .reading import Readings
from .removal import Removals
from .rule import Rules
from .store import Store

DUE = "exercise:"
KEPT = 96  # ereports of one exercise, and of one that says the same; beyond it they are counted and not kept
ALIKE = 8
# A slow look comes every 30 s: what it finds may have happened together with what a fast look told that long ago.
PAST_S = 45.0
PAST_KEPT = 48
# Who reads all ones may be back in a moment; who says so alone is believed after this long.
ALONE_S = 60.0
LOOK_S = 1.0


class Kept(msgspec.Struct, frozen=True):
    """An ereport without its payload, and what it says; *case* that took it, and when (boot time) it was judged."""

    event: Ereport
    seen: Seen
    case: str = ""
    at_ns: int = 0


@dataclass(frozen=True, slots=True)
class Round:
    """What is to be judged: *fresh*, and of what was judged before (*past*) what may belong to it."""

    fresh: list[Kept]
    past: list[Kept]


_LIST = msgspec.json.Decoder(list[Kept])
_encode = msgspec.json.encode


class Gathering:
    """The exercises that wait."""

    def __init__(self, services: Services, store: Store, rules: Rules, removals: Removals, *, window_s: float) -> None:
        """As the buffers have them."""
        self._services, self._store, self._rules, self._removals = services, store, rules, removals
        self._window_s = window_s
        self.readings = Readings(store)
        self._read: tuple[bytes, list[Kept]] = b"", []
        self._open: dict[str, tuple[list[Kept], list[bytes]]] = {}
        self._alike: dict[str, Counter[tuple[object, ...]]] = {}

    def is_shadow(self, event: Ereport) -> bool:
        """True where a conventional status bit is but the shadow of a message, or of unknown age: PCI Express on the side that says so."""
        function = find(self._services.fabric, event.device)
        if function is None or event.first_look:
            return True
        return function.dev_type is not None and not (".sec-" in event.class_ and function.dev_type == DevType.PCIE_TO_PCI_BRIDGE)

    def add(self, event: Ereport) -> None:
        """Take *event* into the exercise of its part of the fabric."""
        fabric = self._removals.fabric(self._services.fabric, event.device, self._services.now_ns())
        part, one, key = self.readings.of(event, fabric)
        if "by-software" in one.tags:
            return  # somebody cut the part off on purpose
        kept, lines = self._waiting(part)
        alike = self._alike[part]
        if len(kept) >= KEPT or alike[key] >= ALIKE:
            self._services.count("beyond")
            return
        alike[key] += 1
        slim = msgspec.structs.replace(event, payload=_kept_payload(event), detector={}, resource="", sources=[])
        kept.append(Kept(slim, msgspec.structs.replace(one, uuid=event.uuid)))
        lines.append(_encode(kept[-1]))
        self._store.put(f"{DUE}{part}", b"[" + b",".join(lines) + b"]")
        if len(kept) == 1:
            alone = self._rules.is_echo(event.class_) and event.class_.endswith(".unread")
            self._services.arm(f"{DUE}{part}", ALONE_S if alone else self._window_s, part)
        elif len(kept) > 1 and self._was_alone(kept):
            self._services.arm(f"{DUE}{part}", self._window_s, part)

    def _was_alone(self, kept: list[Kept]) -> bool:
        # The first that is more than an absence ends the long wait.
        absent = [one.seen.class_.endswith("pcifma.unread") for one in kept]
        return not absent[-1] and all(absent[:-1])

    def _waiting(self, part: str) -> tuple[list[Kept], list[bytes]]:
        if part not in self._open:
            kept = self._store.get(f"{DUE}{part}")
            found = _LIST.decode(kept) if kept else []
            self._open[part] = found, [_encode(one) for one in found]
            self._alike[part] = Counter(one.seen.key for one in found)
        return self._open[part]

    def forget(self, devices: frozenset[str]) -> None:
        """What waits of *devices* was mended."""
        for part in {home(self._services.fabric, device) for device in devices}:
            kept, lines = self._waiting(part)
            stay = [n for n, one in enumerate(kept) if one.event.device not in devices]
            kept[:], lines[:] = [kept[n] for n in stay], [lines[n] for n in stay]
            self._alike[part] = Counter(one.seen.key for one in kept)
            self._store.put(f"{DUE}{part}", b"[" + b",".join(lines) + b"]")
            self._store.put(f"past:{part}", b"")

    def close(self, part: str) -> Round:
        """End the exercise of *part*."""
        fresh, _ = self._waiting(part)
        self._open.pop(part, None)
        self._store.put(f"{DUE}{part}", b"")
        since_ns = min((earliest_ns(one.event) for one in fresh), default=0) - round(self._window_s * 1e9)
        past = [one for one in self._past(part) if time_ns(one.event.time) >= since_ns]
        return Round(fresh, past)

    def _past(self, part: str) -> list[Kept]:
        kept = self._store.get(f"past:{part}")
        if not kept:
            return []
        if kept is not self._read[0]:  # a part is judged and settled in turn, from the same
            self._read = kept, _LIST.decode(kept)
        oldest = self._services.now_ns() - PAST_S * 1e9
        return [one for one in self._read[1] if one.at_ns >= oldest]

    def settle(self, part: str, fresh: Sequence[Kept], taken: Mapping[str, str]) -> None:
        """*fresh* was judged; *taken*: the case of each ereport."""
        now_ns = self._services.now_ns()
        judged = [msgspec.structs.replace(one, case=taken.get(one.event.uuid, ""), at_ns=now_ns) for one in fresh]
        self._store.put(f"past:{part}", _encode([*self._past(part), *judged][-PAST_KEPT:]))


def _kept_payload(event: Ereport) -> dict[str, str]:
    # What removal asks for.
    target = event.payload.get("tlp-target")
    return {"tlp-target": target} if isinstance(target, str) else {}


def time_ns(time: str) -> int:
    """*time* of an ereport, as ns."""
    return _second_ns(time[:19]) + (int((time[20:29] or "0").ljust(9, "0")) if len(time) > 20 else 0)


@lru_cache(maxsize=256)
def _second_ns(time: str) -> int:
    return round(datetime.fromisoformat(time + "+00:00").timestamp() * 1e9)


def earliest_ns(event: Ereport) -> int:
    """Since when *event* may have happened: the last look that saw nothing, or a look before it was told."""
    return time_ns(event.not_before) if event.not_before else time_ns(event.time) - round(LOOK_S * 1e9)
