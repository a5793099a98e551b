"""Page Request Interface: responses that failed, and groups that nobody asked for (PCIe Base Spec 10.5.2)."""

from __future__ import annotations

from collections.abc import Iterable

from pcifma.plugin import CAPABILITIES, Fabric, Finding, Host, Read, Snapshot, Target, Watch, error_mask, findings

PRI = CAPABILITIES["ECAP_PRI"]
STATUS = PRI["page_request_status"]
_CONTROL, _STATUS = PRI.location(PRI["page_request_control"]), PRI.location(STATUS)
_READS = (Read(_CONTROL), Read(_STATUS))


def watches(fabric: Fabric, host: Host) -> Iterable[Watch]:
    """Page Request Status of each Function that has it."""
    for function in fabric:
        if function.offset_of(PRI.name) is not None:
            yield Watch(Target.function(function.bdf), _STATUS, error_mask(STATUS), reads=_READS)


def normalise(now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
    """A finding for each error bit."""
    yield from findings(now, _STATUS, STATUS, {"pri-control": now.word(_CONTROL), "stopped": bool((now.word(_STATUS) or 0) >> 8 & 1)})
