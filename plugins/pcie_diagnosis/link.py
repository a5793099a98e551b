"""Links: corrected errors counted for each direction, and the suspects of one that is worse than allowed.

Buffers: `link:<direction>` holds the closed buckets and a few of the ereports, `link-now:<direction>` the open bucket, `speed:<bus>`
Link Status of its Functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from pcifma.plugin import Ereport, Fabric, Function, Services

from .address import find
from .rate import Direction, Now, Past, Tally, allowed, direction, is_flit, marginal, marginal_lane
from .rule import LinkSuspect, Rules
from .store import Notes, Store

LOOK_S = 1.0  # the fast tier's interval
SLOW_LOOK_S = 30.0  # that of lane registers
KEPT, ALIKE = 8, 2  # ereports of one direction, as examples: two of each class and end
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


class Links:
    """All tallies of a machine."""

    def __init__(self, services: Services, store: Store, rules: Rules) -> None:
        """As the buffers have them."""
        self._services, self._store, self._rules = services, store, rules.link
        self._tallies: dict[Direction, Tally] = {}
        self._seen: dict[Direction, list[Ereport]] = {}
        self.status = Notes(store, "speed")

    def count(self, event: Ereport, slim: Ereport) -> Direction | None:
        """Count a corrected error; the direction it is of, None where that is not known or it does not count there."""
        of = direction(self._rules, self._services.fabric, event)
        if of is None or event.first_look or not self._counts(of, event):
            return None
        tally = self.tally(of)
        closed = tally.add(event, self._services.now_ns() / 1e9)
        if self._is_example(of, slim) or closed:
            self._store.put(f"link:{of}", _encode(_Kept(tally.past, self._seen[of])))
        self._store.put(f"link-now:{of}", _encode(tally.now))
        return of

    def _counts(self, of: Direction, event: Ereport) -> bool:
        return (event.class_ in self._rules.flit.classes) == is_flit(self.link_status(of.lower))

    def _is_example(self, of: Direction, slim: Ereport) -> bool:
        seen = self.seen(of)
        same = sum(one.class_ == slim.class_ and one.device == slim.device for one in seen)
        if len(seen) >= KEPT or same >= ALIKE:
            return False
        seen.append(slim)
        return True

    def seen(self, of: Direction) -> list[Ereport]:
        """A few of the ereports of *of*."""
        self.tally(of)
        return self._seen[of]

    def tally(self, of: Direction) -> Tally:
        """What was counted of *of*."""
        known = self._tallies.get(of)
        if known is None:
            kept, now = self._store.get(f"link:{of}"), self._store.get(f"link-now:{of}")
            before = _KEPT.decode(kept) if kept else _Kept()
            known = self._tallies[of] = Tally(before.past, _NOW.decode(now) if now else None)
            self._seen[of] = before.seen
        return known

    def forget(self, lower: str) -> None:
        """Begin anew with the link above *lower*: it was mended."""
        for of in (Direction(lower, "down"), Direction(lower, "up")):
            if self._store.get(f"link-now:{of}"):
                self._tallies[of], self._seen[of] = Tally(), []
                self._store.put(f"link:{of}", b"")
                self._store.put(f"link-now:{of}", b"")

    def link_status(self, lower: str) -> int | None:
        """Link Status of the link above *lower*, as either end told it last."""
        found = self.status.get(lower)
        function = find(self._services.fabric, lower) if found is None else None
        port = self._services.fabric.parent(function) if function is not None else None
        return self.status.get(str(port.bdf)) if port is not None else found

    def judge(self, of: Direction) -> Marginal | None:
        """What is wrong with *of*; None if nothing is."""
        status, now_s = self.link_status(of.lower), self._services.now_ns() / 1e9
        limit, tally = allowed(self._rules, status), self.tally(of)
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
