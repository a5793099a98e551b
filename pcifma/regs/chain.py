"""The two lists of capabilities: standard ones linked from 34h, extended ones from 100h (PCIe Base Spec 7.5.1.1.11, 7.6.3).

Only the header's own bytes and the heads of capabilities are read: some devices hang on others. Extended configuration space is
looked at only where a PCI Express or PCI-X capability says that there may be some, as lspci does. Whatever the bytes are, the walk
ends, and says what was wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pcifma.regs.name import capability_name

Read = Callable[[int, int], bytes]

_HEADER_END = 0x40
_STANDARD_END = 0x100
_EXTENDED_END = 0x1000
_STATUS = 0x06
_CAPABILITIES_LIST = 0x10
_HEADER_TYPE = 0x0E
_POINTERS = {0: 0x34, 1: 0x34, 2: 0x14}
_WITH_EXTENDED_SPACE = (0x07, 0x10)


class Found(NamedTuple):
    """A capability as found: *name* is setpci's, *offset* in bytes from the start of configuration space, *version* 0 if standard."""

    name: str
    id: int
    extended: bool
    version: int
    offset: int


class Chain(NamedTuple):
    """Capabilities in the order of their lists, and a line for each thing wrong with the lists."""

    capabilities: tuple[Found, ...] = ()
    complaints: tuple[str, ...] = ()


def walk(read: Read, size: int) -> Chain:
    """Follow both lists through *read(offset, length)*, which is never asked for a byte at or past *size*.

    Errors of *read* pass through; fewer bytes than asked for count as the end of the image.
    """
    walker = _Walker(read, size)
    walker.standard()
    if any(c.id in _WITH_EXTENDED_SPACE for c in walker.found):
        walker.extended()
    return Chain(tuple(walker.found), tuple(walker.complaints))


class _Walker:
    def __init__(self, read: Read, size: int) -> None:
        self._read = read
        self._size = size
        self.found: list[Found] = []
        self.complaints: list[str] = []

    def _get(self, offset: int, width: int) -> int | None:
        if offset + width > self._size:
            return None
        data = self._read(offset, width)
        return int.from_bytes(data, "little") if len(data) == width else None

    def standard(self) -> None:
        status, header_type = self._get(_STATUS, 2), self._get(_HEADER_TYPE, 1)
        if status is None or header_type is None:
            self.complaints.append("the image ends within the header")
            return
        if status == 0xFFFF or not status & _CAPABILITIES_LIST:
            return
        pointer = _POINTERS.get(header_type & 0x7F)
        if pointer is None:
            self.complaints.append(f"header type {header_type & 0x7F:#x} is unknown: no place for a capability list")
            return
        start = self._get(pointer, 1)
        if start is None:
            self.complaints.append("the image ends within the header")
            return
        self._follow_standard(start & ~3)

    def _follow_standard(self, offset: int) -> None:
        get, found = self._get, self.found
        seen: set[int] = set()
        while offset:
            if offset in seen or not _HEADER_END <= offset < _STANDARD_END:
                self._astray(offset, _HEADER_END, _STANDARD_END)
                return
            seen.add(offset)
            head = get(offset, 2)
            if head is None:
                self.complaints.append(f"the image ends before the capability at {offset:02x}h")
                return
            id = head & 0xFF
            if id == 0xFF:
                self.complaints.append(f"the capability list is broken at {offset:02x}h: id ff")
                return
            found.append(Found(capability_name(id, extended=False), id, False, 0, offset))
            offset = head >> 8 & ~3

    def extended(self) -> None:
        if self._size <= _STANDARD_END:
            return
        get, found = self._get, self.found
        seen: set[int] = set()
        offset = _STANDARD_END
        while offset:
            if offset in seen or not _STANDARD_END <= offset < _EXTENDED_END:
                self._astray(offset, _STANDARD_END, _EXTENDED_END)
                return
            seen.add(offset)
            head = get(offset, 4)
            if head is None:
                self.complaints.append(f"the image ends before the extended capability at {offset:03x}h")
                return
            if head in (0, 0xFFFFFFFF):
                self._empty_head(offset, head)
                return
            id = head & 0xFFFF
            found.append(Found(capability_name(id, extended=True), id, True, head >> 16 & 0xF, offset))
            offset = head >> 20 & ~3

    # A list that is absent has an empty head at 100h: nothing wrong with it.
    def _empty_head(self, offset: int, head: int) -> None:
        if offset != _STANDARD_END:
            self.complaints.append(
                f"the extended capability list points to {offset:03x}h, where there is {'nothing' if head == 0 else 'ffffffff'}"
            )

    def _astray(self, offset: int, low: int, high: int) -> None:
        if not low <= offset < high:
            self.complaints.append(f"a capability pointer leads to {offset:02x}h, outside {low:02x}h to {high - 1:02x}h")
        else:
            self.complaints.append(f"the capability list loops back to {offset:02x}h")
