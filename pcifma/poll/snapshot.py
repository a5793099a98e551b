"""Reading: one target's declared registers, in their declared order, as few reads as adjacency allows, and nothing else."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pcifma.access.seam import Machine
from pcifma.errors import BusyError, GoneError, ReadError, ShortReadError
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.function import Function
from pcifma.plugin.watch import Target, Watch
from pcifma.regs.table import Location

IDENTITY, COMMAND_STATUS = Location("", 0, 4), Location("", 4, 4)
PRESENCE = (IDENTITY, COMMAND_STATUS)  # both all ones: nobody answers. A Virtual Function's identity alone is all ones too (SR-IOV 3.4.1.1)
_ALL_ONES = 0xFFFFFFFF
_REQUEST_RETRY = 0x0001  # Vendor ID of a Function that is not ready yet (PCIe Base Spec 2.3.1, RRS Software Visibility)
_READ_AGAIN_LIMIT = 3


class Span(NamedTuple):
    """Adjacent registers of one Function, read in one go. *other* is the target it belongs to, None for the plan's own."""

    other: Target | None
    offset: int
    length: int
    parts: tuple[tuple[Location, int], ...]


class Plan(NamedTuple):
    """Everything to read of one target, in order; *again* is read once more at the end. Functions of one shape share it."""

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


class Wanted(NamedTuple):
    """One register to read: of the plan's own target, or of an *other*; *again* once more at the end."""

    other: Target | None
    location: Location
    again: bool


def declared(watches: Iterable[Watch]) -> list[Wanted]:
    """Each register that the watches of one target name, once, in their order, its identity first."""
    found: dict[tuple[Target | None, Location], bool] = {}
    for watch in watches:
        if watch.target.kind == "function":
            for location in PRESENCE:
                found.setdefault((None, location), False)
        if watch.location is not None:
            found.setdefault((None, watch.location), False)
        for read in watch.reads:
            key = (None if read.target == watch.target else read.target, read.location)
            found[key] = found.get(key, False) or read.again
    return [Wanted(other, location, again) for (other, location), again in found.items()]


class Planner:
    """Compiles plans for one fabric, each shape of Function and watches once."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self._known: dict[Hashable, Plan] = {}

    def plan(self, target: Target, watches: Sequence[Watch]) -> Plan:
        """What to read of *target*: names become offsets, adjacent registers one span; what a Function lacks is left out."""
        function = self._fabric.get(target.bdf) if target.kind == "function" else None
        # The tuples of reads are the plugins' constants, alive as long as the watches are: their identity is enough.
        shape = (function and function.capabilities, tuple((w.location, id(w.reads), w.target.kind) for w in watches))
        if shape not in self._known or any(read.target is not None for watch in watches for read in watch.reads):
            self._known[shape] = self._compile(function, declared(watches))
        return self._known[shape]

    def _compile(self, own: Function | None, wanted: Iterable[Wanted]) -> Plan:
        every: list[Span] = []
        again: list[Span] = []
        for one in wanted:
            function = own if one.other is None else self._fabric.get(one.other.bdf) if one.other.kind == "function" else None
            span = _span(function, one)
            if span is None:
                continue
            if every and _adjacent(every[-1], span):
                every[-1] = _joined(every[-1], span)
            else:
                every.append(span)
            if one.again:
                again.append(span)
        return Plan(tuple(every), tuple(again))


def _span(function: Function | None, wanted: Wanted) -> Span | None:
    location = wanted.location
    base = function.offset_of(location.capability, location.number) if function is not None else None
    return None if base is None else Span(wanted.other, base + location.offset, location.width, ((location, 0),))


def _adjacent(first: Span, second: Span) -> bool:
    return first.other == second.other and first.offset + first.length == second.offset


def _joined(first: Span, second: Span) -> Span:
    parts = first.parts + tuple((location, start + first.length) for location, start in second.parts)
    return Span(first.other, first.offset, first.length + second.length, parts)


def take(machine: Machine, target: Target, plan: Plan) -> Words:
    """Read the plan of *target*; registers flagged `again` are read until two passes agree, at most three times."""
    reading = _Reading(machine, target)
    got = reading.run(plan.spans)
    for _ in range(_READ_AGAIN_LIMIT - 1):
        if got.unread or not plan.again:
            return got
        second = reading.run(plan.again)
        got.reads += second.reads
        torn = {location for (whose, location), word in second.words.items() if got.words.get((whose, location)) != word}
        if not torn:
            return got
        more = reading.run(plan.spans)
        more.reads += got.reads
        more.torn = torn
        got = more
    return got


class _Reading:
    # One pass after another over spans of one target; a fresh Words each.

    def __init__(self, machine: Machine, target: Target) -> None:
        self._configs = machine.configs
        self._target = target
        self._own = machine.configs.get(target.bdf) if target.kind == "function" else None

    def run(self, spans: Iterable[Span]) -> Words:
        got = Words()
        for span in spans:
            self._read(span, got)
            if got.unread:
                break
        return got

    def _read(self, span: Span, got: Words) -> None:
        config = self._own if span.other is None else self._configs.get(span.other.bdf)
        if config is None:
            got.unread = "gone"
            return
        try:
            data = config.read(span.offset, span.length)
        except ShortReadError:
            self._read_parts(span, got)
            return
        except ReadError as err:
            got.unread = _reason(err)
            return
        got.reads += 1
        whose, words = span.other or self._target, got.words
        for location, start in span.parts:
            word = words[whose, location] = int.from_bytes(data[start : start + location.width], "little")
            if location == COMMAND_STATUS and word == _ALL_ONES:
                got.unread = got.unread or _absent(words.get((whose, IDENTITY), 0))

    def _read_parts(self, span: Span, got: Words) -> None:
        # The end of what can be read from here lies inside the span: each register by itself.
        if len(span.parts) == 1:
            got.short = True
            return
        for location, start in span.parts:
            self._read(Span(span.other, span.offset + start, location.width, ((location, 0),)), got)


def _absent(identity: int) -> str:
    # Command and Status are all ones, which no register can be.
    if identity & 0xFFFF == _REQUEST_RETRY:
        return "busy"
    return "gone" if identity == _ALL_ONES else ""


def _reason(err: ReadError) -> str:
    if isinstance(err, GoneError):
        return "gone"
    return err.tag if isinstance(err, BusyError) else "unreadable"  # busy, or slow
