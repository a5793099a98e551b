"""Functions that have gone: what their absence explains, and the fabric as it was with them.

Order inside a look means nothing, so neither does whether the removal or an error of it was told first: for `within_s` both ways
the part of the fabric that lost a Function is judged as it was before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pcifma.plugin import Ereport, Fabric

from .place import below, find, home
from .rule import Rules, matches


@dataclass(frozen=True, slots=True)
class _Gone:
    """One part of the fabric that lost Functions (*devices*) at *at_ns*; *before* is the fabric with them."""

    devices: frozenset[str]
    before: Fabric
    at_ns: int


class Removals:
    """What has gone lately, by part of the fabric."""

    def __init__(self, rules: Rules, fabric: Fabric) -> None:
        """Nothing has gone from *fabric* yet."""
        self._rules, self._fabric = rules.removal, fabric
        self._gone: dict[str, _Gone] = {}

    def topo(self, fabric: Fabric, now_ns: int) -> None:
        """The fabric is now *fabric*."""
        before, self._fabric = self._fabric, fabric
        by_part: dict[str, set[str]] = {}
        for function in before:
            if function.bdf not in fabric.functions:
                by_part.setdefault(home(before, str(function.bdf)), set()).add(str(function.bdf))
        for part, devices in by_part.items():
            self._gone[part] = _Gone(frozenset(devices), before, now_ns)

    def fabric(self, now: Fabric, device: str, now_ns: int) -> Fabric:
        """The fabric on which errors of *device* (or of the part of that name) are judged."""
        gone = self._of(device, now_ns) or self._of(home(now, device), now_ns)
        return now if gone is None else gone.before

    def _of(self, device: str, now_ns: int) -> _Gone | None:
        for part, gone in self._gone.items():
            if (device == part or device in gone.devices) and now_ns - gone.at_ns <= self._rules.within_s * 1e9:
                return gone
        return None

    def unexplained(self, fabric: Fabric, events: Sequence[Ereport], now_ns: int) -> list[Ereport]:
        """*events* less those that a removal explains; all of them where what may have taken the Function away is among them."""
        if any(matches(event.class_, self._rules.cause) or event.severity == "fatal" for event in events):
            return list(events)
        return [event for event in events if not self._explains(fabric, event, now_ns)]

    def _explains(self, fabric: Fabric, event: Ereport, now_ns: int) -> bool:
        function, gone = find(fabric, event.device), self._of(home(fabric, event.device), now_ns)
        if function is None or gone is None:
            return False
        if event.device in gone.devices:
            return True
        return matches(event.class_, self._rules.explains) and any(str(f.bdf) in gone.devices for f in below(fabric, function))
