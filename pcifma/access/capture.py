"""Captures: `lspci -x`, `-xxx` or `-xxxx` text as people really send it, in mails, logs and tickets.

A row is known by its end (an offset, a colon, and nothing but hex bytes after it), whatever stands before it: quote marks,
timestamps, a logger's prefix. A device starts at a line with a Function address that has the same kind of prefix as its rows.
One pass, linear in the text; what it keeps is bounded.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pcifma.access.image import ImageSpace
from pcifma.errors import FormatError
from pcifma.regs.bdf import Bdf

REMEDY = "give the text of `lspci -xxxx`, run as root"
DEVICE_LIMIT = 16384  # the largest hosts with all their Virtual Functions have a few thousand
COMPLAINT_LIMIT = 1000
_ROW_BYTES = 16
_LINE_LIMIT = 4096  # no logger makes longer rows; a longer line is somebody's binary
_PLAIN_ROW = re.compile(r"([0-9a-f]{2,3}): ((?:[0-9a-f]{2} ){15}[0-9a-f]{2})")
# Two or three digits as lspci prints them, or eight as the kernel does (pci=earlydump: `pci 0000:00:1c.0: config space:`).
_OFFSET = re.compile(r"(?:^|(?<=[^0-9A-Za-z]))(?:00000)?[0-9a-fA-F]{2,3}$")
_ADDRESS = re.compile(r"(?:^|(?<=[^0-9A-Za-z.:]))((?:[0-9a-fA-F]{4,8}:)?[0-9a-fA-F]{2}:[01][0-9a-fA-F]\.[0-7])(?=\s|$|:? config space:)")
_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]{0,32}[A-Za-z]|\][^\x07\n]{0,256}(?:\x07|\x1b\\)|[()][A-Z0-9])")  # of a recorded terminal
# What `lspci -vv` without bytes has, and what a log has: another reader's.
_REPORT = re.compile(r"Capabilities: \[|\b[CU]ESta:|PCIe Bus Error|AER: |Hardware Error|aer_status")
_COUNTED = re.compile(r"[\d\s]+")  # what differs between the prefixes of one log: digits and spaces
_CUT_MARKS = re.compile(r"[0-9a-fA-F]|\.{1,3}|…")


@dataclass(frozen=True, slots=True)
class Capture:
    """What a capture holds: configuration spaces in the order of the text, *titles* (lspci's line after the address),
    *named* (Functions with a line but no bytes), and *complaints*, one line each: `file:line: what`.
    """

    configs: Mapping[Bdf, ImageSpace]
    titles: Mapping[Bdf, str]
    named: tuple[Bdf, ...]
    complaints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Header:
    bdf: Bdf
    title: str
    line: int


@dataclass(slots=True)
class _Block:
    # One device as posted, under the header line *under*; not *owned* where another device already stands under that line.
    under: _Header | None
    owned: bool
    line: int
    rows: dict[int, bytes] = field(default_factory=dict)

    @property
    def header(self) -> _Header | None:
        return self.under if self.owned else None

    def size(self) -> int:
        return sum(len(row) for row in self.rows.values())


class _Reader:
    # The state of one pass: the last header of each kind of prefix, the block being filled, a row that may go on.
    def __init__(self, name: str) -> None:
        self.name = name
        self.headers: dict[str, _Header] = {}
        self.latest: _Header | None = None
        self.blocks: list[_Block] = []
        self.named: dict[Bdf, int] = {}
        self.cut: tuple[int, int] | None = None  # a row that stopped short: its line number, its offset
        self.complaints: dict[tuple[int, str], None] = {}

    def complain(self, line: int, what: str) -> None:
        if len(self.complaints) < COMPLAINT_LIMIT:
            self.complaints[line, what] = None

    def line(self, number: int, text: str) -> None:
        if plain := _PLAIN_ROW.fullmatch(text):  # as lspci wrote it: nearly all lines there are
            self.row(number, int(plain[1], 16), bytes.fromhex(plain[2]), "")
            return
        if len(text) > _LINE_LIMIT:
            return
        before, colon, after = text.rpartition(": ")
        offset = _OFFSET.search(before) if colon else None
        if offset and (row := _hex_bytes(after)):
            self.row(number, int(offset[0], 16), row, before[: offset.start()])
        elif not self.rest_of_row(number, text) and (address := _ADDRESS.search(text)):
            self.address(number, address, text)

    def address(self, number: int, found: re.Match[str], text: str) -> None:
        header = _Header(Bdf.parse(found[1]), text[found.end() :].strip(), number)
        prefix = _shape(text[: found.start()])
        self.headers[prefix] = self.latest = header
        if ": " in header.title and not prefix.strip(">|"):  # lspci's own line, not a mention in a log
            self.named.setdefault(header.bdf, number)

    def rest_of_row(self, number: int, text: str) -> bool:
        # A mailer wrapped the row before: nothing but bytes, right after a row that stopped short.
        if self.cut is None or self.cut[0] != number - 1:
            return False
        offset = self.cut[1]
        rows = self.blocks[-1].rows
        more = _hex_bytes(text.lstrip("> \t|"))
        if not more or len(rows[offset]) + len(more) > _ROW_BYTES:
            return False
        self.complaints.pop((number - 1, _cut_short(offset)), None)
        self.store(number, offset, rows[offset] + more)
        return True

    def row(self, number: int, offset: int, row: bytes, prefix: str) -> None:
        if offset % _ROW_BYTES or len(row) > _ROW_BYTES:
            self.complain(number, "left out: a row of lspci -x has 16 bytes and starts at a multiple of 16")
            return
        block = self.block(number, offset, row, prefix)
        there = block.rows.get(offset, b"")
        if row.startswith(there):
            self.store(number, offset, row)
        elif not there.startswith(row):
            self.complain(number, f"row {offset:02x} is there twice with different bytes; the first one counts")

    def store(self, number: int, offset: int, row: bytes) -> None:
        self.blocks[-1].rows[offset] = row
        self.cut = None
        if len(row) < _ROW_BYTES:
            self.cut = (number, offset)
            self.complain(number, _cut_short(offset))

    def block(self, number: int, offset: int, row: bytes, prefix: str) -> _Block:
        shape = _shape(prefix)
        header = self.headers.get(shape)
        if self.latest is not None and self.latest.line == number - 1:
            header = self.headers[shape] = self.latest
        last = self.blocks[-1] if self.blocks else None
        same = last is not None and last.under is header
        if last is not None and same and (offset or last.rows.get(0, row) == row):
            return last
        self.blocks.append(_Block(header, header is not None and not same, number))
        if len(self.blocks) > DEVICE_LIMIT:
            raise FormatError(f"{self.name}:{number}: more than {DEVICE_LIMIT} devices: give one machine's `lspci -xxxx` at a time")
        return self.blocks[-1]


def _hex_bytes(text: str) -> bytes | None:
    # Bytes as two digits each with one space between, perhaps cut in the last one; None where there is anything else.
    text = text.strip()
    head, _, last = text.rpartition(" ")
    if _CUT_MARKS.fullmatch(last):
        text = head.rstrip()
    try:
        found = bytes.fromhex(text)
    except ValueError:
        return None
    return found if len(found) * 3 - 1 == len(text) else None


def _shape(prefix: str) -> str:
    return _COUNTED.sub("0", prefix).strip("0") if prefix else ""


def _cut_short(offset: int) -> str:
    return f"row {offset:02x} is cut short; its missing bytes count as not captured"


def parse_capture(text: str | bytes, name: str, *, may_be_empty: bool = False) -> Capture:
    """Read a capture. *name* stands in messages. FormatError where there is no row of bytes in it at all, unless it
    *may_be_empty*, as in a fixture of a machine that sleeps.
    """
    reader = _Reader(name)
    plain = _decode(text) if isinstance(text, bytes) else text
    plain = plain.replace("\r\n", "\n").replace("\r", "\n").replace("\xa0", " ").removeprefix("\ufeff")
    if "\x1b" in plain:
        plain = _ESCAPE.sub("", plain)
    for number, line in enumerate(plain.split("\n"), 1):
        reader.line(number, line)
    if not reader.blocks and not may_be_empty:
        words = "; or read its words with pcifma decode --log" if _REPORT.search(plain) else ""
        raise FormatError(f"{name}:1: no device with bytes in it: {REMEDY}{words}")
    return _assemble(reader)


def _decode(text: bytes) -> str:
    if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # a Windows shell's redirection
        return text.decode("utf-16", "replace")
    return text.decode("utf-8", "replace")


def _assemble(reader: _Reader) -> Capture:
    chosen: dict[Bdf, _Block] = {}
    for block in reader.blocks:
        if block.header is not None:
            _choose(reader, chosen, block.header.bdf, block)
    free = _free_addresses(set(chosen))
    for block in (b for b in reader.blocks if b.header is None):
        bdf = next(free)
        reader.complain(block.line, f"a device without its header line; taken as {bdf}")
        chosen[bdf] = block
    named = tuple(bdf for bdf in reader.named if bdf not in chosen)
    for bdf in named:
        reader.complain(reader.named[bdf], f"{bdf} has no bytes: {REMEDY}")
    return Capture(
        configs={bdf: ImageSpace(bdf, block.rows) for bdf, block in chosen.items()},
        titles={bdf: block.header.title if block.header else "" for bdf, block in chosen.items()},
        named=named,
        complaints=tuple(f"{reader.name}:{line}: {what}" for line, what in sorted(reader.complaints)),
    )


def _choose(reader: _Reader, chosen: dict[Bdf, _Block], bdf: Bdf, block: _Block) -> None:
    first = chosen.setdefault(bdf, block)
    if first is block:
        return
    if 0 not in block.rows and first.rows.keys().isdisjoint(block.rows):  # the rest of the same dump
        first.rows.update(block.rows)
        return
    kept, dropped = (block, first) if block.size() >= first.size() else (first, block)
    chosen[bdf] = kept
    if any(kept.rows.get(offset) != row for offset, row in dropped.rows.items()):
        reason = "it has more bytes" if kept.size() > dropped.size() else "it is the later one"
        reader.complain(dropped.line, f"{bdf} is there twice; the one at line {kept.line} counts: {reason}")


def _free_addresses(used: set[Bdf]) -> Iterator[Bdf]:
    slots = (Bdf(0, devfn >> 8, devfn >> 3 & 31, devfn & 7) for devfn in range(1 << 16))
    return (bdf for bdf in slots if bdf not in used)
