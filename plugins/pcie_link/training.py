"""How fast and how wide a link runs, against what both its ends can do, asked at its lower end (PCIe Base Spec 6.11, 7.5.3.6 to 7.5.3.8).

Slow is no fault by itself. What a look, or a capture, can tell:

    Target Link Speed of the port above is lower        asked for, nothing is said
    the device is not in D0, or the link is training    no time to judge
    Link Autonomous Bandwidth Status, and not Link      hardware says that it did this on purpose, nothing is said
      Bandwidth Management Status, at the port above
    hardware may not do it on purpose (Hardware         a fault: only an unreliable link is slowed then
      Autonomous Speed Disable at both ends)
    no rate above the present one was ever equalized    a fault: the link never got there
    a display or compute device, which clocks down      cannot be told from here: said once, as information
      when idle
    anything else                                       below what both ends can do

Where the port above cannot be seen (a capture of some Functions), what it can do is known only from the rates at which the link was
equalized since its last reset: those it has had. In a guest the port above is a hypervisor's make, and nothing is compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property

from pcifma.plugin import (
    CAPABILITIES,
    Evidence,
    Fabric,
    Finding,
    Function,
    Host,
    Location,
    PayloadValue,
    Read,
    Severity,
    Snapshot,
    Target,
    Watch,
    in_guest,
)

EXP, PM = CAPABILITIES["CAP_EXP"], CAPABILITIES["CAP_PM"]
CAPABILITY, CONTROL, STATUS = EXP["link_capabilities"], EXP["link_control"], EXP["link_status"]
CONTROL_2, STATUS_2 = EXP["link_control_2"], EXP["link_status_2"]
SPEED, WIDTH = next(f for f in STATUS.fields if f.key == "current_link_speed"), next(f for f in STATUS.fields if f.lo == 4)
SPEEDS = SPEED.names
WIDTHS = frozenset({1, 2, 4, 8, 12, 16, 32})
LINK_TYPES = frozenset({0x0, 0x1, 0x5, 0x7})  # what stands at the lower end of a link
# Classes that change the speed of their link as their load changes: display controllers, processing accelerators.
CLOCKING = frozenset({0x03, 0x12})


def _at(key: str) -> Location:
    return EXP.location(EXP[key])


_CAPABILITY, _CONTROL, _STATUS = _at("link_capabilities"), _at("link_control"), _at("link_status")
_CAPABILITY_2, _CONTROL_2, _STATUS_2 = _at("link_capabilities_2"), _at("link_control_2"), _at("link_status_2")
_POWER = PM.location(PM["power_management_control_status"])
# Where the rates from 8 GT/s on say that they were equalized: register and bit.
_EQUALIZED = {
    3: (_STATUS_2, 1),
    4: (CAPABILITIES["ECAP_16GT"].location(CAPABILITIES["ECAP_16GT"]["16_0_gt_s_status"]), 0),
    5: (CAPABILITIES["ECAP2a"].location(CAPABILITIES["ECAP2a"]["32_0_gt_s_status"]), 0),
    6: (CAPABILITIES["ECAP31"].location(CAPABILITIES["ECAP31"]["64_0_gt_s_status"]), 0),
}
_V1 = (_CAPABILITY, _CONTROL, _STATUS)
_V2 = (*_V1, _CAPABILITY_2, _CONTROL_2, _STATUS_2, *(location for location, _ in _EQUALIZED.values() if location is not _STATUS_2))
_CHANGE = SPEED.mask | WIDTH.mask
_AUTONOMOUS_SPEED_DISABLE = 1 << 5
_LBMS, _LABS = 1 << 14, 1 << 15
_OWN = {version: tuple(map(Read, (*words, _POWER))) for version, words in ((1, _V1), (2, _V2))}
# The class of what clocks its link stands among the facts: it may lie behind a switch, and sleep.
_CLASS = r"/sys/bus/pci/devices/[^/]+/class"


def watches(fabric: Fabric, host: Host) -> Iterator[Watch]:
    """Link Status at the lower end of each link, with the registers of both ends."""
    if in_guest(fabric, host):
        return
    for function in _lower_ends(fabric):
        port = fabric.link_partner(function)
        reads = _OWN[_version(function)]
        if port is not None:
            reads += tuple(Read(location, Target.function(port.bdf)) for location in _words(port))
        clocking = _clocking(fabric, function)
        facts = () if clocking is None else (f"/sys/bus/pci/devices/{clocking.bdf}/class",)
        yield Watch(Target.function(function.bdf), _STATUS, _CHANGE, when="change", reads=reads, facts=facts)


def _lower_ends(fabric: Fabric) -> Iterable[Function]:
    # All Functions of a device show the same link, but only the first says all of it.
    first: dict[tuple[int, int], Function] = {}
    for function in fabric:
        if function.dev_type in LINK_TYPES and function.physfn is None:
            first.setdefault((function.bdf.segment, function.bdf.bus), function)
    return first.values()


def _version(function: Function) -> int:
    return min(2, max(1, function.all("CAP_EXP")[0].version))


def _words(port: Function) -> tuple[Location, ...]:
    return _V1 if _version(port) == 1 else _V2


def _clocking(fabric: Fabric, function: Function) -> Function | None:
    # Such a device, or one behind the switch on its card.
    seen, left = set(), [function]
    while left:
        one = left.pop()
        if one.class_code >> 16 in CLOCKING:
            return one
        if one.bdf not in seen:
            seen.add(one.bdf)
            left += fabric.children(one)
    return None


def normalise(now: Snapshot, before: Snapshot | None) -> Iterator[Finding]:
    """A finding for a speed, and for a width, below what both ends can do."""
    ends = {target for target, location in now.words if location == _CAPABILITY}
    if now.word(_STATUS) is None or now.word(_CAPABILITY) is None:
        return
    link = _Link(now, next(iter(ends - {now.target}), None))
    if link.judgeable:
        yield from link.slow(before)
        yield from link.narrow(before)


class _Link:
    # The words of both ends; *port* is None where the upper end cannot be seen.

    def __init__(self, now: Snapshot, port: Target | None) -> None:
        self.now, self.port = now, port

    def own(self, location: Location) -> int:
        return self.now.word(location) or 0

    def above(self, location: Location) -> int:
        return (self.now.word(location, self.port) or 0) if self.port is not None else 0

    @cached_property
    def speed(self) -> int:
        return SPEED.get(self.own(_STATUS))

    @cached_property
    def width(self) -> int:
        return WIDTH.get(self.own(_STATUS))

    @cached_property
    def judgeable(self) -> bool:
        asleep = PM["power_management_control_status"].get("powerstate", self.own(_POWER)) != 0
        training = bool(STATUS.get("link_training", self.above(_STATUS)))
        reports = CAPABILITY.get("data_link_layer_link_active_reporting_capable", self.above(_CAPABILITY))
        down = bool(reports) and not STATUS.get("data_link_layer_link_active", self.above(_STATUS))
        nonsense = self.speed not in SPEEDS or self.width not in WIDTHS
        return not (asleep or training or down or nonsense or self._differs())

    def _differs(self) -> bool:
        # Both ends show one link; where they do not, the bus numbers lie about who is below whom, or it changed between the reads.
        mask = _CHANGE
        return self.port is not None and bool((self.above(_STATUS) ^ self.own(_STATUS)) & mask)

    @cached_property
    def clocks(self) -> bool:
        return any(re.fullmatch(_CLASS, path) for path in self.now.facts)

    @cached_property
    def autonomous(self) -> bool:
        return self.above(_STATUS) & (_LBMS | _LABS) == _LABS

    def equalized(self, speed: int) -> bool:
        # Whether the link was equalized at *speed* since its last reset, as far as either end says.
        location, bit = _EQUALIZED[speed]
        return bool((self.own(location) | self.above(location)) >> bit & 1)

    @cached_property
    def able(self) -> int:
        # The highest speed that both ends can do, and the port above is told to.
        own = CAPABILITY.get("max_link_speed", self.own(_CAPABILITY))
        if self.port is None:
            return max((speed for speed in _EQUALIZED if speed <= own and self.equalized(speed)), default=0)
        able = min(own, CAPABILITY.get("max_link_speed", self.above(_CAPABILITY)))
        target = CONTROL_2.get("target_link_speed", self.above(_CONTROL_2))
        return min(able, target) if target in SPEEDS else able

    @cached_property
    def proof(self) -> str:
        # Why a slow link is a fault and no choice; empty where it may be one.
        if self.port is None:
            return ""
        if self.own(_CONTROL_2) & self.above(_CONTROL_2) & _AUTONOMOUS_SPEED_DISABLE:
            return "hardware may not lower the speed on purpose (Hardware Autonomous Speed Disable at both ends)"
        faster = [speed for speed in _EQUALIZED if self.speed < speed <= self.able]
        if faster and self.now.word(_STATUS_2, self.port) is not None and not any(map(self.equalized, faster)):
            return f"never equalized at {SPEEDS[faster[0]]} or above since the link's last reset"
        return ""

    def slow(self, before: Snapshot | None) -> Iterator[Finding]:
        if not self.speed < self.able or self.autonomous:
            return
        doubt = "" if self.proof else self._doubt()
        payload: dict[str, PayloadValue] = {
            "name": f"Link Speed {SPEEDS[self.speed]}, both ends can do {SPEEDS[self.able]}",
            "speed": SPEEDS[self.speed],
            "able": SPEEDS[self.able],
            "why": self.proof or doubt or "nothing that can be seen asked for less",
        }
        yield from self._found("ereport.io.pciex.pl.speed", SPEED.lo, payload, before, doubt=bool(doubt))

    def narrow(self, before: Snapshot | None) -> Iterator[Finding]:
        key = "maximum_link_width"
        able = min(CAPABILITY.get(key, self.own(_CAPABILITY)), CAPABILITY.get(key, self.above(_CAPABILITY)))
        if not self.width < able or self.autonomous:
            return
        flit = bool(STATUS_2.get("flit_mode_status", self.own(_STATUS_2)))
        doubt = "L0p may have put lanes to rest" if flit else self._doubt() if self.clocks else ""
        payload: dict[str, PayloadValue] = {
            "name": f"Link Width x{self.width}, both ends can do x{able}",
            "width": self.width,
            "able": able,
            "why": doubt or "both ends have more lanes: lanes were lost, or are not wired",
        }
        yield from self._found("ereport.io.pciex.pl.width", WIDTH.lo, payload, before, doubt=bool(doubt))

    def _doubt(self) -> str:
        if self.port is None:
            return "it was that fast since its last reset; the port above cannot be seen: idle and unreliable look the same from here"
        return "a device of this kind may lower its link when idle: look again under load" if self.clocks else ""

    def _found(self, class_: str, bit: int, payload: dict[str, PayloadValue], before: Snapshot | None, *, doubt: bool) -> Iterator[Finding]:
        # What cannot be told is said on the first look and not at each change: such links change all day.
        if doubt and before is not None:
            return
        severity: Severity = "info" if doubt else "correctable"
        payload["port"] = None if self.port is None else str(self.port)
        yield Finding(class_, Evidence(self.now.target, _STATUS, bit), severity, payload)
