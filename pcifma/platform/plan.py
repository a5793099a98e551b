"""What pcifma does about each Function: listen, poll, clear; nothing at all to what sleeps."""

from __future__ import annotations

from pcifma.fabric.function import Function
from pcifma.platform.coverage import Action, Heard, Owner, Sees


def plan(function: Function, bridge: Owner, heard: Heard, *, given: bool, polled: bool, may_clear: bool) -> list[Action]:
    """Listen where Linux is told, by its own interrupt or by firmware (*bridge* owns AER at the host bridge). Poll wherever a
    severity is not surely heard, some errors are masked one by one (*polled*), or a guest may mask them (*given*). Clear only
    where nobody owns the registers and the user allowed it (*may_clear*). Nothing is done to what sleeps.
    """
    if function.unread == "asleep":
        return []
    verdicts = (heard.correctable, heard.nonfatal, heard.fatal)
    found: list[Action] = []
    if bridge in ("native", "firmware") and any(verdicts):
        found.append("listen")
    if polled or given or not all(verdicts):
        found.append("poll")
    if bridge == "none" and not given and may_clear:
        found.append("clear")
    return found


def sees(bridge: Owner, heard: Heard, actions: list[Action]) -> Sees:
    """`each` where somebody clears a latched bit: who hears it, or pcifma; else a bit speaks once (`first-only`)."""
    clears = "clear" in actions or (bridge in ("native", "firmware") and all((heard.correctable, heard.nonfatal, heard.fatal)))
    return "each" if clears else "first-only"
