"""Reading: one target's declared registers, in their declared order, as few reads as adjacency allows, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pcifma.access.seam import Machine
from pcifma.errors import BusyError, GoneError, ReadError, ShortReadError
from pcifma.fabric.fabric import Fabric
from pcifma.plugin.watch import Target, Watch
from pcifma.regs.bdf import Bdf
from pcifma.regs.table import Location

IDENTITY, COMMAND_STATUS = Location("", 0, 4), Location("", 4, 4)
PRESENCE = (IDENTITY, COMMAND_STATUS)  # both all ones: nobody answers. A Virtual Function's identity alone is all ones too (SR-IOV 3.4.1.1)
_ALL_ONES = 0xFFFFFFFF
_REQUEST_RETRY = 0x0001  # Vendor ID of a Function that is not ready yet (PCIe Base Spec 2.3.1, RRS Software Visibility)
_READ_AGAIN_LIMIT = 3


@dataclass(frozen=True, slots=True)
class Span:
    """Adjacent registers of one Function, read in one go."""

    bdf: Bdf
    offset: int
    length: int
    parts: tuple[tuple[Target, Location, int], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything to read of one target, in order; *again* is read once more at the end."""

    spans: tuple[Span, ...] = ()
    again: tuple[Span, ...] = ()


@dataclass(slots=True)
class Words:
    """What a plan read. *unread* is the reason if the Function could not be looked at, else empty; *short* if a part was missing."""

    words: dict[tuple[Target, Location], int] = field(default_factory=dict)
    torn: set[Location] = field(default_factory=set)
    unread: str = ""
    short: bool = False
    reads: int = 0


def declared(watches: Iterable[Watch]) -> list[tuple[Target, Location, bool]]:
    """Each (target, location, again) that the watches of one target name, once, in their order, its identity first."""
    found: dict[tuple[Target, Location], bool] = {}
    for watch in watches:
        if watch.target.kind == "function":
            for location in PRESENCE:
                found.setdefault((watch.target, location), False)
        if watch.location is not None:
            found.setdefault((watch.target, watch.location), False)
        for read in watch.reads:
            key = (read.target or watch.target, read.location)
            found[key] = found.get(key, False) or read.again
    return [(target, location, again) for (target, location), again in found.items()]


def plan(fabric: Fabric, wanted: Sequence[tuple[Target, Location, bool]]) -> Plan:
    """Compile *wanted* for this fabric: names become offsets, adjacent registers one span; what a Function lacks is left out."""
    every: list[Span] = []
    again: list[Span] = []
    for target, location, more in wanted:
        span = _span(fabric, target, location)
        if span is None:
            continue
        if every and _adjacent(every[-1], span):
            every[-1] = _joined(every[-1], span)
        else:
            every.append(span)
        if more:
            again.append(span)
    return Plan(tuple(every), tuple(again))


def _span(fabric: Fabric, target: Target, location: Location) -> Span | None:
    if target.kind != "function":
        return None
    function = fabric.get(target.bdf)
    base = function.offset_of(location.capability, location.number) if function is not None else None
    if function is None or base is None:
        return None
    offset = base + location.offset
    return Span(function.bdf, offset, location.width, ((target, location, 0),))


def _adjacent(first: Span, second: Span) -> bool:
    return first.bdf == second.bdf and first.offset + first.length == second.offset


def _joined(first: Span, second: Span) -> Span:
    parts = first.parts + tuple((t, loc, start + first.length) for t, loc, start in second.parts)
    return Span(first.bdf, first.offset, first.length + second.length, parts)


def take(machine: Machine, plan_: Plan) -> Words:
    """Read the plan; registers flagged `again` are read until two passes agree, at most three times."""
    got = _pass(machine, plan_)
    for _ in range(_READ_AGAIN_LIMIT - 1):
        if got.unread or not plan_.again:
            return got
        second = Words()
        for span in plan_.again:
            _read_span(machine, span, second)
        got.reads += second.reads
        got.torn = {location for (target, location), word in second.words.items() if got.words.get((target, location)) != word}
        if not got.torn:
            return got
        more = _pass(machine, plan_)
        more.reads += got.reads
        more.torn = got.torn
        got = more
    return got


def _pass(machine: Machine, plan_: Plan) -> Words:
    got = Words()
    for span in plan_.spans:
        _read_span(machine, span, got)
        if got.unread:
            break
    return got


def _read_span(machine: Machine, span: Span, got: Words) -> None:
    config = machine.configs.get(span.bdf)
    if config is None:
        got.unread = "gone"
        return
    try:
        data = config.read(span.offset, span.length)
    except ShortReadError:
        _read_parts(machine, span, got)
        return
    except ReadError as err:
        got.unread = _reason(err)
        return
    got.reads += 1
    for target, location, start in span.parts:
        word = int.from_bytes(data[start : start + location.width], "little")
        got.words[target, location] = word
        if location == COMMAND_STATUS:
            got.unread = got.unread or _absent(got.words.get((target, IDENTITY), 0), word)


def _read_parts(machine: Machine, span: Span, got: Words) -> None:
    # The end of what can be read from here lies inside the span: each register by itself.
    if len(span.parts) == 1:
        got.short = True
        return
    for target, location, start in span.parts:
        _read_span(machine, Span(span.bdf, span.offset + start, location.width, ((target, location, 0),)), got)


def _absent(identity: int, command_status: int) -> str:
    if identity & 0xFFFF == _REQUEST_RETRY and command_status == _ALL_ONES:
        return "busy"
    return "gone" if identity == command_status == _ALL_ONES else ""


def _reason(err: ReadError) -> str:
    if isinstance(err, GoneError):
        return "gone"
    return err.tag if isinstance(err, BusyError) else "unreadable"  # busy, or slow
