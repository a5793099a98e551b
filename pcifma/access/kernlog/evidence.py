"""What a report stands on: register words of one Function, named as setpci names them, so that a logged error takes the same road as
a live one. What a report knows without a register (a severity, a gone Function, a host bridge's own register) stands beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, singledispatch

from pcifma.access.kernlog.name import severity_of, side_of
from pcifma.access.kernlog.report import (
    AerError,
    AerEvent,
    AerMessage,
    CperSection,
    DpcEvent,
    EehDevice,
    EsxiError,
    FmaEreport,
    GhesRecord,
    PhbDiag,
    RasLine,
    RegisterText,
    Report,
    Severity,
)
from pcifma.regs.bdf import Bdf
from pcifma.regs.catalogue import CAPABILITIES
from pcifma.regs.exp import DevType
from pcifma.regs.table import Location


@dataclass(frozen=True, slots=True)
class Condition:
    """An error that is no bit of a register of configuration space: *class_*, where it was said (*place*), a *bit* or number."""

    class_: str
    place: str
    bit: int
    severity: Severity
    name: str
    word: int | None = None
    masked: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """One Function as one report shows it. *state*: its registers as they stood when somebody looked; otherwise an event.

    *severity* is the reporter's word, for bits whose Severity register it does not show. *dev_type* is the Device/Port Type where
    the report says it. *gone*: every register read all ones. *count* is above one only where the reporter counted.
    """

    bdf: Bdf | None
    words: Mapping[Location, int] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()
    state: bool = False
    severity: Severity | None = None
    vendor: int = 0xFFFF
    device: int = 0xFFFF
    dev_type: int | None = None
    gone: bool = False
    count: int = 1


@singledispatch
def shown(report: Report) -> Iterator[Shown]:
    """Each Function that *report* shows something of; nothing for a report that is no register's (a diagnosed fault)."""
    return iter(())


def _at(capability: str, offset: int, width: int = 4) -> Location:
    return Location(capability, offset, width)


COMMAND, STATUS, SECONDARY, BRIDGE = (_at("", offset, 2) for offset in (0x04, 0x06, 0x1E, 0x3E))
DEVSTA, FLAGS = _at("CAP_EXP", 0x0A, 2), _at("CAP_EXP", 0x02, 2)
UE, UE_MASK, UE_SEVERITY, CE, CE_MASK, CONTROL = (_at("ECAP_AER", offset) for offset in (0x04, 0x08, 0x0C, 0x10, 0x14, 0x18))
HEADER_LOG = tuple(_at("ECAP_AER", 0x1C + 4 * i) for i in range(4))
ROOT_STATUS, SOURCE = _at("ECAP_AER", 0x30), _at("ECAP_AER", 0x34)
DPC_STATUS, DPC_SOURCE = _at("ECAP_DPC", 0x08, 2), _at("ECAP_DPC", 0x0A, 2)
RP_PIO = tuple(_at("ECAP_DPC", 0x0C + 4 * i) for i in range(5))
RP_PIO_LOG, RP_PIO_IMPSPEC = tuple(_at("ECAP_DPC", 0x20 + 4 * i) for i in range(4)), _at("ECAP_DPC", 0x30)

