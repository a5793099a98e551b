"""Integrity and Data Encryption: the partner's word that an integrity check failed, of every stream (PCIe Base Spec 7.9.26)."""

from __future__ import annotations

from collections.abc import Iterable

from pcifma.plugin import CAPABILITIES, Fabric, Finding, Host, Location, Read, Snapshot, Target, Watch, error_mask, findings

IDE = CAPABILITIES["ECAP30"]
CAPABILITY = IDE["ide_capability"]
STATUS = IDE["link_ide_stream_0_status"]  # every stream's status has these fields
_CAPABILITY = IDE.location(CAPABILITY)
_READS = (Read(_CAPABILITY),)


def watches(fabric: Fabric, host: Host) -> Iterable[Watch]:
    """The status of each Link and Selective stream."""
    for function in fabric:
        for found in function.all(IDE.name)[:1]:
            for offset in found.form.blocks:
                if found.offset + offset + STATUS.width <= function.size:
                    location = Location(IDE.name, offset, STATUS.width)
                    yield Watch(Target.function(function.bdf), location, error_mask(STATUS), reads=_READS)


def normalise(now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
    """A finding for each stream that was told of a failed check."""
    capability = now.word(_CAPABILITY) or 0
    streams = CAPABILITY.get("number_of_tcs_supported_for_link_ide", capability) + 1
    links = streams if CAPABILITY.get("link_ide_stream_supported", capability) else 0
    places = sorted(at for target, at in now.words if target == now.target and at.capability == IDE.name and at != _CAPABILITY)
    for index, location in enumerate(places):
        stream = f"Link {index}" if index < links else f"Selective {index - links}"
        yield from findings(now, location, STATUS, {"stream": stream})
