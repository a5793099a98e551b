"""A register's word, taken apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pcifma.regs.table import Field, Register


class Part(NamedTuple):
    """A field that is not zero. *field* is None where the table has no name for the bits; *value* is then in place (not shifted)."""

    field: Field | None
    value: int

    @property
    def title(self) -> str:
        """The specification's words, or the bits in hexadecimal."""
        return self.field.title if self.field else f"unknown {self.value:#x}"

    @property
    def text(self) -> str:
        """`Bad TLP`; `Current Link Speed 8.0 GT/s`; `unknown 0x40`."""
        if self.field is None or (self.field.hi == self.field.lo and not self.field.names):
            return self.title
        return f"{self.title} {self.field.names.get(self.value, self.value)}"


def decode_word(register: Register, word: int) -> list[Part]:
    """The fields of *word* that are not zero, lowest first, then the bits that have no name, in one piece.

    Bits past the register's width are ignored.
    """
    word &= (1 << 8 * register.width) - 1
    parts = [Part(f, f.get(word)) for f in sorted(register.fields, key=lambda f: f.lo) if f.get(word)]
    unknown = word & ~known_mask(register)
    return [*parts, Part(None, unknown)] if unknown else parts


def known_mask(register: Register) -> int:
    """The bits that the table names."""
    mask = 0
    for field in register.fields:
        mask |= field.mask
    return mask


def set_bits(word: int) -> Iterator[int]:
    """Numbers of the bits that are set, lowest first."""
    while word:
        low = word & -word
        yield low.bit_length() - 1
        word ^= low
