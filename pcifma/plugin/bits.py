"""From a status word to its error bits, by the register's table row: what every source plugin would write otherwise."""

from __future__ import annotations

from collections.abc import Iterator

from pcifma.regs.table import Field, Register

# By identity: a register row hashes all of its fields, and this is asked for every status word of every Function.
_MASKS: dict[int, tuple[Register, int]] = {}


def error_mask(register: Register) -> int:
    """Every bit of a status register that must not be silent: all but the fields that are declared and no error."""
    known = _MASKS.get(id(register))
    if known is None or known[0] is not register:
        known = _MASKS[id(register)] = (register, _compute(register))
    return known[1]


def _compute(register: Register) -> int:
    mask = (1 << 8 * register.width) - 1
    for field in register.fields:
        if not field.ereport:
            mask &= ~field.mask
    return mask


def error_bits(register: Register, word: int) -> Iterator[tuple[int, Field | None]]:
    """The error bits that are set in *word*, lowest first, each with its field (None: the table has no name for it)."""
    left = word & error_mask(register)
    while left:
        bit = (left & -left).bit_length() - 1
        left &= left - 1
        yield bit, register.field_at(bit)
