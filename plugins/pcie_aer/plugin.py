"""Device Status and Advanced Error Reporting (PCIe Base Spec 6.2, 7.5.3.5, 7.8.4).

Device Status is the fast tier: its error bits are set whether or not AER masks the error (7.5.3.5), so one 2-byte read tells that
something is new. The AER registers stand behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

from pcifma.plugin import (
    CAPABILITIES,
    DevType,
    Evidence,
    Fabric,
    Field,
    Finding,
    Function,
    Host,
    Location,
    PayloadValue,
    Read,
    Severity,
    Snapshot,
    Target,
    Watch,
    error_bits,
    error_mask,
    header_payload,
)

HEADER, EXP, AER = CAPABILITIES[""], CAPABILITIES["CAP_EXP"], CAPABILITIES["ECAP_AER"]
DEVICE_STATUS = EXP["device_status"]
UNCORRECTABLE, CORRECTABLE = AER["uncorrectable_error_status"], AER["correctable_error_status"]
ROOT_STATUS, SECONDARY = AER["root_error_status"], AER["secondary_uncorrectable_error_status"]
ROOT_TYPES = frozenset({DevType.ROOT_PORT, DevType.RCEC})
SLOT_TYPES = frozenset({DevType.ROOT_PORT, DevType.DOWNSTREAM_PORT})


def _exp(key: str) -> Location:
    return EXP.location(EXP[key])


def _aer(key: str) -> Location:
    return AER.location(AER[key])


_FLAGS = _exp("pci_express_capabilities")
_DEVCAP, _DEVCTL, _DEVSTA = _exp("device_capabilities"), _exp("device_control"), _exp("device_status")
_UE, _UE_MASK, _UE_SEVERITY = _aer("uncorrectable_error_status"), _aer("uncorrectable_error_mask"), _aer("uncorrectable_error_severity")
_CE, _CE_MASK, _CONTROL = _aer("correctable_error_status"), _aer("correctable_error_mask"), _aer("advanced_error_capabilities_and_control")
_HEADER_LOG = tuple(_aer(f"header_log_{i}") for i in range(4))
_ROOT_COMMAND, _ROOT_STATUS, _SOURCE = _aer("root_error_command"), _aer("root_error_status"), _aer("error_source_identification")
_SUE, _SUE_MASK, _SUE_SEVERITY = (_aer(f"secondary_uncorrectable_error_{w}") for w in ("status", "mask", "severity"))
_SUE_CONTROL = _aer("secondary_error_capabilities_and_control")
_SUE_LOG = tuple(_aer(f"secondary_header_log_{i}") for i in range(4))

# Read in the order that a later error can spoil least: status words, then the log they point to, then the status again.
_EXP_READS = (
    Read(HEADER.location(HEADER["command"])),
    Read(HEADER.location(HEADER["status"])),
    Read(_FLAGS),
    Read(_DEVCAP),
    Read(_DEVCTL),
    Read(_DEVSTA),
    Read(_exp("link_status")),
)
_SLOT_READS = (*_EXP_READS, Read(_exp("slot_capabilities")), Read(_exp("slot_control")), Read(_exp("slot_status")))
_AER_READS = (
    Read(_UE, again=True),
    Read(_UE_MASK),
    Read(_UE_SEVERITY),
    Read(_CE),
    Read(_CE_MASK),
    Read(_CONTROL, again=True),
    *(Read(location) for location in _HEADER_LOG),
)
_ROOT_READS = (Read(_exp("root_control")), Read(_ROOT_COMMAND), Read(_ROOT_STATUS), Read(_SOURCE))
_BRIDGE_READS = (Read(_SUE), Read(_SUE_MASK), Read(_SUE_SEVERITY), Read(_SUE_CONTROL), *(Read(location) for location in _SUE_LOG))

ADVISORY_BITS = frozenset({12, 14, 15, 16, 20})  # Non-fatal errors that role-based reporting may signal as advisory (6.2.3.2.4)
_UR, _ADVISORY = 20, 13
_CED, _NFED, _FED, _URD = 1, 2, 4, 8


def watches(fabric: Fabric, host: Host) -> Iterable[Watch]:
    """Device Status of every PCI Express Function, and behind it whatever AER it has. Of one that cannot be read, as it sleeps, the
    kernel's records tell all the same.
    """
    for function in fabric:
        if function.dev_type is not None:
            yield from _watches_of(function)
        elif function.unread and not function.capabilities:
            yield Watch(Target.function(function.bdf), tier="event")


def _watches_of(function: Function) -> Iterator[Watch]:
    target, aer = Target.function(function.bdf), function.offset_of("ECAP_AER") is not None
    reads = _SLOT_READS if function.dev_type in SLOT_TYPES else _EXP_READS
    yield Watch(target, _DEVSTA, error_mask(DEVICE_STATUS), tier="fast", reads=reads)
    if not aer:
        return
    yield Watch(target, _UE, error_mask(UNCORRECTABLE), tier="fast", behind=_DEVSTA, reads=_AER_READS)
    yield Watch(target, _CE, error_mask(CORRECTABLE), tier="fast", behind=_DEVSTA)
    if function.dev_type in ROOT_TYPES:
        yield Watch(target, _ROOT_STATUS, error_mask(ROOT_STATUS), tier="fast", reads=_ROOT_READS)
    if function.dev_type == DevType.PCIE_TO_PCI_BRIDGE:
        yield Watch(target, _SUE, error_mask(SECONDARY), tier="fast", behind=_DEVSTA, reads=_BRIDGE_READS)


def normalise(now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
    """One finding for each error bit of Device Status that AER does not explain, and for each of AER."""
    view = _View(now)
    yield from view.device_status()
    yield from view.uncorrectable()
    yield from view.correctable()
    if view.dev_type in ROOT_TYPES:
        yield from view.root()
    if view.dev_type == DevType.PCIE_TO_PCI_BRIDGE:
        yield from view.secondary()


class _View:
    # The words of one snapshot, and what follows from them together.

    def __init__(self, now: Snapshot) -> None:
        self.now = now

    @cached_property
    def dev_type(self) -> int | None:
        # Root Ports and PCIe-to-PCI bridges have different registers at the same place.
        flags = self.now.word(_FLAGS)
        return None if flags is None else flags >> 4 & 0xF

    @cached_property
    def devsta(self) -> int:
        return self.now.word(_DEVSTA) or 0

    @cached_property
    def ue(self) -> int:
        return self.now.word(_UE) or 0

    @cached_property
    def ce(self) -> int:
        return self.now.word(_CE) or 0

    @cached_property
    def fatal(self) -> int:
        return self.ue & (self.now.word(_UE_SEVERITY) or 0)

    @cached_property
    def only_unsupported_request(self) -> bool:
        # What enumeration leaves: Unsupported Request, its Device Status shadow, its advisory bit, and nothing else.
        seen = self.devsta & _URD or self.ue & 1 << _UR
        rest = self.ue & ~(1 << _UR) or self.ce & ~(1 << _ADVISORY) or self.devsta & _FED or self.fatal & ~(1 << _UR)
        return bool(seen) and not rest

    @cached_property
    def advisory(self) -> bool:
        role_based = (self.now.word(_DEVCAP) or 0) & 1 << 15
        return bool(self.ce & 1 << _ADVISORY and role_based and not self.devsta & _NFED)

    def explained(self) -> int:
        # Device Status bits for which an AER bit of the same snapshot stands.
        found = _CED if self.ce & error_mask(CORRECTABLE) else 0
        found |= _NFED if self.ue & ~self.fatal else 0
        found |= _FED if self.fatal else 0
        return found | (_URD if self.ue & 1 << _UR else 0)

    def device_status(self) -> Iterator[Finding]:
        word = self.devsta & ~self.explained()
        for bit, field in error_bits(DEVICE_STATUS, word):
            yield self.finding(_DEVSTA, bit, field, {"dev-status": self.devsta})

    def uncorrectable(self) -> Iterator[Finding]:
        mask = self.now.word(_UE_MASK) or 0
        for bit, field in error_bits(UNCORRECTABLE, self.ue):
            severity: Severity = "fatal" if self.fatal & 1 << bit else "nonfatal"
            if severity == "nonfatal" and self.advisory and bit in ADVISORY_BITS:
                severity = "advisory"
            payload = {**self._uncorrectable_payload(bit), **_masked(mask, bit)}
            yield self.finding(_UE, bit, field, payload, severity=severity)

    def _uncorrectable_payload(self, bit: int) -> dict[str, PayloadValue]:
        payload: dict[str, PayloadValue] = {
            "dev-status": self.devsta,
            "ue-status": self.ue,
            "ue-severity": self.now.word(_UE_SEVERITY),
            "adv-ctl": self.now.word(_CONTROL),
        }
        return payload | self.logged(bit, _CONTROL, _HEADER_LOG, _UE)

    def logged(self, bit: int, control: Location, log: tuple[Location, ...], status: Location) -> dict[str, PayloadValue]:
        # The Header Log belongs to the bit that First Error Pointer names, unless a later error came between the reads.
        word = self.now.word(control)
        words = [self.now.word(location) for location in log]
        if word is None or word & 0x1F != bit or {control, status} & self.now.torn:
            words = []
        return header_payload(words, self.now.target, flit=bool((word or 0) & 1 << 18))

    def correctable(self) -> Iterator[Finding]:
        mask = self.now.word(_CE_MASK) or 0
        for bit, field in error_bits(CORRECTABLE, self.ce):
            payload: dict[str, PayloadValue] = {"dev-status": self.devsta, "ce-status": self.ce, **_masked(mask, bit)}
            yield self.finding(_CE, bit, field, payload)

    def root(self) -> Iterator[Finding]:
        word, source = self.now.word(_ROOT_STATUS), self.now.word(_SOURCE)
        for bit, field in error_bits(ROOT_STATUS, word or 0):
            payload: dict[str, PayloadValue] = {"rc-status": word}
            requester = (source or 0) & 0xFFFF if bit == 0 else (source or 0) >> 16
            if bit in (0, 2, 4, 5, 6) and requester:
                payload |= {"source-id": requester, "source-valid": True}
            yield self.finding(_ROOT_STATUS, bit, field, payload)

    def secondary(self) -> Iterator[Finding]:
        word, severities, mask = self.now.word(_SUE) or 0, self.now.word(_SUE_SEVERITY) or 0, self.now.word(_SUE_MASK) or 0
        for bit, field in error_bits(SECONDARY, word):
            payload = {"sue-status": word, **self.logged(bit, _SUE_CONTROL, _SUE_LOG, _SUE), **_masked(mask, bit)}
            yield self.finding(_SUE, bit, field, payload, severity="fatal" if severities & 1 << bit else "nonfatal")

    def finding(
        self, location: Location, bit: int, field: Field | None, payload: dict[str, PayloadValue], *, severity: Severity | None = None
    ) -> Finding:
        evidence = Evidence(self.now.target, location, bit)
        if field is None:
            return Finding("ereport.io.pciex.unknown", evidence, severity or "info", payload)
        residue = field.residue and self.only_unsupported_request
        severity = severity or field.severity or "nonfatal"
        return Finding(f"ereport.{field.ereport}", evidence, severity, {"name": field.title, **payload}, residue=residue)


def _masked(mask: int, bit: int) -> dict[str, PayloadValue]:
    return {"masked": True} if mask & 1 << bit else {}
