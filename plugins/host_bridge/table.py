"""The chipset tables in chipset/: data files read into rows, one row a status register or counter. docs/chipsets.md has the grammar."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Literal

import msgspec

from pcifma.plugin import Location, Severity

from .index import ID, naming, numbers

Order = Literal["first", "next"]
Proof = Literal["", "clear", "latched"]


class Bit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a set bit means. *leaf* ends the class; *severity* is said where all devices agree; *residue*: probing leaves it."""

    title: str
    leaf: str
    severity: Severity | None = None
    residue: bool = False


class RegisterText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A status register as it stands in a file; registers in setpci's form, *bits* names one of the file's tables."""

    at: str
    name: str
    title: str
    bits: str
    severity: Severity = "nonfatal"
    first: str = ""
    next: str = ""
    order: Order | None = None
    logs: dict[str, str] = {}
    mask: str = ""
    severities: str = ""
    pointer: str = ""
    ignore: int = 0
    proven: Proof = ""


class CounterText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A counter as it stands in a file: bits hi:lo of a register."""

    at: str
    field: tuple[int, int]
    name: str
    title: str
    leaf: str
    severity: Severity
    proven: Proof = ""


class FunctionText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which Functions have these registers: `vendor:device` or `vendor:first-last`, and where *at* is given that device.function."""

    ids: list[str]
    about: str
    at: str = ""
    registers: list[RegisterText] = []
    counters: list[CounterText] = []


class ChipsetText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file."""

    title: str
    family: str
    source: str
    functions: list[FunctionText]
    bits: dict[str, dict[int, Bit]] = {}


@dataclass(frozen=True, slots=True)
class Register:
    """A status register of a chipset. *first*, *next*: registers in which the chipset keeps which error came first, and which
    after it; *order*: this register is itself the one or the other. *logs*: what the first error left. Of *mask* a set bit masks,
    of *severities* a set bit is fatal; *pointer* holds the number of the first bit. *ignore*: bits that are no error.
    """

    chipset: str
    family: str
    location: Location
    name: str
    title: str
    bits: Mapping[int, Bit]
    severity: Severity
    first: Location | None
    next: Location | None
    order: Order | None
    logs: tuple[tuple[str, Location], ...]
    mask: Location | None
    severities: Location | None
    pointer: Location | None
    ignore: int
    proven: Proof

    @property
    def watched(self) -> int:
        """The bits of which each is an error, declared or not."""
        return (1 << 8 * self.location.width) - 1 & ~self.ignore


@dataclass(frozen=True, slots=True)
class Counter:
    """Bits hi:lo of a register that count errors."""

    chipset: str
    family: str
    location: Location
    hi: int
    lo: int
    name: str
    title: str
    leaf: str
    severity: Severity
    proven: Proof

    @property
    def mask(self) -> int:
        """The counter's bits within its register."""
        return (1 << self.hi + 1) - (1 << self.lo)

    def get(self, word: int) -> int:
        """The number in *word*."""
        return (word & self.mask) >> self.lo


@dataclass(frozen=True, slots=True)
class Part:
    """A kind of Function that some chipset has: device IDs first to last of *vendor*; *devfn*: None if anywhere."""

    vendor: int
    first: int
    last: int
    devfn: int | None
    registers: tuple[Register, ...]
    counters: tuple[Counter, ...]

    def is_at(self, vendor: int, device: int, devfn: int) -> bool:
        """True if that Function is one."""
        return vendor == self.vendor and self.first <= device <= self.last and self.devfn in (None, devfn)


@dataclass(frozen=True, slots=True)
class Chipset:
    """One file, read: *name* is the file's, *source* says where its facts are from."""

    name: str
    title: str
    family: str
    source: str
    parts: tuple[Part, ...]


_DEVFN = re.compile(r"([01]?[0-9a-f])\.([0-7])")


@cache
def read(path: Path) -> Chipset:
    """The chipset of one file; ValueError that names file and place if it is wrong."""
    data = path.read_bytes()
    try:
        text = msgspec.json.decode(data if path.suffix == ".json" else _compiled(data), type=ChipsetText)
        parts = tuple(part for number, function in enumerate(text.functions) for part in _parts(path.stem, text, function, number))
    except ValueError as err:
        raise ValueError(f"{path}: {err}") from err
    return Chipset(path.stem, text.title, text.family, text.source, parts)


@cache
def parts_of(vendor: int, device: int, devfn: int) -> tuple[Part, ...]:
    """What the tables know of a Function with these IDs at device.function *devfn*. Files that do not name it stay unread."""
    return tuple(part for path in naming(vendor, device) for part in read(path).parts if part.is_at(vendor, device, devfn))


def _compiled(data: bytes) -> bytes:
    import yaml  # noqa: PLC0415 # in a checkout only: the built wheel has JSON

    try:
        return json.dumps(yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))).encode()
    except (yaml.YAMLError, TypeError, RecursionError) as err:
        raise ValueError(" ".join(f"not YAML: {err}".split())) from err


def _parts(chipset: str, text: ChipsetText, function: FunctionText, number: int) -> Iterator[Part]:
    try:
        registers = tuple(_register(chipset, text, row) for row in function.registers)
        counters = tuple(_counter(chipset, text, row) for row in function.counters)
        devfn = _devfn(function.at)
        for entry in function.ids:
            vendor, first, last = _identity(entry)
            yield Part(vendor, first, last, devfn, registers, counters)
    except ValueError as err:
        raise ValueError(f"$.functions[{number}]: {err}") from err


def _identity(entry: str) -> tuple[int, int, int]:
    match = ID.fullmatch(entry)
    if match is None:
        raise ValueError(f"ids: {entry!r} is neither vendor:device nor vendor:first-last, as 8086:3400-3407")
    return numbers(match)


def _devfn(at: str) -> int | None:
    match = _DEVFN.fullmatch(at)
    if at and match is None:
        raise ValueError(f"at: {at!r} is no device.function, as 10.1")
    return int(match[1], 16) << 3 | int(match[2]) if match else None


def _register(chipset: str, text: ChipsetText, row: RegisterText) -> Register:
    if row.bits not in text.bits:
        raise ValueError(f"{row.name}: no table {row.bits!r} below bits")
    at = _location(row.at)
    bits = text.bits[row.bits]
    if beyond := [bit for bit in bits if not 0 <= bit < 8 * at.width or row.ignore >> bit & 1]:
        raise ValueError(f"{row.name}: bits {beyond} of {row.bits} lie outside {row.at} or are ignored")
    return Register(
        chipset, text.family, at, row.name, row.title, bits, row.severity, _maybe(row.first), _maybe(row.next), row.order,
        tuple(sorted(((name, _location(where)) for name, where in row.logs.items()), key=itemgetter(1))),
        _maybe(row.mask), _maybe(row.severities), _maybe(row.pointer), row.ignore, row.proven,
    )  # fmt: skip


def _counter(chipset: str, text: ChipsetText, row: CounterText) -> Counter:
    at, (hi, lo) = _location(row.at), row.field
    if not 0 <= lo <= hi < 8 * at.width:
        raise ValueError(f"{row.name}: no bits {hi}:{lo} in {row.at}")
    return Counter(chipset, text.family, at, hi, lo, row.name, row.title, row.leaf, row.severity, row.proven)


def _maybe(text: str) -> Location | None:
    return _location(text) if text else None


def _location(text: str) -> Location:
    location = Location.parse(text)
    if location.capability:
        raise ValueError(f"{text!r} is no offset from the start of configuration space")
    return location
