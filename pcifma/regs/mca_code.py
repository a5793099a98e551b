"""MCA error codes (STATUS bits 15:0): simple and compound ones, each a row; whatever the word, exactly one row is its meaning.

Sections are those of the SDM, volume 3B. AMD uses the same forms (APM 9.3.3, "Error Codes"); its memory errors are bus or cache codes.
Leaves are illumos's (`ereport.cpu.<vendor>.<leaf>`): {LL} and {TT} are the level and type, {PP} is where a bus error went.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

FILTER = 1 << 12  # SDM 15.9.2.1, "Correction Report Filtering": of compound codes, and no part of their meaning
_LEVELS = ("L0", "L1", "L2", "G")  # 15.9.2.3 LL
_TYPES = ("I", "D", "G", "reserved TT")  # 15.9.2.2 TT
_REQUESTS = ("ERR", "RD", "WR", "DRD", "DWR", "IRD", "PREFETCH", "EVICT", "SNOOP")  # 15.9.2.4 RRRR
_PARTICIPATION = ("SRC", "RES", "OBS", "G")  # 15.9.2.5 PP
_PLACES = ("M", "reserved II", "IO", "other")  # 15.9.2.5 II
_TRANSACTIONS = ("GEN", "RD", "WR", "AC", "MS")  # 15.9.2.6 MMM
ANY_CHANNEL = 15


@dataclass(frozen=True, slots=True)
class CodeRow:
    """A form of error code: a word is of it where word & *mask* == *value*. *parts*: name of each part to (high, low) bit.

    *kind* is what is at fault in one word. *leaf* may name parts; `_uc` is put behind it for uncorrected errors where *suffixed*.
    """

    mask: int
    value: int
    kind: str
    title: str
    name: str
    leaf: str
    section: str
    parts: Mapping[str, tuple[int, int]]
    suffixed: bool = False


_NONE: Mapping[str, tuple[int, int]] = {}
_EXACT = 0xFFFF
# Rows before others where both would match: exact words first, then the forms, which share no word.
CODES = (
    CodeRow(_EXACT, 0x0000, "none", "No Error", "NO_ERROR", "unknown", "15.9.1", _NONE),
    CodeRow(_EXACT, 0x0001, "unclassified", "Unclassified", "UNCLASSIFIED", "unclassified", "15.9.1", _NONE),
    CodeRow(_EXACT, 0x0002, "internal", "Microcode ROM Parity Error", "MICROCODE_ROM_PARITY", "microcode_rom_parity", "15.9.1", _NONE),
    CodeRow(_EXACT, 0x0003, "external", "External Error", "EXTERNAL", "external", "15.9.1", _NONE),
    CodeRow(_EXACT, 0x0004, "internal", "FRC Error", "FRC", "frc", "15.9.1", _NONE),
    CodeRow(_EXACT, 0x0005, "internal", "Internal Parity Error", "INTERNAL_PARITY", "internal_parity", "15.9.1", _NONE),
    CodeRow(_EXACT, 0x0006, "smm", "SMM Handler Code Access Violation", "SMM_CODE_VIOLATION", "unknown", "15.9.1", _NONE),
    CodeRow(_EXACT, 0x0400, "internal", "Internal Timer Error", "INTERNAL_TIMER", "internal_timer", "15.9.1", _NONE),
    # 0x0E0B, filtered or not, has the form of a bus error, and another meaning.
    CodeRow(_EXACT, 0x0E0B, "io", "I/O Error", "IO", "io", "15.9.1", _NONE),
    CodeRow(_EXACT, 0x1E0B, "io", "I/O Error", "IO", "io", "15.9.1", _NONE),
    CodeRow(0xFC00, 0x0400, "internal", "Internal Unclassified", "INTERNAL_UNCLASSIFIED", "internal_unclassified", "15.9.1", _NONE),
    CodeRow(
        0xEFFC, 0x000C, "cache", "Generic Cache Hierarchy", "GCACHE{LL}_ERR", "{ll}cache", "15.9.2", {"LL": (1, 0)}, suffixed=True
    ),
    CodeRow(
        0xEFF0, 0x0010, "tlb", "TLB Errors", "{TT}TLB{LL}_ERR", "{ll}{tt}tlb", "15.9.2", {"TT": (3, 2), "LL": (1, 0)}, suffixed=True
    ),
    CodeRow(
        0xEF80, 0x0080, "memory", "Memory Controller Errors", "{MMM}_CHANNEL{CCCC}_ERR", "mc", "15.9.2.6",
        {"MMM": (6, 4), "CCCC": (3, 0)},
    ),
    CodeRow(
        0xEF00, 0x0100, "cache", "Cache Hierarchy Errors", "{TT}CACHE{LL}_{RRRR}_ERR", "{ll}{tt}cache", "15.9.2",
        {"RRRR": (7, 4), "TT": (3, 2), "LL": (1, 0)}, suffixed=True,
    ),
    CodeRow(
        0xEF80, 0x0280, "memory-cache", "Extended Memory Errors", "EXT_{MMM}_CHANNEL{CCCC}_ERR", "ext_mc", "15.9.2.6",
        {"MMM": (6, 4), "CCCC": (3, 0)},
    ),
    CodeRow(
        0xE800, 0x0800, "bus", "Bus and Interconnect Errors", "BUS{LL}_{PP}_{RRRR}_{II}_{T}_ERR", "bus_interconnect{place}",
        "15.9.2.5", {"PP": (10, 9), "T": (8, 8), "RRRR": (7, 4), "II": (3, 2), "LL": (1, 0)}, suffixed=True,
    ),
)  # fmt: skip
UNKNOWN = CodeRow(0, 0, "unknown", "Reserved Error Code", "UNKNOWN", "unknown", "15.9", _NONE)


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """What an error code says. *name* is the manual's compound name with its parts filled in, *leaf* illumos's without `_uc`.

    *values* has the parts as numbers; *channel* is the memory channel, None where the code has none or does not know.
    """

    word: int
    row: CodeRow
    name: str
    leaf: str
    values: Mapping[str, int]

    @property
    def filtered(self) -> bool:
        """True where corrections of the same kind may have been left out."""
        return self.row.mask != _EXACT and bool(self.row.parts) and bool(self.word & FILTER)

    @property
    def channel(self) -> int | None:
        """The memory channel."""
        found = self.values.get("CCCC", ANY_CHANNEL)
        return None if found == ANY_CHANNEL else found

    @property
    def level(self) -> int | None:
        """The cache level, 0 to 2; None where the code has none or does not know."""
        found = self.values.get("LL", 3)
        return None if found == 3 else found

    def leaf_of(self, *, uncorrected: bool) -> str:
        """illumos's leaf for an error that was corrected, or was not."""
        return f"{self.leaf}_uc" if uncorrected and self.row.suffixed else self.leaf


