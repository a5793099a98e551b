"""Where the register tables' rows lie in one Function: its header, its capability lists and their versions decide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from pcifma.errors import ShortReadError
from pcifma.regs.catalogue import BY_ID, BY_NAME
from pcifma.regs.chain import Found, walk
from pcifma.regs.form import form_of
from pcifma.regs.table import Capability, Location, Register

_HEADER_TYPE = 0x0E

Read = Callable[[int, int], bytes]


class Placed(NamedTuple):
    """A register at *offset* of its Function. *location* is its name there, counted where there are several of that name."""

    offset: int
    register: Register
    location: Location


def found_capabilities(read: Read, size: int) -> tuple[Found, ...]:
    """The capabilities of a Function, in the order of its lists; bytes that cannot be read end a list."""
    return walk(lambda offset, length: _quiet(read, offset, length), size).capabilities


def placed_registers(read: Read, size: int) -> Iterator[Placed]:
    """Every register of the tables that this Function has, whole within *size* bytes; header first, then in list order."""
    found = found_capabilities(read, size)
    express = next((c.offset for c in found if c.name == "CAP_EXP"), None)
    flags = 0 if express is None else _word(read, express + 2, 2)
    dev_type = None if express is None else flags >> 4 & 0xF
    layout = _word(read, _HEADER_TYPE, 1) & 0x7F
    seen: Counter[str] = Counter()
    for table, head in _tables(found):
        # The version of a PCI Express capability stands in its own register (PCIe Base Spec 7.5.3.2).
        version = max(1, flags & 0xF if table.name == "CAP_EXP" else head.version)
        form = form_of(head.name, partial(_word_of, read, head.offset)).name
        for register in table.registers:
            offset = head.offset + register.offset
            if register.present(dev_type, layout, version) and register.matches(form=form) and offset + register.width <= size:
                yield Placed(offset, register, table.location(register)._replace(number=seen[head.name]))
        seen[head.name] += 1


def _tables(found: tuple[Found, ...]) -> Iterator[tuple[Capability, Found]]:
    yield BY_NAME[""], Found("", 0, False, 0, 0)
    for head in found:
        table = BY_ID.get(("extended" if head.extended else "standard", head.id))
        if table is not None:
            yield table, head


def _word_of(read: Read, start: int, offset: int, width: int) -> int:
    return _word(read, start + offset, width)


def _word(read: Read, offset: int, width: int) -> int:
    return int.from_bytes(_quiet(read, offset, width), "little")


def _quiet(read: Read, offset: int, length: int) -> bytes:
    try:
        return read(offset, length)
    except ShortReadError:
        return b""
