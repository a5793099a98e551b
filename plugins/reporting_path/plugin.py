"""The reporting path going deaf: SERR# forwarding of a bridge, or the interrupt enables of a Root Port, switched off while watched.

A path that was deaf from the start is coverage's business (`pcifma coverage`): most machines have one, and nothing happened. That
one goes deaf is an event: a driver, firmware or a kernel update did it, and errors below are told to nobody from then on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pcifma.plugin import CAPABILITIES, DevType, Evidence, Fabric, Finding, Host, Location, Snapshot, Target, Watch

HEADER, AER = CAPABILITIES[""], CAPABILITIES["ECAP_AER"]
_BRIDGE_CONTROL = HEADER.location(HEADER["bridge_control"])
_ROOT_COMMAND = AER.location(AER["root_error_command"])
_SERR = 1 << 1  # SERR# Enable (PCIe Base Spec 7.5.1.3.13): without it a bridge forwards no error message
_ENABLES = {0: "correctable", 1: "non-fatal", 2: "fatal"}  # Root Error Command (7.8.4.9)
_ROOTS = frozenset({DevType.ROOT_PORT, DevType.RCEC})
CLASS = "ereport.io.pciex.deaf"


def watches(fabric: Fabric, host: Host) -> Iterable[Watch]:
    """Bridge Control of each bridge, Root Error Command of each Root Port and Event Collector."""
    for function in fabric:
        target = Target.function(function.bdf)
        if function.bus_range is not None:
            yield Watch(target, _BRIDGE_CONTROL, _SERR, when="change")
        if function.dev_type in _ROOTS and function.offset_of(AER.name) is not None:
            yield Watch(target, _ROOT_COMMAND, sum(1 << bit for bit in _ENABLES), when="change")


def normalise(now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
    """A finding for each enable that was on and is off."""
    if before is None:
        return
    for bit in _cleared(now, before, _BRIDGE_CONTROL, _SERR):
        yield _found(now, _BRIDGE_CONTROL, bit, "SERR# forwarding was switched off: no error message from below gets past this bridge")
    for bit in _cleared(now, before, _ROOT_COMMAND, sum(1 << bit for bit in _ENABLES)):
        yield _found(now, _ROOT_COMMAND, bit, f"the interrupt for {_ENABLES[bit]} errors was switched off: nobody below this port is heard")


def _cleared(now: Snapshot, before: Snapshot, location: Location, mask: int) -> Iterator[int]:
    word, was = now.word(location), before.word(location)
    if word is not None and was is not None:
        yield from (bit for bit in range(16) if was & ~word & mask & 1 << bit)


def _found(now: Snapshot, location: Location, bit: int, why: str) -> Finding:
    return Finding(CLASS, Evidence(now.target, location, bit), "nonfatal", {"name": "Reporting Path Switched Off", "why": why})
