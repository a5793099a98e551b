"""System slots from the SMBIOS table (type 9): what the board's maker prints beside them, as far as firmware says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pcifma.regs.bdf import Bdf

TABLE = "/sys/firmware/dmi/tables/DMI"
_SYSTEM_SLOTS, _END = 9, 127
_LONGEST_LABEL = 48


class SystemSlot(NamedTuple):
    """One slot: *designation* as printed on the board, *address* of the Function in it or of the port, None if not said."""

    designation: str
    address: Bdf | None


def system_slots(table: bytes) -> tuple[SystemSlot, ...]:
    """The slots in *table* (structures back to back, DSP0134 6.1); what is cut off or malformed is left out."""
    return tuple(s for kind, body, strings in _structures(table) if kind == _SYSTEM_SLOTS and (s := _slot(body, strings)))


def plain(text: str) -> str:
    """*text* without control bytes, at most 48 characters: firmware's words go to terminals and logs."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_LONGEST_LABEL]


def _slot(body: bytes, strings: list[str]) -> SystemSlot | None:
    if len(body) < 5 or not 1 <= body[4] <= len(strings):
        return None
    designation = plain(strings[body[4] - 1])
    return SystemSlot(designation, _address(body)) if designation else None


def _address(body: bytes) -> Bdf | None:
    # Segment, bus and devfn since SMBIOS 2.6; all ones means "not known" (some boards fill every slot so).
    if len(body) < 0x11:
        return None
    segment, bus, devfn = int.from_bytes(body[0xD:0xF], "little"), body[0xF], body[0x10]
    return None if (bus, devfn) == (0xFF, 0xFF) else Bdf.from_requester_id(segment, bus << 8 | devfn)


def _structures(table: bytes) -> Iterator[tuple[int, bytes, list[str]]]:
    at = 0
    while at + 4 <= len(table):
        kind, length = table[at], table[at + 1]
        end = table.find(b"\0\0", at + length)
        if length < 4 or end < 0 or kind == _END:
            return
        strings = table[at + length : end].decode("latin-1").split("\0")
        yield kind, table[at : at + length], [s for s in strings if s]
        at = end + 2
