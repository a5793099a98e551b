"""How evidence is lost on its way, each way at a level from 0 (not at all) to 1."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from random import Random

from pcifma.sim.fault import Shown

_DELAY_S = 4.0


@dataclass(frozen=True, slots=True)
class Heard:
    """What diagnosis is told: *shown*, seen at look *tick* (a look each second).

    *card*: of an endpoint. *guest*: a guest owns it.
    """

    shown: Shown
    tick: int
    card: bool = False
    guest: bool = False


Way = Callable[[Random, list[Heard], float], list[Heard]]


def _loss(draw: Random, heard: list[Heard], level: float) -> list[Heard]:
    return [one for one in heard if draw.random() >= level]


def _masking(draw: Random, heard: list[Heard], level: float) -> list[Heard]:
    # A register's mask takes one class at one Function away for good.
    pairs = sorted({(one.shown.device, one.shown.leaf) for one in heard})
    masked = {pair for pair in pairs if draw.random() < level}
    return [one for one in heard if (one.shown.device, one.shown.leaf) not in masked]


def _duplication(draw: Random, heard: list[Heard], level: float) -> list[Heard]:
    return sorted([*heard, *(replace(one, tick=one.tick + 1) for one in heard if draw.random() < level)], key=lambda one: one.tick)


def _delay(draw: Random, heard: list[Heard], level: float) -> list[Heard]:
    return sorted((replace(one, tick=one.tick + round(draw.uniform(0, _DELAY_S * level))) for one in heard), key=lambda one: one.tick)


def _latching(draw: Random, heard: list[Heard], level: float) -> list[Heard]:
    # Nobody clears that Function's bits: each is news once.
    fixed = {device for device in sorted({one.shown.device for one in heard}) if draw.random() < level}
    told: set[tuple[str, str]] = set()
    kept = []
    for one in heard:
        pair = (one.shown.device, one.shown.leaf)
        if one.shown.device not in fixed or pair not in told:
            kept.append(one)
        told.add(pair)
    return kept


def _headers(draw: Random, heard: list[Heard], level: float) -> list[Heard]:
    # The Header Log was taken by another error first.
    return [replace(one, shown=replace(one.shown, named={})) if draw.random() < level else one for one in heard]


def _guest(draw: Random, heard: list[Heard], level: float) -> list[Heard]:
    # Guests own endpoints, and clear half of what is latched there before anybody looks.
    owned = {device for device in sorted({one.shown.device for one in heard if one.card}) if draw.random() < level}
    kept = [one for one in heard if one.shown.device not in owned or draw.random() < 0.5]
    return [replace(one, guest=one.shown.device in owned) for one in kept]


WAYS: dict[str, Way] = {
    "loss": _loss,
    "masking": _masking,
    "duplication": _duplication,
    "delay": _delay,
    "latching": _latching,
    "headers": _headers,
    "guest": _guest,
}


def degrade(draw: Random, shown: Iterable[Shown], cards: frozenset[str], way: str | None, level: float) -> list[Heard]:
    """*shown* as looks see it: one bit of one Function is news once a look; then degraded in *way* at *level*.

    *cards*: the endpoints.
    """
    heard: dict[tuple[int, str, str], Heard] = {}
    for one in sorted(shown, key=lambda one: one.at_s):
        tick = int(one.at_s) + 1
        heard.setdefault((tick, one.device, one.leaf), Heard(one, tick, one.device in cards))
    plain = list(heard.values())
    return plain if way is None else WAYS[way](draw, plain, level)