# Words of CPER's AER information, by the kernel's names.
_CPER_WORDS = {
    "aer_uncor_status": UE,
    "aer_uncor_mask": UE_MASK,
    "aer_uncor_severity": UE_SEVERITY,
    "aer_cor_status": CE,
    "aer_cor_mask": CE_MASK,
    "cap_control": CONTROL,
}
# illumos's payload members (facts: io.pci.fabric), as far as they are error registers.
_FABRIC_WORDS = {
    "pci_status": STATUS,
    "pci_bdg_sec_status": SECONDARY,
    "pcie_status": DEVSTA,
    "pcie_ue_status": UE,
    "pcie_ue_mask": UE_MASK,
    "pcie_ue_sev": UE_SEVERITY,
    "pcie_ce_status": CE,
    "pcie_ce_mask": CE_MASK,
    "pcie_adv_ctl": CONTROL,
    "pcie_adv_rp_status": ROOT_STATUS,
    **{f"pcie_ue_hdr{i}": location for i, location in enumerate(HEADER_LOG)},
}
# What lspci and FreeBSD's pciconf call the Device/Port Types.
_PORT_TYPES = {
    "endpoint": DevType.ENDPOINT,
    "legacy endpoint": DevType.LEGACY_ENDPOINT,
    "root port": DevType.ROOT_PORT,
    "upstream port": DevType.UPSTREAM_PORT,
    "downstream port": DevType.DOWNSTREAM_PORT,
    "pci-express to pci/pci-x bridge": DevType.PCIE_TO_PCI_BRIDGE,
    "pci bridge": DevType.PCIE_TO_PCI_BRIDGE,
    "pci/pci-x to pci-express bridge": DevType.PCI_TO_PCIE_BRIDGE,
    "pci to pcie bridge": DevType.PCI_TO_PCIE_BRIDGE,
    "root complex integrated endpoint": DevType.RCIEP,
    "root endpoint": DevType.RCIEP,
    "root complex event collector": DevType.RCEC,
    "event collector": DevType.RCEC,
}


def _header(words: tuple[int, ...]) -> dict[Location, int]:
    return dict(zip(HEADER_LOG, words, strict=False)) if any(words) else {}


def _unspecific(severity: Severity, place: str, name: str) -> Condition:
    # An error is certain and its severity, but no register says which: the class of its Device Status bit.
    bit = ("correctable", "nonfatal", "fatal").index(severity)
    return Condition(f"ereport.io.pciex.{severity}", place, bit, severity, name)


def _fitting(words: Mapping[Location, int]) -> dict[Location, int]:
    # A number that its register cannot hold is a garbled one.
    return {location: word for location, word in words.items() if word < 1 << 8 * location.width}


def _bits(word: int) -> Iterator[int]:
    return (bit for bit in range(word.bit_length()) if word >> bit & 1)


@shown.register
def _(report: AerMessage) -> Iterator[Shown]:
    # The kernel's line says what Root Error Status held: which message, whether there were several (aer.c).
    low = report.severity == "correctable"
    status = 0x01 if low else 0x04 | (0x40 if report.severity == "fatal" else 0x20)
    status |= (0x02 if low else 0x08) if report.multiple else 0
    requester = report.source.requester_id if report.source else report.source_id
    words = {FLAGS: DevType.ROOT_PORT << 4, ROOT_STATUS: status}
    if requester is not None:
        words[SOURCE] = requester if low else requester << 16
    yield Shown(report.port, words, severity=report.severity, dev_type=DevType.ROOT_PORT)


@shown.register
def _(report: AerError) -> Iterator[Shown]:
    words: dict[Location, int] = _header(report.header)
    named = sum(1 << p.bit for p in {p.bit: p for p in report.printed if p.bit is not None}.values() if p.bit is not None and p.bit < 32)
    status = named if report.status is None else report.status
    if report.side is not None and status:
        correctable = report.side == "correctable"
        words[CE if correctable else UE] = status
        if report.mask is not None:
            words[CE_MASK if correctable else UE_MASK] = report.mask
    if report.uncorrectable_severity is not None:
        words[UE_SEVERITY] = report.uncorrectable_severity
    if report.side == "uncorrectable" and report.first_error is not None:
        words[CONTROL] = report.first_error & 0x1F | report.flit << 18
    yield Shown(
        report.bdf, words, _unplaced(report, status), severity=report.severity, vendor=_id(report.vendor), device=_id(report.device)
    )  # fmt: skip


