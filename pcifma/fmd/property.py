"""Typed values as people write them: sizes with a unit of 1024, times with a unit, and what each property type takes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from pcifma.plugin.manifest import PropertyType
from pcifma.plugin.module import PropertyValue

_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]*)")
_SIZES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_TIMES = {"ns": (1, 10**9), "us": (1, 10**6), "ms": (1, 1000), "s": (1, 1), "m": (60, 1), "h": (3600, 1), "d": (86400, 1), "w": (604800, 1)}
_TIME_WORDS = {"sec": "s", "min": "m", "hour": "h", "day": "d"}
_SIZE_FORM = "write a size as 64MiB (k, M, G or T are powers of 1024; a bare number is bytes)"
_TIME_FORM = "write a time with its unit, as 500ms, 10s, 5m, 2h or 30d"
_LONGEST_S = 10 * 365 * 86400.0


def typed(kind: PropertyType, raw: object) -> PropertyValue:
    """*raw*, as YAML or JSON gave it, as a value of *kind*; ValueError says what is wrong and how it is written."""
    return _CONVERT[kind](raw)


def _bool(raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    raise ValueError(f"{raw!r} is no truth value: write true or false")


def _int(raw: object) -> int:
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    raise ValueError(f"{raw!r} is no whole number")


def _number(raw: object) -> float:
    if isinstance(raw, int | float) and not isinstance(raw, bool) and math.isfinite(raw):
        return float(raw)
    raise ValueError(f"{raw!r} is no number")


def size_of(raw: object) -> int:
    """Bytes: a number, or a text as `64MiB`, `64M`, `1.5g`."""
    if isinstance(raw, int) and not isinstance(raw, bool) and raw >= 0:
        return raw
    match = _QUANTITY.fullmatch(raw.strip()) if isinstance(raw, str) else None
    unit = match[2].lower().removesuffix("ib") or "" if match else "?"
    if unit not in _SIZES and unit.endswith("b"):
        unit = unit[:-1]
    if match is None or unit not in _SIZES:
        raise ValueError(f"{raw!r} is no size: {_SIZE_FORM}")
    digits, tens = _exact(match[1])
    return digits * _SIZES[unit] // tens


def time_of(raw: object) -> float:
    """Seconds: a text as `10s`, `500ms`, `2h`; 0 needs no unit."""
    if raw == 0 and not isinstance(raw, bool):
        return 0.0
    match = _QUANTITY.fullmatch(raw.strip()) if isinstance(raw, str) else None
    unit = match[2].lower() if match else "?"
    unit = _TIME_WORDS.get(unit, unit)
    if match is None or unit not in _TIMES:
        raise ValueError(f"{raw!r} is no time: {_TIME_FORM}")
    times, parts = _TIMES[unit]
    digits, tens = _exact(match[1])
    seconds = digits * times / (tens * parts)
    if seconds > _LONGEST_S:
        raise ValueError(f"{raw!r} is more than ten years")
    return seconds


# Decimal digits as a fraction: 1.5 is (15, 10).
def _exact(text: str) -> tuple[int, int]:
    whole, _, part = text.partition(".")
    return int(whole + part), 10 ** len(part)


def _string(raw: object) -> str:
    if isinstance(raw, str):
        return raw
    raise ValueError(f'{raw!r} is no text: put it in quotes, as "{raw}"')


def _list(raw: object) -> list[str]:
    if not isinstance(raw, list):
        raise ValueError(f"{raw!r} is no list: write [one, two]")
    bad = next((item for item in raw if not isinstance(item, str)), None)
    if bad is not None:
        raise ValueError(f"{bad!r} in a list is no text: put it in quotes (YAML reads 0000:04:00.0 without them as a number)")
    return list(raw)


_CONVERT: dict[PropertyType, Callable[[object], PropertyValue]] = {
    "bool": _bool,
    "int": _int,
    "number": _number,
    "size": size_of,
    "time": time_of,
    "string": _string,
    "list": _list,
}
