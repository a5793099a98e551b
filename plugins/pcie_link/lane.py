"""Lanes and retimers: Lane Error Status, Data Parity Mismatch of each side, requests to equalize again (PCIe Base Spec 7.7.3 to 7.7.7).

Training sets the bits of all active lanes at once on many healthy machines. A bit alone is that lane's.
"""

from __future__ import annotations

from collections.abc import Iterator

from pcifma.plugin import (
    CAPABILITIES,
    Capability,
    Finding,
    Function,
    Location,
    PayloadValue,
    Read,
    Register,
    Snapshot,
    Target,
    Watch,
    error_mask,
    findings,
)

EXP = CAPABILITIES["CAP_EXP"]
LINK_STATUS, LINK_STATUS_2 = EXP["link_status"], EXP["link_status_2"]
_LINK_STATUS, _LINK_STATUS_2 = EXP.location(LINK_STATUS), EXP.location(LINK_STATUS_2)
_READS = (Read(_LINK_STATUS), Read(_LINK_STATUS_2))

# Capability, register, and how many retimers stand between this end and the one that saw the error.
BY_LANE: tuple[tuple[Capability, Register, int], ...] = (
    (CAPABILITIES["ECAP_SECPCI"], CAPABILITIES["ECAP_SECPCI"]["lane_error_status"], 0),
    (CAPABILITIES["ECAP_16GT"], CAPABILITIES["ECAP_16GT"]["16_0_gt_s_local_data_parity_mismatch_status"], 0),
    (CAPABILITIES["ECAP_16GT"], CAPABILITIES["ECAP_16GT"]["16_0_gt_s_first_retimer_data_parity_mismatch_status"], 1),
    (CAPABILITIES["ECAP_16GT"], CAPABILITIES["ECAP_16GT"]["16_0_gt_s_second_retimer_data_parity_mismatch_status"], 2),
)
STATUS: tuple[tuple[Capability, Register], ...] = (
    (CAPABILITIES["ECAP_16GT"], CAPABILITIES["ECAP_16GT"]["16_0_gt_s_status"]),
    (CAPABILITIES["ECAP2a"], CAPABILITIES["ECAP2a"]["32_0_gt_s_status"]),
    (CAPABILITIES["ECAP31"], CAPABILITIES["ECAP31"]["64_0_gt_s_status"]),
)
_LANES = tuple((capability.location(register), register, retimers) for capability, register, retimers in BY_LANE)
_STATUS = tuple((capability.location(register), register) for capability, register in STATUS)
_RETIMER_BITS = {1: 1 << 6, 2: 1 << 7}  # Link Status 2: Retimer, Two Retimers Presence Detected (7.5.3.20)


def watches(function: Function) -> Iterator[Watch]:
    """Whatever of these registers *function* has."""
    target, names = Target.function(function.bdf), {c.name for c in function.capabilities}
    for location, register, _ in _LANES:
        if location.capability in names:
            yield Watch(target, location, error_mask(register), reads=_READS)
    for location, register in _STATUS:
        if location.capability in names:
            yield Watch(target, location, error_mask(register))
    if any(capability.name in names for capability, *_ in BY_LANE):
        yield Watch(target, _LINK_STATUS_2, error_mask(LINK_STATUS_2))


def normalise(now: Snapshot) -> Iterator[Finding]:
    """A finding for each lane and each request."""
    for location, register, retimers in _LANES:
        if now.word(location):
            yield from _by_lane(now, location, register, retimers)
    for location, register in (*_STATUS, (_LINK_STATUS_2, LINK_STATUS_2)):
        yield from findings(now, location, register)


def _by_lane(now: Snapshot, location: Location, register: Register, retimers: int) -> Iterator[Finding]:
    word, status = now.word(location) or 0, now.word(_LINK_STATUS)
    width = 0 if status is None else LINK_STATUS.get("negotiated_link_width", status)
    everywhere = bool(width) and word == (1 << width) - 1
    lanes = [lane for lane in range(32) if word >> lane & 1]
    absent = bool(retimers) and not (now.word(_LINK_STATUS_2) or 0) & _RETIMER_BITS.get(retimers, 0)
    for found in findings(now, location, register):
        payload: dict[str, PayloadValue] = {"lane": found.evidence.bit, "lanes": list(lanes), "width": width or None}
        if retimers:
            payload["retimer-detected"] = not absent
        # Without a retimer nobody checks on its behalf: some devices show their own mismatch there too.
        severity = "info" if absent else found.severity
        yield found._replace(severity=severity, residue=found.residue and everywhere, payload={**found.payload, **payload})
