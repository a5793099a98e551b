"""Links: corrected errors counted for each direction, and the suspects of one that is worse than allowed.

Buffers: `link:<direction>` holds the closed buckets and a few of the ereports, `link-now:<direction>` the open bucket, `speed:<bus>`
Link Status of its Functions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from pcifma.plugin import Ereport, Fabric, Function, Services

from .address import find
from .docket import slim
from .rate import Direction, Now, Past, Tally, allowed, direction, is_flit, marginal, marginal_lane
from .rule import LinkSuspect, Rules
from .store import Notes, Store

LOOK_S = 1.0  # the fast tier's interval
SLOW_LOOK_S = 30.0  # that of lane registers
KEPT, ALIKE = 8, 2  # ereports of one direction, as examples: two of each class and end
_PLACES = 16384  # (address, class) whose direction is known
RECENT_S = 300.0  # errors of a link so long before it fails are a sign of why

_encode = msgspec.json.encode


class _Kept(msgspec.Struct):
    # What changes seldom: the closed buckets, and examples.
    past: Past = msgspec.field(default_factory=Past)
    seen: list[Ereport] = []


_KEPT, _NOW = msgspec.json.Decoder(_Kept), msgspec.json.Decoder(Now)


@dataclass(frozen=True, slots=True)
class Marginal:
    """A direction that is worse than allowed: *rate* a second, at least, within *window_s*; *limit* is what it may be at most.

    *when*: which of the rules' suspect rows hold. *lanes*: errors by lane. *other*: errored looks of the other direction.
    """

    of: Direction
    rate: float
    window_s: float
    limit: float
    when: str
    lanes: dict[str, int]
    retimers: int
    looks: int
    exact: int
    other: int
    link_status: int | None


class _Line:
    # One direction: its tally, examples, how many of each (class, device), and the names of its buffers.
    # *sound*: the version of the tally, and the Link Status, that were judged and found to be no worse than allowed.
    __slots__ = ("alike", "kept", "now", "seen", "sound", "tally")

    def __init__(self, of: Direction, tally: Tally, seen: list[Ereport]) -> None:
        self.tally, self.seen = tally, seen
        self.alike = Counter((one.class_, one.device) for one in seen)
        self.kept, self.now = f"link:{of}", f"link-now:{of}"
        self.sound: tuple[int, int | None] | None = None


class Links:
    """All tallies of a machine. What a fabric and its links' states make of an address is remembered as long as both stay."""

    def __init__(self, services: Services, store: Store, rules: Rules) -> None:
        """As the buffers have them."""
        self._services, self._store, self._rules = services, store, rules.link
        self._lines: dict[Direction, _Line] = {}
        self._status = Notes(store, "speed")
        self._fabric = services.fabric
        self._places: dict[tuple[str, str], tuple[Direction | None, bool]] = {}

    def learn(self, device: str, link_status: object) -> None:
        """Take note of a Function's Link Status."""
        if self._status.learn(device, link_status):
            self._places.clear()

    def count(self, event: Ereport) -> Direction | None:
        """Count a corrected error; the direction it is of, None where that is not known or it does not count there."""
        of, counts = self._place(event)
        if of is None or event.first_look or not counts:
            return None
        line = self._line(of)
        before = line.tally.version
        closed = line.tally.add(event, self._services.now_ns() / 1e9)
        if _is_example(line, event) or closed:
            self._store.put(line.kept, _encode(_Kept(line.tally.past, line.seen)))
        if line.tally.version != before:
            self._store.put(line.now, _encode(line.tally.now))
        return of

    def _place(self, event: Ereport) -> tuple[Direction | None, bool]:
        # The direction that *event* is of, and whether such errors count there.
        fabric, key = self._services.fabric, (event.device, event.class_)
        if fabric is not self._fabric or len(self._places) >= _PLACES:
            self._fabric = fabric
            self._places.clear()
        found = self._places.get(key)
        if found is None:
            of = direction(self._rules, fabric, event)
            counts = of is not None and (event.class_ in self._rules.flit.classes) == is_flit(self.link_status(of.lower))
            found = self._places[key] = of, counts
        return found

    def seen(self, of: Direction) -> list[Ereport]:
        """A few of the ereports of *of*."""
        return self._line(of).seen

    def tally(self, of: Direction) -> Tally:
        """What was counted of *of*."""
        return self._line(of).tally

    def _line(self, of: Direction) -> _Line:
        known = self._lines.get(of)
        if known is None:
            kept, now = self._store.get(f"link:{of}"), self._store.get(f"link-now:{of}")
            before = _KEPT.decode(kept) if kept else _Kept()
            known = self._lines[of] = _Line(of, Tally(before.past, _NOW.decode(now) if now else None), before.seen)
        return known

    def forget(self, lower: str) -> None:
        """Begin anew with the link above *lower*: it was mended."""
        for of in (Direction(lower, "down"), Direction(lower, "up")):
            if self._store.get(f"link-now:{of}"):
                self._lines[of] = _Line(of, Tally(), [])
                self._store.put(f"link:{of}", b"")
                self._store.put(f"link-now:{of}", b"")

    def link_status(self, lower: str) -> int | None:
        """Link Status of the link above *lower*, as either end told it last."""
        found = self._status.get(lower)
        function = find(self._services.fabric, lower) if found is None else None
        port = self._services.fabric.parent(function) if function is not None else None
        return self._status.get(str(port.bdf)) if port is not None else found

    def judge(self, of: Direction) -> Marginal | None:
        """What is wrong with *of*; None if nothing is."""
        line, status = self._line(of), self.link_status(of.lower)
        if line.sound == (line.tally.version, status):
            return None
        found = self._judged(of, line.tally, status)
        if found is None:
            line.sound = line.tally.version, status
        return found

    def _judged(self, of: Direction, tally: Tally, status: int | None) -> Marginal | None:
        limit, now_s = allowed(self._rules, status), self._services.now_ns() / 1e9
        concentrated = tally.lanes((status or 0) >> 4 & 0x3F)
        worse = marginal(self._rules, tally, limit=limit, now_s=now_s, look_s=LOOK_S)
        if worse is None and concentrated == "lanes":
            limit /= (status or 0) >> 4 & 0x3F
            worse = marginal_lane(self._rules, tally, limit=limit, now_s=now_s, look_s=SLOW_LOOK_S)
        if worse is None:
            return None
        rate, window_s = worse
        looks, exact = tally.within(window_s, now_s)
        other = sum(self.tally(of.other).within(window_s, now_s))
        when = concentrated or ("both" if other >= 3 and other * 4 >= looks + exact else "")
        return Marginal(of, rate, window_s, limit, when, dict(tally.now.lanes), tally.now.retimers, looks, exact, other, status)

    def rows(self, when: str) -> Sequence[LinkSuspect]:
        """The suspect rows that hold."""
        return [row for row in self._rules.suspects if row.when == when] or [row for row in self._rules.suspects if not row.when]

    def ends(self, of: Direction) -> dict[str, Function]:
        """`link`, `transmitter` and `receiver` of *of*; empty where an end is not there any more."""
        fabric = self._services.fabric
        lower = find(fabric, of.lower)
        port = fabric.parent(lower) if lower is not None else None
        if lower is None or port is None:
            return {}
        sender, receiver = (port, lower) if of.way == "down" else (lower, port)
        return {"link": lower, "transmitter": sender, "receiver": receiver}

    def troubled(self, fabric: Fabric, device: str) -> bool:
        """True if the link above *device* had corrected errors lately, more than one stray one."""
        if find(fabric, device) is None:
            return False
        now_s = self._services.now_ns() / 1e9
        return sum(sum(self.tally(Direction(device, way)).within(RECENT_S, now_s)) for way in ("up", "down")) > 1


def _is_example(line: _Line, event: Ereport) -> bool:
    key = event.class_, event.device
    if len(line.seen) >= KEPT or line.alike[key] >= ALIKE:
        return False
    line.alike[key] += 1
    line.seen.append(slim(event))
    return True
