"""Listening instead of looking: records of the kernel's AER service (ras:aer_event) and of its error recovery (uevents).

The core lays what a record says over the Function's registers, so that pcie_aer names the errors as if it had seen them; this
plugin asks for the streams, and speaks of what is in no register: recoveries, and records that did not reach us.
"""

from __future__ import annotations

from collections.abc import Iterable

from pcifma.plugin import HOST, Evidence, Fabric, Finding, Host, PayloadValue, Record, Severity, Snapshot, Target, Watch

# DEVICE_ONLINE and ERROR_EVENT as drivers/pci/pci-driver.c sends them: outcome, evidence number, severity.
_RECOVERIES: dict[str, tuple[str, int, Severity]] = {
    "SUCCESSFUL_RECOVERY": ("successful", 1, "info"),
    "FAILED_RECOVERY": ("failed", 2, "nonfatal"),
}
_UEVENT = "uevent:ERROR_EVENT"
_STREAMS = frozenset({"aer_event", "uevent"})


def watches(fabric: Fabric, host: Host) -> Iterable[Watch]:
    """Every Function, for records alone: nothing is read for them."""
    yield Watch(HOST, tier="event")
    for function in fabric:
        yield Watch(Target.function(function.bdf), tier="event")


def normalise(now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
    """One finding for each recovery that has ended, and for each gap in a stream."""
    record = now.record
    if record is None or record.stream not in _STREAMS:
        return
    if "lost" in record.fields:
        yield _lost(record, now.target)
    elif record.fields.get("ERROR_EVENT") in _RECOVERIES:
        outcome, number, severity = _RECOVERIES[record.fields["ERROR_EVENT"]]
        online = record.fields.get("DEVICE_ONLINE") == "1"
        driver = record.fields.get("DRIVER", "")
        payload: dict[str, PayloadValue] = {"name": "Error Recovery", "outcome": outcome, "online": online, "driver": driver}
        yield Finding("ereport.io.pciex.recovery", Evidence(now.target, _UEVENT, number), severity, payload)


def _lost(record: Record, target: Target) -> Finding:
    lost = record.fields["lost"]
    payload: dict[str, PayloadValue] = {"stream": record.stream, "records": int(lost) if lost.isdigit() else 1}
    return Finding("ereport.pcifma.lost", Evidence(target, f"stream:{record.stream}", 0), "info", payload)
