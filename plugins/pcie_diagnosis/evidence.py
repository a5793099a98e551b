"""Evidence: one ereport, as far as diagnosis needs it, and what is known of it beyond its class."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pcifma.plugin import Bdf, Ereport, Fabric, Function

from .address import find

LINK_ERRORS = "ereport.io.pciex.pl.errors"
"""Not an ereport: corrected errors of a link were counted shortly before. A symptom may ask for it."""

SURPRISE_DOWN = "ereport.io.pciex.dl.sd"
_PRESENT = 1 << 6  # Slot Status, Presence Detect State (7.5.3.11)
ACS_VIOLATION = "ereport.io.pciex.tl.acsv"
# What is logged of these is a request, never a completion.
_OF_REQUESTS = frozenset(f"ereport.io.pciex.tl.{leaf}" for leaf in ("cto", "ur", "ca"))
_PARTS = {f"tlp-{part}": part for part in ("requester", "completer", "target")}
# Max_Payload_Size in bytes is 128 << Device Control 7:5 (PCIe Base Spec 7.5.3.4).
_MPS_UNIT = 128
_OFF = ("MSI off", "Bus Master off", "MSI-X masked", "Root Error Command")
# Why a port contains what is below it (7.9.14.5), in the words of its ereport.
_REASONS = {"unmasked": "at-port", "ERR_": "by-message", "RP PIO": "rp-pio", "software": "by-software"}


class Seen(msgspec.Struct, frozen=True):
    """One ereport. *named*: Functions that its Header Log or source names, by part. *tags*: see rule.TAGS.

    *context*: it may speak for a fault, and needs none to explain it.
    """

    uuid: str
    class_: str
    device: str
    severity: str
    first_look: bool = False
    guest: bool = False
    named: Mapping[str, str] = {}
    tags: frozenset[str] = frozenset()
    context: bool = False

    @property
    def key(self) -> tuple[object, ...]:
        """What makes two of them say the same."""
        return self.class_, self.device, self.severity, self.first_look, self.guest, tuple(sorted(self.named.items())), self.tags


def seen(event: Ereport, fabric: Fabric, device_control: int | None = None, slot_status: int | None = None) -> Seen:
    """*event* as evidence on *fabric*; *device_control* and *slot_status*: those of the Function that reports, as it told them last."""
    named = _named(event)
    tags = frozenset(_tags(event, named, fabric, device_control))
    if event.class_ == SURPRISE_DOWN and slot_status is not None and not slot_status & _PRESENT:
        tags |= {"empty"}
    return Seen(event.uuid, event.class_, event.device, event.severity, event.first_look, event.trust == "guest", named, tags)


def _named(event: Ereport) -> dict[str, str]:
    payload = event.payload
    named = {part: str(payload[key]) for key, part in _PARTS.items() if key in payload}
    if "completer" in named:
        # Who waits for a completion has not sent it. Of these classes a request is logged: a record of several errors has but one log.
        return {} if event.class_ in _OF_REQUESTS else {"completer": named["completer"]}
    source = payload.get("source-id")
    if payload.get("source-valid") and isinstance(source, int) and "requester" not in named:
        named["source"] = named["requester"] = str(Bdf.from_requester_id(_segment(event), source))
    return named


def _is_below(fabric: Fabric, function: Function | None, port: str) -> bool:
    # A VF stands where its PF stands.
    pf = fabric.get(function.physfn) if function is not None and function.physfn is not None else function
    return pf is not None and any(str(step.bdf) == port for step in fabric.path(pf)[:-1])


def _segment(event: Ereport) -> int:
    try:
        return Bdf.parse(event.device).segment
    except ValueError:
        return 0


def _tags(event: Ereport, named: Mapping[str, str], fabric: Fabric, device_control: int | None) -> list[str]:
    found = []
    if "requester" in named:
        requester = find(fabric, named["requester"])
        # The root complex asks in the name of a device on the root bus, or of none that is there.
        from_host = requester is None or (requester.parent is None and requester.physfn is None)
        found.append("from-host" if from_host else "from-device")
        if event.class_ == ACS_VIOLATION and not _is_below(fabric, requester, event.device):
            found.append("foreign")
    if "completer" in named:
        found.append("completion")
    length = event.payload.get("tlp-length-dw")
    if isinstance(length, int) and device_control is not None and length * 4 > _MPS_UNIT << (device_control >> 5 & 7):
        found.append("oversize")
    if "reason" in event.payload:
        found += [tag for start, tag in _REASONS.items() if str(event.payload["reason"]).startswith(start)]
    if str(event.payload.get("cause", "")).startswith(_OFF):
        found.append("off")
    return found
