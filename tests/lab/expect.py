"""What an error must be called, from a table of the laboratory's own: nothing here comes from pcifma/regs.

Bits are the PCI Express Base Specification's (7.8.4 AER, 7.5.3.5 Device Status, 7.5.1 Status); class names are those of
docs/contracts.md and illumos. classes() reads a Function's bytes by itself and says every ereport that they must give.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Error:
    """One error that QEMU can inject: its name there, the bit it sets, and the leaf of its class."""

    name: str
    bit: int
    leaf: str
    correctable: bool = False


UNCORRECTABLE = (
    Error("DLP", 4, "dl.dllp"),
    Error("SDN", 5, "dl.sd"),
    Error("POISON_TLP", 12, "tl.ptlp"),
    Error("FCP", 13, "tl.fcp"),
    Error("COMP_TIME", 14, "tl.cto"),
    Error("COMP_ABORT", 15, "tl.ca"),
    Error("UNX_COMP", 16, "tl.uc"),
    Error("RX_OVER", 17, "tl.rof"),
    Error("MALF_TLP", 18, "tl.mtlp"),
    Error("ECRC", 19, "tl.ecrc"),
    Error("UNSUP", 20, "tl.ur"),
    Error("ACSV", 21, "tl.acsv"),
    Error("INTN", 22, "int.ue"),
    Error("MCBTLP", 23, "tl.mcb"),
    Error("ATOP_EBLOCKED", 24, "tl.aob"),
    Error("TLP_PRF_BLOCKED", 25, "tl.tpb"),
)
CORRECTABLE = (
    Error("RCVR", 0, "pl.re", True),
    Error("BAD_TLP", 6, "dl.btlp", True),
    Error("BAD_DLLP", 7, "dl.bdllp", True),
    Error("REP_ROLL", 8, "dl.rnr", True),
    Error("REP_TIMER", 12, "dl.rto", True),
    Error("ADV_NONFATAL", 13, "a-nonfatal", True),
    Error("INTERNAL", 14, "int.ce", True),
    Error("HL_OVERFLOW", 15, "tl.hlo", True),
)
ERRORS = UNCORRECTABLE + CORRECTABLE
# Those that role-based reporting may turn into an advisory correctable message.
ADVISORY = tuple(error for error in UNCORRECTABLE if error.bit in (12, 14, 15, 16, 20))
STATUS = {15: "dpe", 14: "sserr", 13: "ma", 12: "rta", 11: "sta", 8: "mdpe"}
SECONDARY = {15: "sec-dpe", 14: "sec-rserr", 13: "sec-ma", 12: "sec-rta", 11: "sec-sta", 8: "sec-mdpe"}
# Root Error Status from bit 0: illumos names the messages; ue and ffe are bits that it leaves unnamed, and none may be silent.
ROOT = ("ce", "mce", "ue", "mue", "ffe", "nfe", "fe")
ROOT_PORT = 4  # Device/Port Type in the PCI Express Capabilities register


class Registers:
    """One Function's configuration space as bytes, with capabilities found by walking both lists."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def word(self, offset: int) -> int:
        """Return the 16-bit register at *offset*."""
        return int.from_bytes(self._data[offset : offset + 2], "little")

    def dword(self, offset: int) -> int:
        """Return the 32-bit register at *offset*."""
        return int.from_bytes(self._data[offset : offset + 4], "little")

    @property
    def is_bridge(self) -> bool:
        """Whether the header is of type 1."""
        return self._data[0x0E] & 0x7F == 1

    def capability(self, identity: int) -> int:
        """Return the offset of a capability of the first 256 bytes, or 0."""
        place = self._data[0x34] & 0xFC if self.word(0x06) & 0x10 else 0
        for _ in range(48):
            if not place or self._data[place] == identity:
                return place
            place = self._data[place + 1] & 0xFC
        return 0

    def extended(self, identity: int) -> int:
        """Return the offset of an extended capability, or 0."""
        place = 0x100 if len(self._data) > 0x100 and self.dword(0x100) not in (0, 0xFFFFFFFF) else 0
        while place and self.dword(place) & 0xFFFF != identity:
            place = self.dword(place) >> 20
        return place


def classes(registers: Registers) -> list[str]:
    """Return the class of every error bit that is set, without the `ereport.io.` in front, sorted."""
    return sorted([*_conventional(registers), *_express(registers)])


def _conventional(registers: Registers) -> Iterator[str]:
    yield from (f"pci.{leaf}" for bit, leaf in STATUS.items() if registers.word(0x06) >> bit & 1)
    if registers.is_bridge:
        yield from (f"pci.{leaf}" for bit, leaf in SECONDARY.items() if registers.word(0x1E) >> bit & 1)


def _express(registers: Registers) -> Iterator[str]:
    express, aer = registers.capability(0x10), registers.extended(0x0001)
    if not express:
        return
    correctable, uncorrectable, severity = (registers.dword(aer + offset) if aer else 0 for offset in (0x10, 0x04, 0x0C))
    for error in ERRORS:
        if (correctable if error.correctable else uncorrectable) >> error.bit & 1:
            yield f"pciex.{error.leaf}"
    explained = (correctable, uncorrectable & ~severity, uncorrectable & severity, uncorrectable & 1 << 20)
    for bit, leaf in enumerate(("correctable", "nonfatal", "fatal", "tl.ur")):
        if registers.word(express + 0x0A) >> bit & 1 and not explained[bit]:
            yield f"pciex.{leaf}"
    if aer and registers.word(express + 2) >> 4 & 15 == ROOT_PORT:
        yield from (f"pciex.rc.{name}-msg" for bit, name in enumerate(ROOT) if registers.dword(aer + 0x30) >> bit & 1)


def parse(text: str) -> dict[str, Registers]:
    """Return the Functions of `lspci -D -xxxx` text by address."""
    found: dict[str, bytearray] = {}
    data = bytearray()
    for line in text.splitlines():
        head, _, rest = line.partition(" ")
        if head.endswith(":") and len(head) <= 4:
            data += bytes.fromhex(rest)
        elif head:
            data = found[head] = bytearray()
    return {address: Registers(bytes(content)) for address, content in found.items()}
