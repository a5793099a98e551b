"""Reading: one target's declared registers, in their declared order, as few reads as adjacency allows, and nothing else."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple, Protocol

from pcifma.access.seam import Machine
from pcifma.errors import BusyError, GoneError, ReadError, ShortReadError
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.function import Function
from pcifma.plugin.watch import Read, Target, Watch
from pcifma.regs.bdf import Bdf
from pcifma.regs.table import Location

IDENTITY, COMMAND_STATUS = Location("", 0, 4), Location("", 4, 4)
PRESENCE = (IDENTITY, COMMAND_STATUS)  # both all ones: nobody answers. A Virtual Function's identity alone is all ones too (SR-IOV 3.4.1.1)
_ONES = b"\xff\xff\xff\xff"
_HALF_ONES = b"\xff\xff"
_REQUEST_RETRY = b"\x01\x00"  # Vendor ID of a Function that is not ready yet (PCIe Base Spec 2.3.1, RRS Software Visibility)
_READ_AGAIN_LIMIT = 3


class Span(NamedTuple):
    """Adjacent registers of one Function, read in one go. *other* is the target it belongs to, None for the plan's own."""

    other: Target | None
    offset: int
    length: int
    parts: tuple[tuple[Location, int], ...]


_PRESENCE = Span(None, 0, 8, ((IDENTITY, 0), (COMMAND_STATUS, 4)))


class Plan(NamedTuple):
    """Everything to read of one target, in order; *again* is read once more at the end. Functions of one shape share it.

    *facts* go with its snapshots; those of *triggers* are looked at by themselves; *counting*: it has counters; *holding*: it has
    watches that are about time. *silence*: the bits
    of all spans in a row, as one little-endian number, that are clear where nothing is wrong; None where bits alone cannot tell.
    """

    spans: tuple[Span, ...] = ()
    again: tuple[Span, ...] = ()
    facts: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()
    counting: bool = False
    holding: bool = False
    silence: int | None = None


