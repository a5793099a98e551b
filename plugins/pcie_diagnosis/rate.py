"""Corrected errors of a link, judged as a rate: is one direction worse than the specification allows?

A latch holds one error a look, so a poller counts errored looks: with k of n looks errored, errors come at lambda = -ln(1 - k/n) / dt,
at least that when k = n. A counter's exact number stands beside it. The lower bound of k/n is taken (Wilson, two standard
deviations; it stays below 1 when k = n), so that chance alone convicts a good link less than once in forty windows, and the factor
makes that never. Both ends of a link, several bits and all Functions of a device may speak of one error: a look counts once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from pcifma.plugin import DevType, Ereport, Fabric

from .address import find
from .place import first
from .rule import Link

BUCKET_S = 60
# What is older than this many seconds is kept in buckets of so many minutes: a day of errors is a hundred numbers.
_COARSER = ((1800, 1), (7200, 5), (86400 * 8, 30))
GIGATRANSFERS = {1: 2.5e9, 2: 5e9, 3: 8e9, 4: 16e9, 5: 32e9, 6: 64e9, 7: 128e9}
FLIT_SPEED = 6  # from here on links carry flits only (PCIe Base Spec 4.2.3)
# Nothing known of the link: as fast and wide as any without flits, which convicts last.
FASTEST = 32e9 * 16
_PORTS = frozenset({DevType.ROOT_PORT, DevType.DOWNSTREAM_PORT})
_DEVIATIONS = 2.0
# Lane errors are on a few lanes if no more than two lanes, and no more than a quarter, have four in five of at least this many.
_LANE_LEAST, _SPREAD_LEAST, _FEW, _SHARE = 3, 12, 2, 0.8
# A lane alone is judged after ten minutes of errored looks: a sound one has so many in a row less than once in 10^20.
_LANE_LOOKS = 20


class Direction(msgspec.Struct, frozen=True):
    """One direction of the link above *lower*: `down` carries from the port to it, `up` from it to the port."""

    lower: str
    way: str

    def __str__(self) -> str:
        return f"{self.lower} {self.way}"

    @property
    def other(self) -> Direction:
        """The same link, the other way."""
        return Direction(self.lower, "up" if self.way == "down" else "down")


class Bucket(msgspec.Struct, array_like=True):
    """From *minute* on: errored looks, and errors counted exactly."""

    minute: int
    looks: int
    exact: int


class Past(msgspec.Struct, array_like=True):
    """The closed buckets of one direction, oldest first."""

    buckets: list[Bucket] = []


class Now(msgspec.Struct):
    """What changes with each error: the open bucket, the look that was counted last, lane errors since *lanes_since* (minutes)."""

    bucket: Bucket
    last_tick: int = -1
    lanes: dict[str, int] = {}
    lanes_since: int = 0
    retimers: int = 0


class Tally:
    """Errors of one direction, as they come, within the last day. *version* changes with what a judgement may rest on."""

    def __init__(self, past: Past | None = None, now: Now | None = None) -> None:
        """Empty, or as it was kept."""
        self.past = past or Past()
        self.now = now or Now(Bucket(0, 0, 0))
        self.version = 0
        self._sums: dict[float, tuple[int, int]] = {}

    def add(self, event: Ereport, now_s: float) -> bool:
        """Count *event*; whatever one look saw of this direction is one errored look, an exact count stands beside it.

        True if a bucket was closed, so that *past* has changed.
        """
        closed = self._turn(int(now_s // BUCKET_S))
        lane = event.payload.get("lane")
        if isinstance(lane, int):
            self.version += 1
            if not self.now.lanes:
                self.now.lanes_since = int(now_s // BUCKET_S)
            self.now.lanes[str(lane)] = self.now.lanes.get(str(lane), 0) + 1
            self.now.retimers = max(self.now.retimers, event.class_.endswith(".rt1-pm") + 2 * event.class_.endswith(".rt2-pm"))
        counted = event.count if event.count > 1 or event.sources == ["counter"] else 0
        if counted:
            self.now.bucket.exact += counted
            self.version += 1
        elif event.tick != self.now.last_tick:
            self.now.bucket.looks += 1
            self.now.last_tick = event.tick
            self.version += 1
        return closed

    def _turn(self, minute: int) -> bool:
        now = self.now
        if minute == now.bucket.minute:
            return False
        if now.bucket.looks or now.bucket.exact:
            self.past.buckets = _coarsened([*self.past.buckets, now.bucket], minute)
        now.bucket = Bucket(minute, 0, 0)
        if minute - now.lanes_since > 86400 // BUCKET_S:
            now.lanes, now.lanes_since, now.retimers = {}, minute, 0
        self._sums.clear()
        self.version += 1
        return True

    def within(self, window_s: float, now_s: float) -> tuple[int, int]:
        """(errored looks, exact count) of the last *window_s* seconds."""
        self._turn(int(now_s // BUCKET_S))
        if window_s not in self._sums:
            oldest = (now_s - window_s) // BUCKET_S
            kept = [bucket for bucket in self.past.buckets if bucket.minute > oldest]
            self._sums[window_s] = sum(b.looks for b in kept), sum(b.exact for b in kept)
        looks, exact = self._sums[window_s]
        return looks + self.now.bucket.looks, exact + self.now.bucket.exact

    def lanes(self, width: int) -> str:
        """`lanes` if a few lanes of many have the lane errors, `spread` if most have; empty where that cannot be said."""
        counts = sorted(self.now.lanes.values(), reverse=True)
        total = sum(counts)
        if width <= _FEW * 2 or total < _LANE_LEAST:
            return ""
        if sum(counts[:_FEW]) >= _SHARE * total:
            return "lanes"
        return "spread" if total >= _SPREAD_LEAST and len(counts) > width // 2 else ""


def _coarsened(buckets: Sequence[Bucket], minute: int) -> list[Bucket]:
    found: list[Bucket] = []
    for bucket in buckets:
        age_s = (minute - bucket.minute) * BUCKET_S
        if age_s > 86400 + 1800:
            continue
        step = next(size for upto_s, size in _COARSER if age_s <= upto_s)
        # A coarse bucket stands at its last minute: what is in doubt counts as younger, and never as gone.
        start = bucket.minute - bucket.minute % step + step - 1 if step > 1 else bucket.minute
        if found and found[-1].minute == start:
            found[-1] = Bucket(start, found[-1].looks + bucket.looks, found[-1].exact + bucket.exact)
        else:
            found.append(Bucket(start, bucket.looks, bucket.exact))
    return found


def direction(rules: Link, fabric: Fabric, event: Ereport) -> Direction | None:
    """Which direction of which link *event* speaks of; None where its Function has no link, or no partner is known."""
    function = find(fabric, event.device)
    if function is None:
        return None
    receiving = event.class_ not in rules.transmitter
    if function.dev_type in _PORTS:
        lower = next(iter(fabric.children(function)), None)
        return None if lower is None else Direction(str(lower.bdf), "up" if receiving else "down")
    if fabric.link_partner(function) is None:
        return None
    return Direction(str(first(fabric, function).bdf), "down" if receiving else "up")


def bits_per_second(link_status: int | None) -> float:
    """What one direction of a link carries, from Link Status (speed 3:0, width 9:4)."""
    if link_status is None:
        return FASTEST
    speed, width = GIGATRANSFERS.get(link_status & 0xF), link_status >> 4 & 0x3F
    return speed * width if speed and width else FASTEST


def is_flit(link_status: int | None) -> bool:
    """True for a link that carries flits by its speed."""
    return link_status is not None and link_status & 0xF >= FLIT_SPEED


def allowed(rules: Link, link_status: int | None) -> float:
    """Errors a second beyond which a link is worse than allowed."""
    bits = bits_per_second(link_status)
    if is_flit(link_status):
        return bits / rules.flit.bits * rules.flit.error_rate * rules.factor
    return rules.bit_error_rate * bits * rules.factor


def marginal(rules: Link, tally: Tally, *, limit: float, now_s: float, look_s: float) -> tuple[float, float] | None:
    """(errors a second, at least; window in seconds) where a window is worse than *limit*, the shortest such; else None."""
    for window_s in sorted(rules.windows_s):
        looks, exact = tally.within(window_s, now_s)
        if looks + exact < rules.least:
            continue
        rate = rate_at_least(looks, exact, window_s, look_s)
        if rate > limit:
            return rate, window_s
    return None


def marginal_lane(rules: Link, tally: Tally, *, limit: float, now_s: float, look_s: float) -> tuple[float, float] | None:
    """As marginal, of the worst lane alone, since its first error; *limit* is one lane's."""
    window_s = max(look_s, now_s - tally.now.lanes_since * BUCKET_S)
    looks = max(tally.now.lanes.values(), default=0)
    rate = rate_at_least(looks, 0, window_s, look_s)
    return (rate, window_s) if looks >= max(rules.least, _LANE_LOOKS) and rate > limit else None


def rate_at_least(looks: int, exact: int, window_s: float, look_s: float) -> float:
    """Errors a second, lower bound, from *looks* errored looks and *exact* counted errors in *window_s*, a look each *look_s*."""
    share = _wilson_lower(looks, max(1.0, window_s / look_s))
    counted = max(0.0, exact - _DEVIATIONS * math.sqrt(exact))
    return -math.log1p(-share) / look_s + counted / window_s


def _wilson_lower(k: float, n: float) -> float:
    # E. B. Wilson (1927): the lower end of the score interval of a share; n / (n + z^2) where k = n.
    share, z2 = min(k / n, 1.0), _DEVIATIONS**2
    centre = share + z2 / (2 * n)
    half = _DEVIATIONS * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, (centre - half) / (1 + z2 / n))
