"""A tracepoint's `format` file, and the binary records that it describes: nothing about a kernel's layout is assumed."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from pcifma.errors import FormatError

_FIELD = re.compile(r"field:(?P<declaration>[^;]+);\s*offset:(?P<offset>\d+);\s*size:(?P<size>\d+);(?:\s*signed:(?P<signed>[01]);)?")
_NAME = re.compile(r"(?P<name>\w+)(?:\[(?P<count>\d*)\])?$")


@dataclass(frozen=True, slots=True)
class Member:
    """One field: where it lies in the record, how wide it is, and what it is made of. *count* is above one for arrays."""

    name: str
    offset: int
    size: int
    signed: bool
    count: int = 1
    is_text: bool = False
    is_elsewhere: bool = False  # __data_loc: a word that says where the data are (offset 15:0, length 31:16)

    def text(self, record: bytes) -> str:
        """The value in *record* as text: decimal numbers, arrays separated by commas, strings as they are."""
        data = record[self.offset : self.offset + self.size]
        if self.is_elsewhere:
            where = int.from_bytes(data, sys.byteorder)
            data = record[where & 0xFFFF : (where & 0xFFFF) + (where >> 16)]
        if self.is_text:
            return data.split(b"\0", 1)[0].decode("utf-8", "replace")
        width = len(data) // self.count if self.count else len(data)
        words = (data[i : i + width] for i in range(0, width * self.count, max(width, 1)))
        return ",".join(str(int.from_bytes(word, sys.byteorder, signed=self.signed)) for word in words)


@dataclass(frozen=True, slots=True)
class Tracepoint:
    """The event *id* (common_type of its records) with its own members; common ones are left out."""

    name: str
    id: int
    members: tuple[Member, ...]

    def fields(self, record: bytes) -> Mapping[str, str]:
        """The members of *record* by name; what lies past its end is left out."""
        return {m.name: m.text(record) for m in self.members if m.offset + m.size <= len(record)}


def parse_format(text: str, where: str) -> Tracepoint:
    """Read a `format` file. FormatError, starting with *where*, if it is none."""
    name = re.search(r"^name:\s*(\S+)", text, re.MULTILINE)
    number = re.search(r"^ID:\s*(\d+)", text, re.MULTILINE)
    if name is None or number is None:
        raise FormatError(f"{where}:1: no tracepoint format: it has no name and ID")
    members = [_member(match, where) for match in _FIELD.finditer(text)]
    return Tracepoint(name[1], int(number[1]), tuple(m for m in members if not m.name.startswith("common_")))


def _elements(kind: str, size: int) -> int:
    # An array of a probe's argument says how wide its elements are, and not how many there are: `u64 words[]`.
    width = re.match(r"[usx](8|16|32|64)\b", kind)
    return max(1, size * 8 // int(width[1])) if width is not None else 1


def _member(match: re.Match[str], where: str) -> Member:
    declaration = match["declaration"].strip()
    found = _NAME.search(declaration)
    if found is None:
        raise FormatError(f"{where}:1: no field declaration: {declaration[:60]!r}")
    kind = declaration[: found.start()].strip()
    elsewhere = kind.startswith(("__data_loc", "__rel_loc"))
    size = int(match["size"])
    is_text = re.search(r"\bchar\b", kind) is not None and (elsewhere or found["count"] is not None)
    count = 1
    if found["count"] is not None and not is_text and not elsewhere:
        count = int(found["count"]) if found["count"] else _elements(kind, size)
    return Member(found["name"], int(match["offset"]), size, match["signed"] == "1", count, is_text, elsewhere)
