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

from pcifma.plugin import DevType, Ereport, Fabric, Function

from .place import find
from .rule import Link

BUCKET_S = 60
GIGATRANSFERS = {1: 2.5e9, 2: 5e9, 3: 8e9, 4: 16e9, 5: 32e9, 6: 64e9, 7: 128e9}
# Nothing known of the link: as fast and wide as any without flits, which convicts last.
FASTEST = 32e9 * 16
_PORTS = frozenset({DevType.ROOT_PORT, DevType.DOWNSTREAM_PORT})
_DEVIATIONS = 2.0


class Direction(msgspec.Struct, frozen=True):
    """One direction of the link above *lower*: `down` carries from the port to it, `up` from it to the port."""

    lower: str
    way: str

    def __str__(self) -> str:
        return f"{self.lower} {self.way}"


class Tally(msgspec.Struct):
    """Errors of one direction by minute: {minute: (errored looks, exact count)}. *last_tick*: the look that was counted last."""

    minutes: dict[int, tuple[int, int]] = {}
    last_tick: int = -1

    def add(self, event: Ereport, now_s: float) -> None:
        """Count *event*; whatever one look saw of this direction is one errored look, an exact count stands beside it."""
        minute = int(now_s // BUCKET_S)
        looks, exact = self.minutes.get(minute, (0, 0))
        again = event.tick == self.last_tick
        counted = event.count if event.count > 1 else 0
        self.minutes[minute] = (looks + (not again and not counted), exact + counted)
        self.last_tick = self.last_tick if counted else event.tick

    def within(self, window_s: float, now_s: float) -> tuple[int, int]:
        """(errored looks, exact count) of the last *window_s* seconds."""
        oldest = (now_s - window_s) // BUCKET_S
        kept = [value for minute, value in self.minutes.items() if minute > oldest]
        return sum(looks for looks, _ in kept), sum(exact for _, exact in kept)

    def trim(self, longest_s: float, now_s: float) -> None:
        """Forget what no window reaches."""
        oldest = (now_s - longest_s) // BUCKET_S
        self.minutes = {minute: value for minute, value in self.minutes.items() if minute > oldest}


def direction(rules: Link, fabric: Fabric, event: Ereport) -> Direction | None:
    """Which direction of which link *event* speaks of; None where its Function has no link, or no partner is known."""
    function = find(fabric, event.device)
    if function is None:
        return None
    receiving = event.class_ in rules.receiver
    if function.dev_type in _PORTS:
        lower = next(iter(fabric.children(function)), None)
        return None if lower is None else Direction(str(lower.bdf), "up" if receiving else "down")
    if fabric.link_partner(function) is None:
        return None
    return Direction(str(_first(fabric, function).bdf), "down" if receiving else "up")


def _first(fabric: Fabric, function: Function) -> Function:
    # All Functions of a device share its link; the first one stands for it.
    port = fabric.parent(function)
    return next(iter(fabric.children(port)), function) if port is not None else function


def bits_per_second(link_status: int | None) -> float:
    """What one direction of a link carries, from Link Status (speed 3:0, width 9:4)."""
    if link_status is None:
        return FASTEST
    speed, width = GIGATRANSFERS.get(link_status & 0xF), link_status >> 4 & 0x3F
    return speed * width if speed and width else FASTEST


def marginal(rules: Link, tally: Tally, *, bits: float, now_s: float, look_s: float) -> tuple[float, float] | None:
    """(errors a second, at least; window in seconds) where a window is worse than allowed, the shortest such; else None."""
    allowed = rules.bit_error_rate * bits * rules.factor
    for window_s in _sorted(rules.windows_s):
        looks, exact = tally.within(window_s, now_s)
        if looks + exact < rules.least:
            continue
        rate = rate_at_least(looks, exact, window_s, look_s)
        if rate > allowed:
            return rate, window_s
    return None


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


def _sorted(windows: Sequence[float]) -> list[float]:
    return sorted(windows)