class Words:
    """What a plan read of *target*. *unread* is the reason if the Function could not be looked at, else empty; *short* if a part was
    missing; *torn* what changed between two passes.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.read: list[tuple[Span, bytes]] = []
        self.torn: set[Location] = set()
        self.unread = ""
        self.short = False
        self.reads = 0
        self._silent: bool | None = None

    def silent(self, plan: Plan) -> bool:
        """True if no bit is set that would make a source speak, and everything could be read; asked for when all is read."""
        if self._silent is None:
            whole = plan.silence is not None and not self.short and not self.unread
            self._silent = whole and not int.from_bytes(b"".join([data for _, data in self.read]), "little") & (plan.silence or 0)
        return self._silent

    @cached_property
    def words(self) -> dict[tuple[Target, Location], int]:
        """The word of each register; asked for when all is read."""
        found: dict[tuple[Target, Location], int] = {}
        for span, data in self.read:
            whose = span.other or self.target
            for location, start in span.parts:
                found[whose, location] = int.from_bytes(data[start : start + location.width], "little")
        return found


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
        if watch.location is not None and not any(read.location == watch.location and read.target is None for read in watch.reads):
            found.setdefault((None, watch.location), False)  # else in the order of its reads
        for read in watch.reads:
            key = (None if read.target == watch.target else read.target, read.location)
            found[key] = found.get(key, False) or read.again
    return [Wanted(other, location, again) for (other, location), again in found.items()]


class Claimant(Protocol):
    """Who has a watch."""

    @property
    def bits_only(self) -> bool:
        """True if nothing but set bits of its watches makes it speak."""


class Planner:
    """Compiles plans for one fabric, each shape of Function and watches once."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self._known: dict[Hashable, tuple[Plan, tuple[Target, ...]]] = {}
        self._foreign: dict[int, tuple[tuple[Read, ...], tuple[Target, ...]]] = {}  # with the tuple, so that its identity stays its own

    def plan(self, target: Target, claims: Sequence[tuple[Claimant, Watch]]) -> Plan:
        """What to read of *target*: names become offsets, adjacent registers one span; what a Function lacks is left out."""
        function = self._fabric.get(target.bdf) if target.kind == "function" else None
        others = tuple(dict.fromkeys([other for _, watch in claims for other in self._others(watch)]))
        shape = (
            id(function and function.capabilities),
            target.kind,
            tuple([(c.bits_only, id(w.location), *w[2:6], _reads(w, others), w.facts) for c, w in claims]),
            tuple(map(self._capabilities, others)),
        )
        known = self._known.get(shape)
        if known is None:
            known = self._known[shape] = (self._compile(function, claims), others)
        plan, stood = known
        return plan if others == stood else _instead(plan, dict(zip(stood, others, strict=True)))

    def _others(self, watch: Watch) -> tuple[Target, ...]:
        # The other targets that *watch* reads. Most tuples of reads are the plugins' constants: each is looked through once.
        known = self._foreign.get(id(watch.reads))
        if known is None:
            others = tuple(read.target for read in watch.reads if read.target is not None)
            known = self._foreign[id(watch.reads)] = (watch.reads, others)
        return known[1]

    def _capabilities(self, target: Target) -> object:
        function = self._fabric.get(target.bdf) if target.kind == "function" else None
        return id(function and function.capabilities)

    def _compile(self, own: Function | None, claims: Sequence[tuple[Claimant, Watch]]) -> Plan:
        watches = [watch for _, watch in claims]
        every: list[Span] = []
        again: list[Span] = []
        for one in declared(watches):
            function = own if one.other is None else self._fabric.get(one.other.bdf) if one.other.kind == "function" else None
            span = _span(function, one)
            if span is None:
                continue
            if every and _within(every[0], span):
                every[0] = every[0]._replace(parts=(*every[0].parts, (one.location, span.offset)))
            elif every and _adjacent(every[-1], span):
                every[-1] = _joined(every[-1], span)
            else:
                every.append(span)
            if one.again:
                again.append(span)
        triggers = _facts(watch for watch in watches if watch.location is None)
        counting = any(watch.when == "count" for watch in watches)
        return Plan(tuple(every), tuple(again), _facts(watches), triggers, counting, any(map(is_held, watches)), _silence(every, claims))


def _reads(watch: Watch, others: tuple[Target, ...]) -> Hashable:
    # Reads, locations and capabilities live as long as the fabric and its watches do, and most of them are shared: identity is enough.
    # Reads that name another target are made anew for each, of constants.
    if not others:
        return id(watch.reads)
    return tuple([(id(r.location), r.again, None if r.target is None else others.index(r.target)) for r in watch.reads])


def _instead(plan: Plan, others: Mapping[Target, Target]) -> Plan:
    # The plan of a target of the same shape whose *others* are other ones.
    return plan._replace(
        spans=tuple(span if span.other is None else span._replace(other=others[span.other]) for span in plan.spans),
        again=tuple(span if span.other is None else span._replace(other=others[span.other]) for span in plan.again),
    )


def is_held(watch: Watch) -> bool:
    """True if *watch* is about time: a bit that stays set, or clear."""
    return watch.when == "stays" or (watch.when == "clear" and watch.hold > 0)


def _facts(watches: Iterable[Watch]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(path for watch in watches for path in watch.facts))


def _silence(spans: Iterable[Span], claims: Iterable[tuple[Claimant, Watch]]) -> int | None:
    starts: dict[Location, int] = {}
    at = 0
    for span in spans:
        starts.update((location, at + start) for location, start in span.parts if span.other is None)
        at += span.length
    mask = 0
    for claimant, watch in claims:
        if watch.tier == "event":
            continue  # speaks of records, not of registers
        if claimant.bits_only and watch.when == "change":
            continue  # where there is no snapshot before, there is no change
        if not claimant.bits_only or watch.when != "set" or watch.location is None:
            return None
        if watch.location in starts:
            mask |= (watch.mask & (1 << 8 * watch.location.width) - 1) << 8 * starts[watch.location]
    return mask


