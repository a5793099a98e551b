"""The Hardware Error Source Table: which errors firmware handles first (ACPI 6.5, 18.3.2).

Entries carry no length; it follows from their type. An entry of unknown type ends the walk, and the table says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pcifma.regs.bdf import Bdf

PATH = "/sys/firmware/acpi/tables/HEST"
_HEADER_SIZE = 40
_SIZES = {2: 20, 6: 48, 7: 44, 8: 56, 9: 64, 10: 92}
_BANKED = {0: (40, 32), 1: (48, 44), 11: (48, 44)}  # size without banks, where the number of banks stands
_BANK_SIZE = 28
_AER = {6: "Root Port", 7: "Endpoint", 8: "Bridge"}
_GENERIC = frozenset({9, 10})
_FIRMWARE_FIRST, _GLOBAL = 1, 2
NOTIFICATIONS = ("polled", "external interrupt", "local interrupt", "SCI", "NMI", "CMCI", "MCE", "GPIO", "SEA", "SEI", "GSIV", "SDEI")


@dataclass(frozen=True, slots=True)
class Source:
    """One error source. *device* is None where it applies to all of its type (GLOBAL), or has no address."""

    kind: int
    enabled: bool
    firmware_first: bool
    device: Bdf | None = None
    notification: int | None = None

    @property
    def text(self) -> str:
        """In a few words, as `AER Root Port (all), firmware first`."""
        if self.kind in _GENERIC:
            how = NOTIFICATIONS[self.notification] if self.notification is not None and self.notification < len(NOTIFICATIONS) else "?"
            return f"generic source (GHES), {how}"
        name = f"AER {_AER[self.kind]} ({self.device or 'all'})" if self.kind in _AER else f"type {self.kind}"
        return f"{name}, firmware first" if self.firmware_first else name


@dataclass(frozen=True, slots=True)
class Hest:
    """The table's sources; *damage* says where and why it could not be followed to its end."""

    sources: tuple[Source, ...]
    damage: str = ""

    def signs(self) -> tuple[Source, ...]:
        """Sources by which firmware handles PCI Express errors, or may: AER firmware first, and generic ones."""
        return tuple(s for s in self.sources if s.kind in _GENERIC or (s.kind in _AER and s.firmware_first))


def parse(table: bytes) -> Hest:
    """Read the table; whatever the bytes are, it ends and raises nothing."""
    if len(table) < _HEADER_SIZE or table[:4] != b"HEST":
        return Hest((), "not a HEST")
    sources: list[Source] = []
    at = _HEADER_SIZE
    for number in range(int.from_bytes(table[36:40], "little")):
        size = _size(table, at)
        if size == 0 or at + size > len(table):
            return Hest(tuple(sources), f"entry {number} at byte {at} cannot be followed")
        sources.append(_source(table[at : at + size]))
        at += size
    return Hest(tuple(sources))


def _size(table: bytes, at: int) -> int:
    kind = int.from_bytes(table[at : at + 2], "little") if at + 2 <= len(table) else -1
    if kind not in _BANKED:
        return _SIZES.get(kind, 0)
    size, banks_at = _BANKED[kind]
    return size + _BANK_SIZE * table[at + banks_at] if at + banks_at < len(table) else 0


def _source(entry: bytes) -> Source:
    kind = int.from_bytes(entry[0:2], "little")
    if kind in _GENERIC:
        return Source(kind, entry[7] == 1, False, notification=entry[32])
    if kind in _AER:
        return Source(kind, entry[7] == 1, bool(entry[6] & _FIRMWARE_FIRST), None if entry[6] & _GLOBAL else _device(entry))
    return Source(kind, entry[7] == 1, bool(entry[6] & _FIRMWARE_FIRST)) if kind != 2 else Source(kind, True, False)


def _device(entry: bytes) -> Bdf | None:
    bus, device, function = (int.from_bytes(entry[at : at + n], "little") for at, n in ((16, 4), (20, 2), (22, 2)))
    return Bdf(bus >> 8, bus & 0xFF, device, function) if device < 32 and function < 8 else None


def named(sources: tuple[Source, ...]) -> Iterator[str]:
    """Each kind of sign once, with how often it is there."""
    texts = [s.text for s in sources]
    for text in dict.fromkeys(texts):
        yield f"{text} x{texts.count(text)}" if texts.count(text) > 1 else text
