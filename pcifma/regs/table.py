"""Rows of a register table: Field, Register, Capability; and Location, how a register is named in every contract.

Invariants, held by the shape test: no key, byte or bit twice, no field past its register, titles as in the specification.
Masks are computed from fields, never typed. Rows are named tuples: every command starts with a thousand of them, and a dataclass takes
seven times as long to make.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Literal, NamedTuple


class Access(StrEnum):
    """How a register or field answers a write (PCIe Base Spec 7.4); an S at the end: it survives hot reset."""

    RO = "ro"
    ROS = "ros"
    RW = "rw"
    RWS = "rws"
    RW1C = "rw1c"
    RW1CS = "rw1cs"
    HWINIT = "hwinit"

    @property
    def clearable(self) -> bool:
        """True where writing a one clears the bit."""
        return self in (Access.RW1C, Access.RW1CS)


Severity = Literal["correctable", "nonfatal", "fatal", "advisory", "info"]


class Field(NamedTuple):
    """Bits hi:lo of a register.

    *key* is *title* in snake_case. *ereport* is the class behind `ereport.` where a set bit is an error, else empty.
    *severity* is said only where the device does not say it itself. *residue*: enumeration leaves it on healthy machines.
    *names* gives the specification's word for a value; a value without one stays a number.
    """

    hi: int
    lo: int
    key: str
    title: str
    ereport: str = ""
    severity: Severity | None = None
    residue: bool = False
    access: Access | None = None
    names: Mapping[int, str] = MappingProxyType({})

    def __hash__(self) -> int:
        return hash((self.hi, self.lo, self.key))  # names may be a dict

    @property
    def mask(self) -> int:
        """The bits of this field within its register."""
        return (1 << self.hi + 1) - (1 << self.lo)

    def get(self, word: int) -> int:
        """This field's value in *word*."""
        return (word & self.mask) >> self.lo


# setpci's letters.
WIDTHS = {"b": 1, "w": 2, "l": 4}
_WIDTH_LETTERS = {width: letter for letter, width in WIDTHS.items()}


class Location(NamedTuple):
    """Where a register lies, printed as setpci names it: `ECAP_AER+4.l`, `CAP_EXP+a.w`, `98.l`, `ECAP_DVSEC+e.w@1`.

    *capability* is setpci's name, or empty for an offset from the start of configuration space. *width* is 1, 2 or 4 bytes.
    *number* counts capabilities of that name in one Function, from 0.
    """

    capability: str
    offset: int
    width: int
    number: int = 0

    @classmethod
    def parse(cls, text: str) -> Location:
        """Read setpci's form, hexadecimal offsets; ValueError if it is anything else."""
        match = re.fullmatch(r"(?:(E?CAP_?\w*?)\+)?([0-9a-fA-F]{1,3})\.([bwlBWL])(?:@([0-9a-fA-F]{1,3}))?", text)
        if match is None:
            raise ValueError(f"{text!r} is no register name: write it as setpci does, as ECAP_AER+4.l or 3e.w")
        return cls(match[1] or "", int(match[2], 16), WIDTHS[match[3].lower()], int(match[4] or "0", 16))

    def __str__(self) -> str:
        base = f"{self.capability}+" if self.capability else ""
        number = f"@{self.number:x}" if self.number else ""
        return f"{base}{self.offset:x}.{_WIDTH_LETTERS[self.width]}{number}"


class Register(NamedTuple):
    """A register at *offset* bytes from its capability, *width* bytes wide.

    *ack*: a bit of it that was logged may be written back (only where *access*, or the field's, is RW1C).
    *types*: the Device/Port Types (regs.exp.DevType) that have it; *layouts*: the header types (0, 1, 2); empty means all.
    *since*: the least version of the capability that has it. *form*: where one capability has several layouts, which one
    (`64-bit`, `flit`). *section*: where the specification defines it.
    """

    offset: int
    width: int
    key: str
    title: str
    fields: tuple[Field, ...] = ()
    access: Access = Access.RO
    ack: bool = False
    types: frozenset[int] = frozenset()
    section: str = ""
    layouts: frozenset[int] = frozenset()
    since: int = 1
    form: str = ""

    def excludes(self, other: Register) -> bool:
        """True where no Function has both, so that they may share bytes."""
        apart = self.types and other.types and not self.types & other.types
        apart = apart or (self.layouts and other.layouts and not self.layouts & other.layouts)
        return bool(apart or (self.form and other.form and self.form != other.form))

    def present(self, dev_type: int | None, layout: int, version: int) -> bool:
        """True where a Function has this register: Device/Port Type (None: conventional PCI), header type, capability version.

        A register of several forms counts as present; which form it is, its capability says.
        """
        return (not self.types or dev_type in self.types) and (not self.layouts or layout in self.layouts) and version >= self.since

    def matches(self, dev_type: int | None = None, layout: int | None = None, form: str = "") -> bool:
        """True where nothing that is known of a Function speaks against this row; None and empty: not known."""
        if dev_type is not None and self.types and dev_type not in self.types:
            return False
        if layout is not None and self.layouts and layout not in self.layouts:
            return False
        return not (form and self.form and form != self.form)

    def field_at(self, bit: int) -> Field | None:
        """The field that holds *bit*, or None where the table has no name for it."""
        return next((f for f in self.fields if f.lo <= bit <= f.hi), None)

    def get(self, key: str, word: int) -> int:
        """The value of the field *key* in *word*; KeyError if the table has no such field."""
        for field in self.fields:
            if field.key == key:
                return field.get(word)
        raise KeyError(key)

    def access_of(self, field: Field) -> Access:
        """The field's own access kind, else the register's."""
        return field.access or self.access


CapabilityKind = Literal["header", "standard", "extended"]


class Capability:
    """One capability structure: *id* as in its header, *name* as setpci's (`ECAP_AER`, empty for the header)."""

    def __init__(
        self, *, id: int, kind: CapabilityKind, name: str, key: str, title: str, registers: tuple[Register, ...], section: str = ""
    ) -> None:
        self.id, self.kind, self.name = id, kind, name
        self.key, self.title = key, title
        self.registers = registers
        self.section = section

    def location(self, register: Register, number: int = 0) -> Location:
        """How the contracts name *register* of this capability, or of the one that is *number* further on with that name."""
        return Location(self.name, register.offset, register.width, number)

    @cached_property
    def by_key(self) -> dict[str, Register]:
        """Registers by key; of a key that several forms share, the first."""
        return {r.key: r for r in reversed(self.registers)}

    def __getitem__(self, key: str) -> Register:
        return self.by_key[key]

    def in_form(self, key: str, form: str) -> Register:
        """The register *key* of a Function that has *form*; KeyError where that form has none."""
        for register in self.registers:
            if register.key == key and register.matches(form=form):
                return register
        raise KeyError(f"{self.key}.{key} ({form})")
