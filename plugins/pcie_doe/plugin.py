"""Data Object Exchange: mailboxes that stand in error, of which a Function may have several (PCIe Base Spec 7.9.24)."""

from __future__ import annotations

from collections.abc import Iterable

from pcifma.plugin import CAPABILITIES, Fabric, Finding, Host, Snapshot, Target, Watch, error_mask, findings

DOE = CAPABILITIES["ECAP2e"]
STATUS = DOE["doe_status"]


def watches(fabric: Fabric, host: Host) -> Iterable[Watch]:
    """DOE Status of each mailbox."""
    for function in fabric:
        for number in range(len(function.all(DOE.name))):
            yield Watch(Target.function(function.bdf), DOE.location(STATUS, number), error_mask(STATUS))


def normalise(now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
    """A finding for each mailbox in error."""
    for target, location in now.words:
        if target == now.target and location._replace(number=0) == DOE.location(STATUS):
            yield from findings(now, location, STATUS, {"mailbox": location.number})
