"""Register words as a person reads them: the title, each error bit with what it means, then the other fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pcifma.cli.meaning import meaning
from pcifma.cli.severity import COLOURS, MARGIN, WORDS, line
from pcifma.cli.text import clean
from pcifma.cli.word import header_log, row_at
from pcifma.event.ereport import Ereport
from pcifma.event.value import FABRIC_CLASS
from pcifma.plugin.bits import error_mask
from pcifma.regs.table import Location, Register
from pcifma.regs.tlp import decode_header
from pcifma.regs.word import decode_word

_INDENT = " " * MARGIN


def sheet(words: Mapping[Location, int], events: Sequence[Ereport], kind: int | None, *, flit: bool) -> Iterator[str]:
    """The lines for *words*, with the *events* that were made of them. *kind* is the Device/Port Type, where it matters."""
    shown: set[Location] = set()
    for location in words:
        if location in shown:
            continue
        if log := header_log(location, words):
            shown.update(log)
            yield from _header([words[place] for place in log], location, flit=flit)
        else:
            yield from _register(location, words[location], events, kind)


def _header(words: list[int], location: Location, *, flit: bool) -> Iterator[str]:
    yield f"Header Log  {location} = {' '.join(f'{word:08x}' for word in words)}"
    yield f"{_INDENT}{decode_header(words, flit=flit).text}"
    if not flit and len(words) < 4:
        yield f"{_INDENT}a header has 3 or 4 words, words that were not given are taken as zero"


def _register(location: Location, word: int, events: Sequence[Ereport], kind: int | None) -> Iterator[str]:
    row = row_at(location, kind)
    number = f"{location} = 0x{word:0{2 * location.width}x}"
    if row is None:
        yield f"{number}  no table names this register"
        yield from (f"{_INDENT}bit {bit}" for bit in range(8 * location.width) if word >> bit & 1)
        return
    yield f"{row.title}  {number}" + (f"  PCIe {row.section}" if row.section[:1].isdigit() else f"  {row.section}".rstrip())
    if word == (1 << 8 * location.width) - 1 and location.width > 1:
        yield f"{_INDENT}all ones: so reads a Function that is gone or does not answer; then none of these bits means anything"
    mine = [e for e in events if e.class_ != FABRIC_CLASS and e.payload.get("register") == str(location)]
    for event in mine:
        yield from _bit(event)
    yield from _others(row, word, mine)


def _bit(event: Ereport) -> Iterator[str]:
    word = "residue" if event.residue else WORDS[event.severity]
    leaf = event.class_.removeprefix("ereport.io.pciex.").removeprefix("ereport.")
    masked = " (masked)" if event.payload.get("masked") else ""
    name = clean(str(event.payload.get("name", "undefined bit")))
    yield line(word, f"{name}  bit {event.payload.get('bit')}  {leaf}{masked}", None if event.residue else COLOURS.get(event.severity))
    if text := meaning(event.class_):
        yield f"{_INDENT}{text}"
    if event.residue:
        yield f"{_INDENT}probing leaves this behind on healthy machines"
    if event.payload.get("severity-assumed"):
        yield f"{_INDENT}severity as after reset; the device's own is in its Uncorrectable Error Severity (give UESvrt=… beside it)"
    if "tlp" in event.payload:
        yield f"{_INDENT}header: {clean(str(event.payload['tlp']))}"


def _others(row: Register, word: int, mine: Sequence[Ereport]) -> Iterator[str]:
    # Fields that are no error; and error bits that another register of the same words explains.
    told = 0
    for event in mine:
        bit = event.payload.get("bit")
        told |= 1 << bit if isinstance(bit, int) else 0
    rest = word & ~told
    for part in decode_word(row, rest):
        explained = part.field is not None and row.access.clearable and part.field.mask & error_mask(row)
        yield f"{_INDENT}{part.text}" + ("  (explained by the other words)" if explained else "")
    if not word:
        yield f"{_INDENT}no bit is set"
