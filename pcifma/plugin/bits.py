"""From a status word to its error bits and their findings, by the register's table row: what every source would write otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from pcifma.event.value import PayloadValue
from pcifma.plugin.watch import Evidence, Finding, Snapshot
from pcifma.regs.table import Field, Location, Register

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


def findings(
    now: Snapshot,
    location: Location,
    register: Register,
    payload: Mapping[str, PayloadValue] = MappingProxyType({}),
    *,
    mask: int = 0,
    unknown: str = "ereport.io.pciex.unknown",
) -> Iterator[Finding]:
    """A finding for each error bit of *register* that is set at *location*, lowest first, as its row says; each has *payload*.

    *mask*: bits that a mask register masks. *unknown*: the class of a bit that the row has no name for.
    """
    for bit, field in error_bits(register, now.word(location) or 0):
        evidence = Evidence(now.target, location, bit)
        masked = {"masked": True} if mask >> bit & 1 else {}
        if field is None:
            yield Finding(unknown, evidence, "info", {**payload, **masked})
        else:
            said = {"name": field.title, **payload, **masked}
            yield Finding(f"ereport.{field.ereport}", evidence, field.severity or "nonfatal", said, residue=field.residue)
