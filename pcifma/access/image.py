"""Configuration space held in memory: bytes, and which of them are known. Unknown bytes are an error, never 0xff or 0."""

from __future__ import annotations

from collections.abc import Mapping

from pcifma.errors import ShortReadError
from pcifma.regs.bdf import Bdf

EXTENDED_SIZE = 4096


class ImageSpace:
    """The bytes of one Function as a capture holds them, from *rows*: offset to the bytes there."""

    __slots__ = ("_holes", "bdf", "data", "size")

    def __init__(self, bdf: Bdf, rows: Mapping[int, bytes]) -> None:
        self.bdf = bdf
        self.size = max((offset + len(row) for offset, row in rows.items()), default=0)
        self.data = bytearray(self.size)
        holes = bytearray(b"\x01" * self.size)
        for offset, row in rows.items():
            self.data[offset : offset + len(row)] = row
            holes[offset : offset + len(row)] = bytes(len(row))
        self._holes = holes if 1 in holes else None

    def read(self, offset: int, length: int) -> bytes:
        """Exactly *length* bytes at *offset*; ShortReadError where any of them is not in the capture."""
        end = offset + length
        if offset < 0 or length < 0 or end > self.size or (self._holes is not None and 1 in self._holes[offset:end]):
            raise ShortReadError(f"{self.bdf}: bytes {offset:#x} to {end - 1:#x} were not captured: run lspci -xxxx as root")
        return bytes(self.data[offset:end])

    def rows(self) -> dict[int, bytes]:
        """What is known, as rows of up to 16 bytes by their offset."""
        found: dict[int, bytes] = {}
        for offset in range(0, self.size, 16):
            known = self._known_from(offset)
            if known:
                found[offset] = bytes(self.data[offset : offset + known])
        return found

    def _known_from(self, offset: int) -> int:
        end = min(offset + 16, self.size)
        hole = -1 if self._holes is None else self._holes.find(1, offset, end)
        return (end if hole < 0 else hole) - offset
