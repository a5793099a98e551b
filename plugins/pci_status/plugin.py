"""PCI Status of every Function, Secondary Status and discard timer of every bridge (PCI Local Bus 3.0, 6.2.3; Bridge 1.2, 3.2.5).

Conventional Functions have nothing else and are looked at in the fast tier; with PCI Express, Device Status speaks first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pcifma.plugin import (
    CAPABILITIES,
    Evidence,
    Fabric,
    Finding,
    Host,
    Location,
    Read,
    Register,
    Snapshot,
    Target,
    Watch,
    error_bits,
    error_mask,
)

HEADER = CAPABILITIES[""]
COMMAND, STATUS = HEADER["command"], HEADER["status"]
SECONDARY, CONTROL = HEADER["secondary_status"], HEADER["bridge_control"]
DISCARD_TIMER = next(field for field in CONTROL.fields if field.ereport)
BRIDGE_LAYOUT = 1

_STATUS, _COMMAND = HEADER.location(STATUS), HEADER.location(COMMAND)
_SECONDARY, _CONTROL = HEADER.location(SECONDARY), HEADER.location(CONTROL)
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


def normalise(now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
    """One finding for each error bit that is set. Received Master Abort is what probing leaves behind."""
    command, control = now.word(_COMMAND), now.word(_CONTROL)
    yield from _found(now, STATUS, _STATUS, now.word(_STATUS), {"pci-status": now.word(_STATUS), "pci-command": command})
    secondary = {"pci-sec-status": now.word(_SECONDARY), "pci-bdg-ctrl": control}
    yield from _found(now, SECONDARY, _SECONDARY, now.word(_SECONDARY), secondary)
    if control is not None and control & DISCARD_TIMER.mask:
        yield from _found(now, CONTROL, _CONTROL, control & DISCARD_TIMER.mask, secondary)


def _found(now: Snapshot, register: Register, location: Location, word: int | None, payload: dict[str, int | None]) -> Iterator[Finding]:
    for bit, field in error_bits(register, word or 0):
        if field is None:
            yield Finding("ereport.io.pci.unknown", Evidence(now.target, location, bit), "info", payload)
        else:
            yield Finding(
                f"ereport.{field.ereport}",
                Evidence(now.target, location, bit),
                field.severity or "nonfatal",
                {"name": field.title, **payload},
                residue=field.residue,
            )