@lru_cache(maxsize=1024)
def error_code(word: int) -> ErrorCode:
    """The meaning of the 16-bit error code *word*."""
    row = next((row for row in CODES if word & row.mask == row.value), UNKNOWN)
    values = {part: word >> low & (1 << high - low + 1) - 1 for part, (high, low) in row.parts.items()}
    words = {part: _WORDS[part][value] if value < len(_WORDS[part]) else f"reserved {part}" for part, value in values.items()}
    if "LL" in words and row.kind == "cache" and words["LL"] == "G":
        words["LL"] = "LG"
    lower = {
        "ll": f"l{values['LL']}" if values.get("LL", 3) != 3 else "",
        "tt": {0: "i", 1: "d"}.get(values.get("TT", 2), ""),
        "place": {0: "_memory", 2: "_io"}.get(values.get("II", 3), ""),
    }
    return ErrorCode(word, row, row.name.format(**words), row.leaf.format(**words, **lower), values)


_WORDS: Mapping[str, tuple[str, ...]] = {
    "LL": _LEVELS,
    "TT": _TYPES,
    "RRRR": _REQUESTS,
    "PP": _PARTICIPATION,
    "II": _PLACES,
    "MMM": _TRANSACTIONS,
    "T": ("NOTIMEOUT", "TIMEOUT"),
    "CCCC": (*(str(channel) for channel in range(ANY_CHANNEL)), "_ANY"),
}
