"""What pcifma does about each Function: listen, poll, clear; nothing at all to what sleeps."""

from __future__ import annotations

from pcifma.fabric.function import Function
from pcifma.platform.coverage import Action, Heard, Owner, Sees


def plan(function: Function, owner: Owner, heard: Heard, *, polled: bool = False, may_clear: bool = False) -> list[Action]:
    """Listen where an interrupt gets through to Linux, poll wherever a severity is not surely heard (or *polled*: some errors
    are masked one by one), clear only where nobody owns the registers and the user allowed it (*may_clear*).
    """
    if function.unread == "asleep":
        return []
    verdicts = (heard.correctable, heard.nonfatal, heard.fatal)
    found: list[Action] = []
    if owner == "native" and any(verdicts):
        found.append("listen")
    if polled or not all(verdicts):
        found.append("poll")
    if owner == "none" and may_clear:
        found.append("clear")
    return found


def sees(owner: Owner, heard: Heard, actions: list[Action]) -> Sees:
    """`each` where somebody clears a latched bit: who hears it, or pcifma; else a bit speaks once (`first-only`)."""
    clears = "clear" in actions or (owner in ("native", "firmware") and all((heard.correctable, heard.nonfatal, heard.fatal)))
    return "each" if clears else "first-only"