def _unplaced(report: AerError, status: int) -> tuple[Condition, ...]:
    if not status:
        severity = report.severity or "nonfatal"
        return (_unspecific(severity, "log:aer", "error reported without its status word"),)
    if report.side is None:
        # Bits 12 to 15 mean one thing in either register, and the excerpt does not say which register this is.
        name, mask = "error bit of an unknown status register", report.mask or 0
        return tuple(
            Condition("ereport.io.pciex.unknown", "log:status", bit, "nonfatal", name, status, bool(mask >> bit & 1))
            for bit in _bits(status)
        )
    return ()


def _id(value: int | None) -> int:
    return 0xFFFF if value is None else value


@shown.register
def _(report: AerEvent) -> Iterator[Shown]:
    return _named(report.bdf, report.severity, report.status, header=report.header, place="log:aer_event")


@shown.register
def _(report: RasLine) -> Iterator[Shown]:
    return _named(report.bdf, report.severity, report.status, header=report.header, place="log:rasdaemon", count=report.count)


def _named(bdf: Bdf | None, severity: Severity, status: int, *, header: tuple[int, ...], place: str, count: int = 1) -> Iterator[Shown]:
    words = _header(header)
    if not status:
        yield Shown(bdf, words, (_unspecific(severity, place, "error reported without its bits"),), severity=severity, count=count)
        return
    words[CE if side_of(severity) == "correctable" else UE] = status
    words.update(_single(words))
    yield Shown(bdf, words, severity=severity, count=count)


def _single(words: Mapping[Location, int]) -> dict[Location, int]:
    # A reporter that does not show First Error Pointer: with one unmasked bit the header log can belong to no other.
    status = words.get(UE, 0) & ~words.get(UE_MASK, 0)
    if HEADER_LOG[0] in words and CONTROL not in words and status and not status & status - 1:
        return {CONTROL: status.bit_length() - 1}
    return {}


@shown.register
def _(report: DpcEvent) -> Iterator[Shown]:
    words = {DPC_STATUS: report.status}
    source = report.source.requester_id if report.source else report.source_id
    if source is not None:
        words[DPC_SOURCE] = source
    pio = (report.rp_pio_status, report.rp_pio_mask, report.rp_pio_severity, report.rp_pio_syserror, report.rp_pio_exception)
    words.update((location, word) for location, word in zip(RP_PIO, pio, strict=True) if word is not None)
    if any(report.header):
        words.update(zip(RP_PIO_LOG, report.header, strict=False))
    if report.impspec is not None:
        words[RP_PIO_IMPSPEC] = report.impspec
    yield Shown(report.bdf, words)


@shown.register
def _(report: GhesRecord) -> Iterator[Shown]:
    for section in report.sections:
        kind = (section.section_type or "").lower()
        if "pcie" in kind or "cxl" in kind or (section.section_type is None and section.bdf is not None):
            yield _section(section, severity_of(section.severity or report.severity or "") or "correctable")


def _section(section: CperSection, severity: Severity) -> Shown:
    words = _header(section.header) | {_CPER_WORDS[k]: v for k, v in section.words.items() if k in _CPER_WORDS}
    correctable = side_of(severity) == "correctable"
    for name, place in (("aer_status", CE if correctable else UE), ("aer_mask", CE_MASK if correctable else UE_MASK)):
        if name in section.words:
            words[place] = section.words[name]
    words |= _single(words)
    halves = ((COMMAND, section.command), (STATUS, section.status), (SECONDARY, section.secondary_status), (BRIDGE, section.bridge_control))
    words.update((location, word) for location, word in halves if word is not None and word != 0xFFFF)
    cxl = tuple(_cxl(section))
    bare = not words.get(UE) and not words.get(CE) and not cxl
    name = f"firmware reported a {section.section_type or 'PCIe error'}, severity {section.severity or severity}"
    return Shown(
        section.bdf,
        words,
        (_unspecific(severity, "log:ghes", name),) if bare else cxl,
        severity=severity,
        vendor=_id(section.vendor),
        device=_id(section.device),
        dev_type=section.port_type if section.port_type is not None and section.port_type <= 0xA else None,
    )


