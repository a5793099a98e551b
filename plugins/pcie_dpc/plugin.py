"""Downstream Port Containment (PCIe Base Spec 6.2.11, 7.9.14): a port that took its link down, and why.

Root Ports with RP extensions also log what became of the requests that they sent themselves (RP PIO). Enumeration asks for
Functions that are not there: Cfg UR Cpl that is masked, as it is by default, is what that leaves behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pcifma.plugin import (
    CAPABILITIES,
    Bdf,
    DevType,
    Fabric,
    Finding,
    Function,
    Host,
    Location,
    PayloadValue,
    Read,
    Snapshot,
    Target,
    Watch,
    error_mask,
    findings,
    header_payload,
)

DPC, EXP = CAPABILITIES["ECAP_DPC"], CAPABILITIES["CAP_EXP"]
CAPABILITY, STATUS, PIO = DPC["dpc_capability"], DPC["dpc_status"], DPC["rp_pio_status"]
HEADER_DW, IMPSPEC_DW = 4, 5  # RP PIO Log Size with a whole Header Log, and with the ImpSpec Log behind it (7.9.14.2)
BY_MESSAGE = frozenset({1, 2})  # trigger reasons that have a source (7.9.14.5)
EXTENDED_REASON = 3


def _at(key: str) -> Location:
    return DPC.location(DPC[key])


_CONTROL, _STATUS, _SOURCE = _at("dpc_control"), _at("dpc_status"), _at("dpc_error_source_id")
_PIO, _MASK, _SEVERITY = _at("rp_pio_status"), _at("rp_pio_mask"), _at("rp_pio_severity")
_LOG, _IMPSPEC = tuple(_at(f"rp_pio_header_log_{i}") for i in range(HEADER_DW)), _at("rp_pio_impspec_log")
_LINK_STATUS_2 = EXP.location(EXP["link_status_2"])

_READS = (Read(_at("dpc_capability")), Read(_CONTROL), Read(_STATUS, again=True), Read(_SOURCE))
_PIO_READS = (Read(_PIO, again=True), Read(_MASK), Read(_SEVERITY), Read(_at("rp_pio_syserror")), Read(_at("rp_pio_exception")))
_LOG_READS = (*_PIO_READS, *(Read(location) for location in _LOG), Read(_LINK_STATUS_2))
_IMPSPEC_READS = (*_LOG_READS, Read(_IMPSPEC))


def watches(fabric: Fabric, host: Host) -> Iterable[Watch]:
    """DPC Status of each port that has it, and RP PIO Status where there is one."""
    for function in fabric:
        found = function.all(DPC.name)
        if found:
            target = Target.function(function.bdf)
            yield Watch(target, _STATUS, error_mask(STATUS), reads=_READS)
            if function.dev_type == DevType.ROOT_PORT and CAPABILITY.get("rp_extensions_for_dpc", found[0].form.head):
                yield Watch(target, _PIO, error_mask(PIO), reads=_pio_reads(function, found[0].form.head))


def _pio_reads(function: Function, capability: int) -> tuple[Read, ...]:
    size = CAPABILITY.get("rp_pio_log_size_4", capability) << 4 | CAPABILITY.get("rp_pio_log_size", capability)
    return _PIO_READS if size < HEADER_DW else _LOG_READS if size < IMPSPEC_DW else _IMPSPEC_READS


def normalise(now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
    """A finding for a triggered port, and one for each RP PIO error."""
    status = now.word(_STATUS)
    if status is not None:
        yield from findings(now, _STATUS, STATUS, _trigger(now, status))
    yield from _rp_pio(now, status)


def _trigger(now: Snapshot, status: int) -> dict[str, PayloadValue]:
    reason, source = STATUS.get("dpc_trigger_reason", status), now.word(_SOURCE)
    payload: dict[str, PayloadValue] = {"dpc-status": status, "dpc-control": now.word(_CONTROL), "reason": _reason(reason, status)}
    if reason not in BY_MESSAGE or source is None or {_STATUS, _SOURCE} & now.torn:
        return {**payload, "source-id": 0, "source-valid": False}
    device = Bdf.from_requester_id(now.target.bdf.segment, source)
    return {**payload, "source-id": source, "source-valid": bool(source), "source": str(device)}


def _reason(reason: int, status: int) -> str:
    key, value = "dpc_trigger_reason", reason
    if reason == EXTENDED_REASON:
        key, value = "dpc_trigger_reason_extension", STATUS.get("dpc_trigger_reason_extension", status)
    field = next(field for field in STATUS.fields if field.key == key)
    return field.names.get(value, f"reserved ({value})")


def _rp_pio(now: Snapshot, status: int | None) -> Iterator[Finding]:
    mask, severity = now.word(_MASK) or 0, now.word(_SEVERITY) or 0
    words: dict[str, PayloadValue] = {"rp-pio-status": now.word(_PIO), "rp-pio-mask": mask, "rp-pio-severity": severity}
    pointer = -1 if status is None or {_STATUS, _PIO} & now.torn else STATUS.get("rp_pio_first_error_pointer", status)
    for found in findings(now, _PIO, PIO, words, mask=mask):
        bit = found.evidence.bit
        masked = bool(mask >> bit & 1)
        log = _header(now) if bit == pointer and not masked else {"source-id": 0, "source-valid": False}
        said = found.severity if "name" not in found.payload else "nonfatal" if severity >> bit & 1 else "advisory"
        yield found._replace(severity=said, residue=found.residue and masked, payload={**found.payload, **log})


def _header(now: Snapshot) -> dict[str, PayloadValue]:
    flit = bool((now.word(_LINK_STATUS_2) or 0) >> 10 & 1)
    found = header_payload([now.word(location) for location in _LOG], now.target, flit=flit)
    impspec = now.word(_IMPSPEC)
    return found if impspec is None else {**found, "impspec-log": impspec}
