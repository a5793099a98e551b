"""Functions that have gone, changed hands or were reset by their guest: what that explains, and the fabric as it was with them.

Order inside a look means nothing, so neither does whether the removal or an error of it was told first: for `within_s` both ways
the part of the fabric that lost a Function is judged as it was before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pcifma.plugin import Ereport, Fabric

from .address import find
from .place import below, home
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
        """The fabric is now *fabric*: a Function that left it is gone, one with another driver has changed hands."""
        before, self._fabric = self._fabric, fabric
        by_part: dict[str, set[str]] = {}
        for function in before:
            now = fabric.get(function.bdf)
            if now is None or now.driver != function.driver:
                by_part.setdefault(home(before, str(function.bdf)), set()).add(str(function.bdf))
        for part, devices in by_part.items():
            self._gone[part] = _Gone(frozenset(devices), before, now_ns)

    def reset(self, device: str, now_ns: int) -> None:
        """*device* does not answer for now: its guest resets it."""
        part = home(self._fabric, device)
        known = self._of(part, now_ns)
        devices = known.devices if known is not None else frozenset()
        self._gone[part] = _Gone(devices | {device}, self._fabric if known is None else known.before, now_ns)

    def fabric(self, now: Fabric, device: str, now_ns: int) -> Fabric:
        """The fabric on which errors of *device* (or of the part of that name) are judged."""
        if not self._gone:
            return now
        gone = self._of(device, now_ns) or self._of(home(now, device), now_ns)
        return now if gone is None else gone.before

    def _of(self, device: str, now_ns: int) -> _Gone | None:
        for part, gone in self._gone.items():
            if (device == part or device in gone.devices) and now_ns - gone.at_ns <= self._rules.within_s * 1e9:
                return gone
        return None

    def unexplained(self, fabric: Fabric, events: Sequence[Ereport], now_ns: int) -> list[Ereport]:
        """*events* less those that a removal explains; all of them where what may have taken the Function away is among them."""
        if not self._gone or any(matches(event.class_, self._rules.cause) or event.severity == "fatal" for event in events):
            return list(events)
        return [event for event in events if not self._explains(fabric, event, now_ns)]

    def _explains(self, fabric: Fabric, event: Ereport, now_ns: int) -> bool:
        function, gone = find(fabric, event.device), self._of(home(fabric, event.device), now_ns)
        if function is None or gone is None:
            return False
        if event.device in gone.devices:
            return True
        named = event.payload.get("tlp-target")
        if named is not None and named not in gone.devices and not self._is_above(fabric, str(named), gone):
            return False
        return matches(event.class_, self._rules.explains) and self._is_above(fabric, event.device, gone)

    def _is_above(self, fabric: Fabric, device: str, gone: _Gone) -> bool:
        function = find(fabric, device)
        return function is not None and any(str(f.bdf) in gone.devices for f in below(fabric, function))