# CXL 3.0, 8.2.4.16: the RAS Capability lies in memory space, so its bits have no name of setpci's.
_CXL_UNCORRECTABLE = {
    0: "Cache Data Parity", 1: "Cache Address Parity", 2: "Cache Byte Enable Parity", 3: "Cache Data ECC", 4: "Memory Data Parity",
    5: "Memory Address Parity", 6: "Memory Byte Enable Parity", 7: "Memory Data ECC", 8: "Reinitialization Threshold",
    9: "Reserved Encoding Violation", 10: "Poison Received", 11: "Receiver Overflow", 14: "Internal Error", 15: "IDE Tx Error",
    16: "IDE Rx Error",
}  # fmt: skip
_CXL_CORRECTABLE = {
    0: "Cache Data ECC", 1: "Memory Data ECC", 2: "CRC Threshold", 3: "Retry Threshold", 4: "Cache Poison Received",
    5: "Memory Poison Received", 6: "Physical Layer Error",
}  # fmt: skip


def _cxl(section: CperSection) -> Iterator[Condition]:
    severities = section.words.get("cxl_ras_uncor_severity", 0)
    for side, names in (("uncor", _CXL_UNCORRECTABLE), ("cor", _CXL_CORRECTABLE)):
        word, mask = section.words.get(f"cxl_ras_{side}_status", 0), section.words.get(f"cxl_ras_{side}_mask", 0)
        for bit in _bits(word):
            severity: Severity = "correctable" if side == "cor" else "fatal" if severities >> bit & 1 else "nonfatal"
            name = f"CXL {names.get(bit, 'undefined bit')}"
            yield Condition("ereport.io.pciex.unknown", f"cxl_ras_{side}_status", bit, severity, name, word, bool(mask >> bit & 1))


@shown.register
def _(report: EsxiError) -> Iterator[Shown]:
    words = _fitting({Location.parse(name): word for name, word in report.words.items()})
    bare = not words.get(UE) and not words.get(CE) and not words.get(DEVSTA, 0) & 0xF
    conditions = (_unspecific(report.severity, "log:esxi", "error reported without its status word"),) if bare else ()
    yield Shown(report.bdf, words, conditions, severity=report.severity, vendor=_id(report.vendor), device=_id(report.device))


@shown.register
def _(report: FmaEreport) -> Iterator[Shown]:
    members = report.members
    words = _fitting({location: members[name] for name, location in _FABRIC_WORDS.items() if name in members})
    bdf = Bdf.from_requester_id(0, members["bdf"] & 0xFFFF) if "bdf" in members else None
    dev_type = members["dev_type"] >> 4 if "dev_type" in members and members["dev_type"] <= 0xA0 else None
    if dev_type is not None:
        words[FLAGS] = dev_type << 4
    if report.class_ == "ereport.io.pci.fabric":
        yield Shown(bdf, words, vendor=members.get("vendor_id", 0xFFFF), device=members.get("device_id", 0xFFFF), dev_type=dev_type)
    elif report.class_.startswith("ereport.io."):
        severity = _severities().get(report.class_, "nonfatal")
        yield Shown(bdf, conditions=(Condition(report.class_, "log:fma", 0, severity, "ereport of another fault manager"),))


@cache
def _severities() -> dict[str, Severity]:
    # By class, where the tables say it: a device that says it itself has it in a register that this ereport does not show.
    fields = (field for capability in CAPABILITIES for register in capability.registers for field in register.fields)
    return {f"ereport.{f.ereport}": f.severity for f in fields if f.ereport and f.severity in ("correctable", "nonfatal", "fatal")}


