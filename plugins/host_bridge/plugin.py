"""Error registers of host bridges, memory controllers and root complexes that stand in no specification: the vendors' own.

What is where, chipset by chipset, is data (chipset/). Only what a table declares is read, and only on the Functions that it names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from pcifma.plugin import Evidence, Fabric, Finding, Function, Host, Location, PayloadValue, Read, Severity, Snapshot, Target, Watch

from .index import naming

if TYPE_CHECKING:
    from .table import Bit, Counter, Order, Part, Register

IDENTITY = Location("", 0, 4)
UNKNOWN = "ereport.io.hb.unknown"


def watches(fabric: Fabric, host: Host) -> Iterable[Watch]:
    """Each register that a table declares for a Function of the fabric, as far as the Function can be read."""
    for function in fabric:
        for part in _parts(function.vendor, function.device, function.bdf.devfn):
            yield from _watches_of(function, part)


def _parts(vendor: int, device: int, devfn: int) -> tuple[Part, ...]:
    if not naming(vendor, device):
        return ()
    from .table import parts_of  # noqa: PLC0415 - most machines have none of these chipsets

    return parts_of(vendor, device, devfn)


def _watches_of(function: Function, part: Part) -> Iterator[Watch]:
    target = Target.function(function.bdf)
    for register in part.registers:
        if _reaches(function, register.location):
            reads = tuple(read for read in _reads(register) if _reaches(function, read.location))
            yield Watch(target, register.location, register.watched, reads=reads)
    for counter in part.counters:
        if _reaches(function, counter.location):
            yield Watch(target, counter.location, counter.mask, when="count")


def _reaches(function: Function, location: Location) -> bool:
    return location.offset + location.width <= function.size


def _reads(register: Register) -> Iterator[Read]:
    # Who was first, then the details, then the status and who was first again: if those changed, the details are of a later error.
    yield Read(register.location, again=True)
    for location in (register.first, register.pointer):
        if location is not None:
            yield Read(location, again=True)
    for location in (*(where for _, where in register.logs), register.next, register.mask, register.severities):
        if location is not None:
            yield Read(location)


def normalise(now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
    """One finding for each set bit that is not ignored, and for each counter that has moved."""
    identity = now.word(IDENTITY)
    if identity is None or now.target.kind != "function":
        return
    for part in _parts(identity & 0xFFFF, identity >> 16, now.target.bdf.devfn):
        for register in part.registers:
            yield from _set_bits(now, register)
        for counter in part.counters:
            yield from _counted(now, before, counter)


def _set_bits(now: Snapshot, register: Register) -> Iterator[Finding]:
    word = now.word(register.location)
    if word is None or word == (1 << 8 * register.location.width) - 1:
        return  # not there, or hidden by firmware: all ones is never that many errors
    for number in range(8 * register.location.width):
        if word & register.watched & 1 << number:
            yield _finding(now, register, number)


def _finding(now: Snapshot, register: Register, number: int) -> Finding:
    evidence, bit = Evidence(now.target, register.location, number), register.bits.get(number)
    payload = _payload(now, register, number)
    if bit is None:
        return Finding(UNKNOWN, evidence, "info", payload, residue=not register.proven)
    severity = _severity(now, register, number, bit)
    residue = bit.residue and severity != "fatal"
    return Finding(f"ereport.io.hb.{register.family}.{bit.leaf}", evidence, severity, {"name": bit.title, **payload}, residue)


def _severity(now: Snapshot, register: Register, number: int, bit: Bit) -> Severity:
    word = _word(now, register.severities)
    if word is not None:
        return "fatal" if word >> number & 1 else "nonfatal"
    return bit.severity or register.severity


def _payload(now: Snapshot, register: Register, number: int) -> dict[str, PayloadValue]:
    order, torn = _order(now, register, number), _is_torn(now, register)
    payload = _said(register)
    if order is not None:
        payload["order"] = order
    if (_word(now, register.mask) or 0) >> number & 1:
        payload["masked"] = True
    if torn:
        payload["torn"] = True
    elif order != "next":
        payload |= {name: now.word(where) for name, where in register.logs if now.word(where) is not None}
    return payload


def _said(row: Register | Counter) -> dict[str, PayloadValue]:
    said: dict[str, PayloadValue] = {"chipset": row.chipset, "register-name": row.name}
    return said if row.proven else said | {"unproven": True}


def _order(now: Snapshot, register: Register, number: int) -> Order | None:
    if register.order is not None:
        return register.order
    if (pointer := _word(now, register.pointer)) is not None and pointer & 0x1F == number:
        return "first"
    first, later = _word(now, register.first) or 0, _word(now, register.next) or 0
    if first >> number & 1:
        return "first"
    return "next" if later >> number & 1 else None


def _is_torn(now: Snapshot, register: Register) -> bool:
    return bool({register.location, register.first, register.pointer} & now.torn)


def _word(now: Snapshot, location: Location | None) -> int | None:
    return None if location is None else now.word(location)


def _counted(now: Snapshot, before: Snapshot | None, counter: Counter) -> Iterator[Finding]:
    word = now.word(counter.location)
    if word is None or word == (1 << 8 * counter.location.width) - 1:
        return
    last = before.word(counter.location) if before is not None else None
    value, base = counter.get(word), counter.get(last or 0)
    moved = value - base if value >= base else value  # it wrapped or was cleared: at least so many
    if moved:
        payload = {"name": counter.title, **_said(counter)}
        evidence = Evidence(now.target, counter.location, counter.lo)
        yield Finding(f"ereport.io.hb.{counter.family}.{counter.leaf}", evidence, counter.severity, payload, count=moved)
