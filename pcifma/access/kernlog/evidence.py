"""What a report stands on: register words of one Function, named as setpci names them, so that a logged error takes the same road as
a live one. What a report knows without a register (a severity, a gone Function, a host bridge's own register) stands beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, singledispatch

from pcifma.access.kernlog import power
from pcifma.access.kernlog.name import severity_of, side_of
from pcifma.access.kernlog.report import (
    AerError,
    AerEvent,
    AerMessage,
    BriefError,
    CperSection,
    CxlError,
    DpcEvent,
    FmaEreport,
    GhesRecord,
    RasLine,
    RegisterText,
    Report,
    Severity,
)
from pcifma.access.kernlog.sight import (
    BRIDGE,
    CE,
    CE_MASK,
    COMMAND,
    CONTROL,
    DEVSTA,
    DPC_SOURCE,
    DPC_STATUS,
    FLAGS,
    HEADER_LOG,
    ROOT_STATUS,
    RP_PIO,
    RP_PIO_IMPSPEC,
    RP_PIO_LOG,
    SECONDARY,
    SOURCE,
    STATUS,
    UE,
    UE_MASK,
    UE_SEVERITY,
    Condition,
    Shown,
    header_words,
    only_error,
    set_bits,
)
from pcifma.regs.bdf import Bdf
from pcifma.regs.catalogue import CAPABILITIES
from pcifma.regs.exp import DevType
from pcifma.regs.table import Location


@singledispatch
def shown(report: Report) -> Iterator[Shown]:
    """Each Function that *report* shows something of; nothing for a report that is no register's (a diagnosed fault)."""
    return iter(())


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


def _unspecific(severity: Severity, place: str, name: str) -> Condition:
    # An error is certain and its severity, but no register says which: the class of its Device Status bit.
    bit = ("correctable", "nonfatal", "fatal").index(severity)
    return Condition(f"ereport.io.pciex.{severity}", place, bit, severity, name)


def _fitting(words: Mapping[Location, int]) -> dict[Location, int]:
    # A number that its register cannot hold is a garbled one.
    return {location: word for location, word in words.items() if word < 1 << 8 * location.width}


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
    words: dict[Location, int] = header_words(report.header)
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
        name = "error reported without its status word" if report.status is None else "error reported without an error bit"
        return (_unspecific(severity, "log:aer", name),)
    if report.side is None:
        # Bits 12 to 15 mean one thing in either register, and the excerpt does not say which register this is.
        name, mask = "error bit of an unknown status register", report.mask or 0
        return tuple(
            Condition("ereport.io.pciex.unknown", "log:status", bit, "nonfatal", name, status, bool(mask >> bit & 1))
            for bit in set_bits(status)
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
    words = header_words(header)
    if not status:
        yield Shown(bdf, words, (_unspecific(severity, place, "error reported without its bits"),), severity=severity, count=count)
        return
    words[CE if side_of(severity) == "correctable" else UE] = status
    words.update(only_error(words))
    yield Shown(bdf, words, severity=severity, count=count)


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
    words = header_words(section.header) | {_CPER_WORDS[k]: v for k, v in section.words.items() if k in _CPER_WORDS}
    correctable = side_of(severity) == "correctable"
    for name, place in (("aer_status", CE if correctable else UE), ("aer_mask", CE_MASK if correctable else UE_MASK)):
        if name in section.words:
            words[place] = section.words[name]
    words |= only_error(words)
    command, status = _in_order(section.command, section.status)
    halves = ((COMMAND, command), (STATUS, status), (SECONDARY, section.secondary_status), (BRIDGE, section.bridge_control))
    words.update((location, word) for location, word in halves if word is not None and word != 0xFFFF)
    cxl = tuple(_cxl(section.words))
    bare = not words.get(UE) and not words.get(CE) and not cxl
    name = f"firmware reported a {section.section_type or 'PCIe error'}, severity {section.severity or severity}"
    return Shown(
        section.bdf,
        words,
        (_unspecific(severity, "log:ghes", name),) if bare else cxl,
        standing=_STANDING,
        severity=severity,
        vendor=_id(section.vendor),
        device=_id(section.device),
        dev_type=section.port_type if section.port_type is not None and section.port_type <= 0xA else None,
    )


# Firmware reads these when it makes its record: what probing had left there before is in them too.
_STANDING = frozenset({STATUS, SECONDARY})
_CAPABILITIES_LIST, _NO_COMMAND = 1 << 4, 0xF810


def _in_order(command: int | None, status: int | None) -> tuple[int | None, int | None]:
    # Some firmware writes Command where Status belongs. Every PCI Express Function has Status bit 4 (Capabilities List) and none has
    # Command bits 4 and 11 to 15 (PCIe Base Spec 7.5.1.1.3 and 7.5.1.1.4), so the words tell which is which.
    if command is None or status is None:
        return command, status
    swapped = not status & _CAPABILITIES_LIST and command & _CAPABILITIES_LIST and not status & _NO_COMMAND
    return (status, command) if swapped else (command, status)


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


def _cxl(words: Mapping[str, int]) -> Iterator[Condition]:
    severities = words.get("cxl_ras_uncor_severity", 0)
    for side, names in (("uncor", _CXL_UNCORRECTABLE), ("cor", _CXL_CORRECTABLE)):
        word, mask = words.get(f"cxl_ras_{side}_status", 0), words.get(f"cxl_ras_{side}_mask", 0)
        for bit in set_bits(word):
            severity: Severity = "correctable" if side == "cor" else "fatal" if severities >> bit & 1 else "nonfatal"
            name = f"CXL {names.get(bit, 'undefined bit')}"
            yield Condition("ereport.io.pciex.unknown", f"cxl_ras_{side}_status", bit, severity, name, word, bool(mask >> bit & 1))


@shown.register
def _(report: CxlError) -> Iterator[Shown]:
    side = "cor" if report.side == "correctable" else "uncor"
    yield Shown(report.bdf, conditions=tuple(_cxl({f"cxl_ras_{side}_status": report.status})))


@shown.register
def _(report: BriefError) -> Iterator[Shown]:
    words = _fitting({Location.parse(name): word for name, word in report.words.items()})
    bare = not words.get(UE) and not words.get(CE) and not words.get(DEVSTA, 0) & 0xF
    told = (_unspecific(report.severity, f"log:{report.teller}", "error reported without its status word"),) if report.severity else ()
    yield Shown(report.bdf, words, told if bare else (), severity=report.severity, vendor=_id(report.vendor), device=_id(report.device))


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
def _(report: RegisterText) -> Iterator[Shown]:
    words = {Location.parse(name): word for name, word in report.words.items()} | header_words(report.header)
    dev_type = _PORT_TYPES.get((report.port_type or "").lower())
    if dev_type is not None:
        words[FLAGS] = dev_type << 4
    if words:
        yield Shown(report.bdf, words, state=True, vendor=_id(report.vendor), device=_id(report.device), dev_type=dev_type)


shown.register(power.eeh_device)
shown.register(power.eeh_freeze)
shown.register(power.phb_diag)
