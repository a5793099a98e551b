"""Slots: power faults (PCIe Base Spec 7.5.3.11). Presence and link changes are the hot-plug service's business, and no errors."""

from __future__ import annotations

from collections.abc import Iterable

from pcifma.plugin import CAPABILITIES, DevType, Fabric, Finding, Host, Read, Snapshot, Target, Watch, error_mask, findings

EXP = CAPABILITIES["CAP_EXP"]
FLAGS, CAPABILITY, STATUS = EXP["pci_express_capabilities"], EXP["slot_capabilities"], EXP["slot_status"]
SLOT_TYPES = frozenset({DevType.ROOT_PORT, DevType.DOWNSTREAM_PORT})
_CAPABILITY, _CONTROL, _STATUS = EXP.location(CAPABILITY), EXP.location(EXP["slot_control"]), EXP.location(STATUS)
_READS = (Read(_CAPABILITY), Read(_CONTROL), Read(_STATUS))


def watches(fabric: Fabric, host: Host) -> Iterable[Watch]:
    """Slot Status of each port that leads to a slot."""
    for function in fabric:
        if function.dev_type in SLOT_TYPES and FLAGS.get("slot_implemented", function.all(EXP.name)[0].form.head):
            yield Watch(Target.function(function.bdf), _STATUS, error_mask(STATUS), reads=_READS)


def normalise(now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
    """A finding for a power fault."""
    if now.word(_CONTROL) is None:
        return  # the snapshot of a port without a slot: its Slot Status is no status
    slot = CAPABILITY.get("physical_slot_number", now.word(_CAPABILITY) or 0)
    yield from findings(now, _STATUS, STATUS, {"slot-status": now.word(_STATUS), "slot-control": now.word(_CONTROL), "slot": slot or None})
