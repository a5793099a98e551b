"""Text that goes to people: hostile bytes made harmless, ages and counts in words."""

from __future__ import annotations

from collections.abc import Sized

_CONTROL = dict.fromkeys((*range(32), *range(127, 160), 8232, 8233, *range(8234, 8239), *range(8294, 8298)), "�")
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def clean(text: str, limit: int = 200) -> str:
    """*text* from a device, a guest or firmware, without control, line-breaking or direction-changing characters, cut at *limit*."""
    return text.translate(_CONTROL)[:limit].strip()


def plural(n: int | Sized, noun: str) -> str:
    """`1 Function`, `3 Functions`."""
    count = n if isinstance(n, int) else len(n)
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def duration(seconds: float) -> str:
    """The largest unit that fits: `41 d`, `18 h`, `3 min`, `0 s`."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "0 s"
