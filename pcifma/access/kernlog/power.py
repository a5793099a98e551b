"""What POWER's reports show: registers of frozen endpoints and of host bridges, and what EEH announced."""

from __future__ import annotations

from collections.abc import Iterator

from pcifma.access.kernlog.report import EehDevice, EehFreeze, Frozen, PhbDiag, Severity
from pcifma.access.kernlog.sight import (
    BRIDGE,
    CE,
    COMMAND,
    DEVSTA,
    FLAGS,
    ROOT_STATUS,
    SECONDARY,
    SOURCE,
    STATUS,
    UE,
    Condition,
    Shown,
    header_words,
    only_error,
    register,
    set_bits,
)
from pcifma.regs.bdf import Bdf
from pcifma.regs.exp import DevType
from pcifma.regs.table import Location


def eeh_device(report: EehDevice) -> Iterator[Shown]:
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
    words |= {register("ECAP_AER", 4 * index): word for index, word in enumerate(report.aer) if index}
    identity = report.identity or 0xFFFFFFFF
    dev_type = report.express[0] >> 20 & 0xF if report.express else None
    yield Shown(report.bdf, words, state=True, vendor=identity & 0xFFFF, device=identity >> 16, dev_type=dev_type)


# Dwords of the PCI Express capability that are two registers of 16 bits: Flags, Device, Link, Slot and Root Control.
_HALVES = frozenset({0x00, 0x08, 0x10, 0x18})


def _express(index: int, word: int) -> dict[Location, int]:
    offset = 4 * index
    if offset in _HALVES:
        return {register("CAP_EXP", offset, 2): word & 0xFFFF, register("CAP_EXP", offset + 2, 2): word >> 16}
    return {register("CAP_EXP", offset): word}


# What EEH says: bit number of the condition, severity, words.
_FREEZES: dict[Frozen, tuple[int, Severity, str]] = {
    "frozen": (0, "nonfatal", "Endpoint frozen"),
    "fenced": (1, "fatal", "Host bridge fenced"),
    "dead": (2, "fatal", "Host bridge dead"),
    "failed": (3, "fatal", "Device given up"),
    "informative": (4, "correctable", "Host bridge logged an error and went on"),
}


def eeh_freeze(report: EehFreeze) -> Iterator[Shown]:
    bit, severity, words = _FREEZES[report.what]
    whole = "eeh:PHB" if report.bdf is None else "eeh:device"
    place = whole if report.endpoint is None else f"eeh:PE#{report.endpoint:x}"
    bridge = Bdf(report.number, 0, 0, 0) if report.number is not None else None
    condition = Condition(f"ereport.io.pciex.eeh.{report.what}", place, bit, severity, words)
    yield Shown(report.bdf or bridge, conditions=(condition,))


# Rows of a host bridge's own registers: status, mask (where the kernel prints one), first error. No public table names their bits.
_PHB_ROWS = ("nFir", "Lem", "PhbErr", "PhbTxeErr", "RxeArbErr", "RxeMrgErr", "RxeTceErr", "PblErr", "RegbErr", "OutErr", "InAErr", "InBErr")
_PHB_MASKED = ("nFir", "Lem")
_ALL_ONES = (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)


def phb_diag(report: PhbDiag) -> Iterator[Shown]:
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
    words |= header_words(dwords("RootErrLog", 4))
    words |= only_error(words)
    conditions = tuple(c for name in _PHB_ROWS for c in _phb_row(report.kind, name, row(name, 1)))
    yield Shown(Bdf(report.number, 0, 0, 0), words, conditions, state=True, dev_type=DevType.ROOT_PORT)


def _phb_row(kind: str, name: str, words: tuple[int, ...]) -> Iterator[Condition]:
    if not words:
        return
    mask = words[1] if name in _PHB_MASKED and len(words) > 1 else 0
    for bit in set_bits(words[0]):
        yield Condition(
            "ereport.io.pciex.unknown", f"phb:{name}", bit, "nonfatal", f"{kind} {name}", words[0], bool(mask >> bit & 1)
        )  # fmt: skip
