"""Pages of the kernel's trace ring buffer, as `trace_pipe_raw` gives them (kernel: ring-buffer-design, events/header_page).

    page    time stamp u64 | commit: bytes of data, bit 31 set where events were lost before this page | data
    event   type_len 4:0, time_delta 31:5 | data

type_len 1 to 28 is the length in words; 0: the length stands in the next word; 29 padding; 30 time extend; 31 absolute time.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from pcifma.errors import FormatError

_PADDING, _TIME_EXTEND, _TIME_STAMP = 29, 30, 31
_TYPE_BITS = 5
_DELTA_BITS = 27
_MISSED, _MISSED_STORED = 1 << 31, 1 << 30
_STAMP_KEPT = 59  # an absolute time stamp has 59 bits; the page's own has the rest
_PART = re.compile(r"field:[^;]*?(?P<name>timestamp|commit|data);\s*offset:(?P<offset>\d+);\s*size:(?P<size>\d+);")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a page has its parts: offset and size in bytes."""

    commit: tuple[int, int]
    data: int
    size: int

    @classmethod
    def parse(cls, header_page: str, where: str) -> Layout:
        """Read `events/header_page`. FormatError, starting with *where*, if it is none."""
        parts = {m["name"]: (int(m["offset"]), int(m["size"])) for m in _PART.finditer(header_page)}
        if not {"commit", "data"} <= parts.keys():
            raise FormatError(f"{where}:1: no page header: it has no commit and data")
        start, length = parts["data"]
        return cls(parts["commit"], start, start + length)


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its *events*, each (time in ns of the buffer's clock, data); *lost*: at least so many were lost before it."""

    events: tuple[tuple[int, bytes], ...]
    lost: int


def parse_page(page: bytes, layout: Layout) -> Page:
    """Take *page* apart; whatever the bytes are, it ends at the page's end."""
    stamp = _number(page[0:8])
    offset, width = layout.commit
    commit = _number(page[offset : offset + width])
    length = commit & 0xFFFFF
    data = page[layout.data : layout.data + length]
    return Page(tuple(_events(data, stamp)), _lost(page, commit, layout.data + length, width))


def _lost(page: bytes, commit: int, end: int, width: int) -> int:
    if not commit & _MISSED:
        return 0
    stored = _number(page[end : end + width]) if commit & _MISSED_STORED else 0
    return max(1, stored)


def _events(data: bytes, stamp: int) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        head = _number(data[at : at + 4])
        kind, delta = (head & 31, head >> _TYPE_BITS) if sys.byteorder == "little" else (head >> _DELTA_BITS, head & (1 << _DELTA_BITS) - 1)
        word = _number(data[at + 4 : at + 8])
        if kind == _PADDING:
            if delta == 0:
                return
            at += 4 + max(word, 4)
            continue
        if kind == _TIME_EXTEND:
            stamp += delta | word << _DELTA_BITS
            at += 8
        elif kind == _TIME_STAMP:
            stamp = stamp >> _STAMP_KEPT << _STAMP_KEPT | delta | word << _DELTA_BITS
            at += 8
        else:
            stamp += delta
            start, size = (at + 4, kind * 4) if kind else (at + 8, max(word - 4, 0))
            yield stamp, data[start : start + size]
            at = start + (size + 3 & ~3)


def _number(data: bytes) -> int:
    return int.from_bytes(data, sys.byteorder)
