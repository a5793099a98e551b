"""PCI Status of every Function, Secondary Status and discard timer of every bridge (PCI Local Bus 3.0, 6.2.3; Bridge 1.2, 3.2.5).

Conventional Functions have nothing else and are looked at in the fast tier; with PCI Express, Device Status speaks first.
"""

from __future__ import annotations

from collections.abc import Iterable

from pcifma.plugin import CAPABILITIES, Fabric, Finding, Host, Read, Snapshot, Target, Watch, error_mask, findings

HEADER = CAPABILITIES[""]
COMMAND, STATUS = HEADER["command"], HEADER["status"]
SECONDARY, CONTROL = HEADER["secondary_status"], HEADER["bridge_control"]
CARDBUS = HEADER["cardbus_secondary_status"]
DISCARD_TIMER = next(field for field in CONTROL.fields if field.ereport)
BRIDGE_LAYOUT, CARDBUS_LAYOUT = 1, 2
UNKNOWN = "ereport.io.pci.unknown"

_STATUS, _COMMAND = HEADER.location(STATUS), HEADER.location(COMMAND)
_SECONDARY, _CONTROL, _CARDBUS = HEADER.location(SECONDARY), HEADER.location(CONTROL), HEADER.location(CARDBUS)
_READS = (Read(_COMMAND), Read(_STATUS))
_BRIDGE_READS = (Read(_SECONDARY), Read(_CONTROL))


def watches(fabric: Fabric, host: Host) -> Iterable[Watch]:
    """Status of each Function; of each bridge also Secondary Status and Bridge Control."""
    for function in fabric:
        target = Target.function(function.bdf)
        yield Watch(target, _STATUS, error_mask(STATUS), tier="slow" if function.offset_of("CAP_EXP") else "fast", reads=_READS)
        if function.header_type == BRIDGE_LAYOUT:
            yield Watch(target, _SECONDARY, error_mask(SECONDARY), reads=_BRIDGE_READS)
            yield Watch(target, _CONTROL, DISCARD_TIMER.mask)
        elif function.header_type == CARDBUS_LAYOUT:
            yield Watch(target, _CARDBUS, error_mask(CARDBUS))


def normalise(now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
    """One finding for each error bit that is set. Received Master Abort is what probing leaves behind."""
    command, control = now.word(_COMMAND), now.word(_CONTROL)
    yield from findings(now, _STATUS, STATUS, {"pci-status": now.word(_STATUS), "pci-command": command}, unknown=UNKNOWN)
    secondary = {"pci-sec-status": now.word(_SECONDARY), "pci-bdg-ctrl": control}
    yield from findings(now, _SECONDARY, SECONDARY, secondary, unknown=UNKNOWN)
    yield from findings(now, _CARDBUS, CARDBUS, {"pci-sec-status": now.word(_CARDBUS)}, unknown=UNKNOWN)
    if control is not None and control & DISCARD_TIMER.mask:
        yield from (found for found in findings(now, _CONTROL, CONTROL, secondary) if found.evidence.bit == DISCARD_TIMER.lo)