def _span(function: Function | None, wanted: Wanted) -> Span | None:
    location = wanted.location
    base = function.offset_of(location.capability, location.number) if function is not None else None
    return None if base is None else Span(wanted.other, base + location.offset, location.width, ((location, 0),))


def _within(first: Span, second: Span) -> bool:
    # Command and Status are in what tells whether anybody answers.
    return first.other == second.other and first.offset == 0 and second.offset + second.length <= first.length


def _adjacent(first: Span, second: Span) -> bool:
    return first.other == second.other and first.offset + first.length == second.offset


def _joined(first: Span, second: Span) -> Span:
    parts = first.parts + tuple((location, start + first.length) for location, start in second.parts)
    return Span(first.other, first.offset, first.length + second.length, parts)


def take(machine: Machine, target: Target, plan: Plan) -> Words:
    """Read the plan of *target*; where a source will speak, registers flagged `again` are read until two passes agree, at most three
    times.
    """
    reading = _Reading(machine, target)
    got = reading.sound(plan)
    for _ in range(_READ_AGAIN_LIMIT - 1):
        if got.unread or not plan.again or got.silent(plan):
            return got
        second = reading.run(plan.again)
        got.reads += second.reads
        torn = {location for (whose, location), word in second.words.items() if got.words.get((whose, location)) != word}
        if not torn:
            return got
        more = reading.sound(plan)
        more.reads += got.reads
        more.torn = torn
        got = more
    return got


def answers(machine: Machine, bdf: Bdf) -> bool:
    """True if somebody answers at *bdf*: one read."""
    return bdf in machine.configs and not _Reading(machine, Target.function(bdf)).run((_PRESENCE,)).unread


class _Reading:
    # One pass after another over spans of one target; a fresh Words each.

    def __init__(self, machine: Machine, target: Target) -> None:
        self._configs = machine.configs
        self._target = target
        self._own = machine.configs.get(target.bdf) if target.kind == "function" else None

    def sound(self, plan: Plan) -> Words:
        """All of *plan*, once; where ones were read, as often as it takes to know that the Function said so, and no bus without it."""
        got = self.run(plan.spans)
        for _ in range(_READ_AGAIN_LIMIT):
            if got.unread or got.silent(plan) or not any(_HALF_ONES in data for _, data in got.read):
                return got
            got.unread = self.run((_PRESENCE,)).unread
            second = got if got.unread else self.run(plan.spans)
            if second.words == got.words:
                return got
            second.reads += got.reads
            got = second
        got.unread = got.unread or "busy"  # it comes and goes
        return got

    def run(self, spans: Iterable[Span]) -> Words:
        got = Words(self._target)
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
        got.read.append((span, data))
        if _ONES in data:
            got.unread = _absent(span, got)

    def _read_parts(self, span: Span, got: Words) -> None:
        # The end of what can be read from here lies inside the span: each register by itself.
        if len(span.parts) == 1:
            got.short = True
            return
        for location, start in span.parts:
            self._read(Span(span.other, span.offset + start, location.width, ((location, 0),)), got)


def _absent(span: Span, got: Words) -> str:
    # Command and Status are all ones, which no register can be: then nobody answers.
    whose = span.other
    words = {
        location: data[start : start + location.width]
        for other, data in got.read
        if other.other == whose
        for location, start in other.parts
        if location in PRESENCE
    }
    if words.get(COMMAND_STATUS) != _ONES:
        return ""
    identity = words.get(IDENTITY, b"")
    if identity[:2] == _REQUEST_RETRY:
        return "busy"
    return "gone" if identity == _ONES else ""


def _reason(err: ReadError) -> str:
    if isinstance(err, GoneError):
        return "gone"
    return err.tag if isinstance(err, BusyError) else "unreadable"  # busy, or slow
