"""PCI-X: split transactions that went wrong, at a Function or at either side of a bridge (PCI-X 2.0, chapters 7 and 8)."""

from __future__ import annotations

from collections.abc import Iterable

from pcifma.plugin import CAPABILITIES, Fabric, Finding, Host, Read, Snapshot, Target, Watch, error_mask, findings

PCIX = CAPABILITIES["CAP_PCIX"]
STATUS, SECONDARY, BRIDGE = PCIX["pci_x_status"], PCIX["pci_x_secondary_status"], PCIX["pci_x_bridge_status"]
BRIDGE_LAYOUT = 1
UNKNOWN = "ereport.io.pci.unknown"

# Command of a Function and Secondary Status of a bridge share their place; so do the two Status registers (chapter 8).
_COMMAND, _SECONDARY = PCIX.location(PCIX["pci_x_command"]), PCIX.location(SECONDARY)
_STATUS, _TYPE = PCIX.location(STATUS), CAPABILITIES[""].location(CAPABILITIES[""]["header_type"])
_READS = (Read(_TYPE), Read(_COMMAND))


def watches(fabric: Fabric, host: Host) -> Iterable[Watch]:
    """The status registers of each Function or bridge that has PCI-X."""
    for function in fabric:
        if function.offset_of(PCIX.name) is None:
            continue
        target = Target.function(function.bdf)
        if function.header_type == BRIDGE_LAYOUT:
            yield Watch(target, _SECONDARY, error_mask(SECONDARY), reads=_READS)
            yield Watch(target, _STATUS, error_mask(BRIDGE))
        else:
            yield Watch(target, _STATUS, error_mask(STATUS), tier="slow" if function.dev_type is not None else "fast", reads=_READS)


def normalise(now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
    """A finding for each error bit."""
    status, lower = now.word(_STATUS), now.word(_SECONDARY)
    if (now.word(_TYPE) or 0) & 0x7F == BRIDGE_LAYOUT:
        payload = {"pcix-sec-status": lower, "pcix-bdg-stat": status}
        yield from findings(now, _SECONDARY, SECONDARY, payload, unknown=UNKNOWN)
        yield from findings(now, _STATUS, BRIDGE, payload, unknown=UNKNOWN)
    else:
        yield from findings(now, _STATUS, STATUS, {"pcix-command": lower, "pcix-status": status}, unknown=UNKNOWN)