@shown.register
def _(report: EehDevice) -> Iterator[Shown]:
    if report.gone:
        yield Shown(report.bdf, state=True, gone=True)
        return
    words: dict[Location, int] = {}
    if report.command_status is not None:
        words |= {COMMAND: report.command_status & 0xFFFF, STATUS: report.command_status >> 16}
    for location, half in ((SECONDARY, report.bridge_secondary_status), (BRIDGE, report.bridge_control)):
        if half is not None:
            words[location] = half
    for index, word in enumerate(report.express):
        words |= _express(index, word)
    words |= {_at("ECAP_AER", 4 * index): word for index, word in enumerate(report.aer) if index}
    identity = report.identity or 0xFFFFFFFF
    dev_type = report.express[0] >> 20 & 0xF if report.express else None
    yield Shown(report.bdf, words, state=True, vendor=identity & 0xFFFF, device=identity >> 16, dev_type=dev_type)


# Dwords of the PCI Express capability that are two registers of 16 bits: Flags, Device, Link, Slot and Root Control.
_HALVES = frozenset({0x00, 0x08, 0x10, 0x18})


def _express(index: int, word: int) -> dict[Location, int]:
    offset = 4 * index
    if offset in _HALVES:
        return {_at("CAP_EXP", offset, 2): word & 0xFFFF, _at("CAP_EXP", offset + 2, 2): word >> 16}
    return {_at("CAP_EXP", offset): word}


# Rows of a host bridge's own registers: status, mask (where the kernel prints one), first error. No public table names their bits.
_PHB_ROWS = ("nFir", "Lem", "PhbErr", "PhbTxeErr", "RxeArbErr", "RxeMrgErr", "RxeTceErr", "PblErr", "RegbErr", "OutErr", "InAErr", "InBErr")
_PHB_MASKED = ("nFir", "Lem")
_ALL_ONES = (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)


@shown.register
def _(report: PhbDiag) -> Iterator[Shown]:
    def row(name: str, count: int) -> tuple[int, ...]:
        found = report.values.get(name, ())
        return found if len(found) >= count and found[0] not in _ALL_ONES else ()

    def dwords(name: str, count: int) -> tuple[int, ...]:
        return tuple(word & 0xFFFFFFFF for word in row(name, count))

    words: dict[Location, int] = {FLAGS: DevType.ROOT_PORT << 4}
    if root := dwords("RootSts", 5):
        words |= {DEVSTA: root[0] >> 16, STATUS: root[3] >> 16, COMMAND: root[3] & 0xFFFF, SECONDARY: root[4] & 0xFFFF}
    if errors := dwords("RootErrSts", 3):
        words |= {ROOT_STATUS: errors[0], UE: errors[1], CE: errors[2]}
    if source := dwords("sourceId", 1) or dwords("RootErrLog1", 1):
        words[SOURCE] = source[0]
    words |= _header(dwords("RootErrLog", 4))
    words |= _single(words)
    conditions = tuple(c for name in _PHB_ROWS for c in _phb_row(report.kind, name, row(name, 1)))
    yield Shown(Bdf(report.number, 0, 0, 0), words, conditions, state=True, dev_type=DevType.ROOT_PORT)


def _phb_row(kind: str, name: str, words: tuple[int, ...]) -> Iterator[Condition]:
    if not words:
        return
    mask = words[1] if name in _PHB_MASKED and len(words) > 1 else 0
    for bit in _bits(words[0]):
        yield Condition(
            "ereport.io.pciex.unknown", f"phb:{name}", bit, "nonfatal", f"{kind} {name}", words[0], bool(mask >> bit & 1)
        )  # fmt: skip


@shown.register
def _(report: RegisterText) -> Iterator[Shown]:
    words = {Location.parse(name): word for name, word in report.words.items()} | _header(report.header)
    dev_type = _PORT_TYPES.get((report.port_type or "").lower())
    if dev_type is not None:
        words[FLAGS] = dev_type << 4
    if words:
        yield Shown(report.bdf, words, state=True, vendor=_id(report.vendor), device=_id(report.device), dev_type=dev_type)
