"""The reports of a log as a person reads them: the worst Function first, repeats folded, words before numbers, lines to look up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pcifma.cli.meaning import meaning
from pcifma.cli.name import names_of
from pcifma.cli.severity import COLOURS, MARGIN, ORDER, SHORT_NAMES, WORDS, line
from pcifma.cli.text import clean, plural
from pcifma.event.case import ListEvent
from pcifma.event.ereport import Ereport
from pcifma.event.value import FABRIC_CLASS, UNREAD_CLASS

# A storm of millions has few kinds; what comes after so many is counted, not shown.
_KINDS = 2000
_UNKNOWN_ID = (0xFFFF, 0xFFFF)
_INDENT = " " * (MARGIN + 2)
_PROCESSOR, _MEMORY = "ereport.cpu.", "ereport.memory."
_CXL = "the CXL link or memory behind it: this device's RAS registers, which configuration space does not have"
_NO_FUNCTIONS = (_PROCESSOR, _MEMORY)
_PLACES = {
    "address": "physical address 0x", "reporter": "PCI Function ", "label": "", "unit": "",
    "chip": "socket ", "channel": "channel ", "dimm": "DIMM ",
}  # fmt: skip


@dataclass(slots=True)
class _Kind:
    # One error bit of one Function, however often the log reports it. *lines*: of the first and the last report.
    event: Ereport
    times: int = 0
    lines: tuple[int, int] = (0, 0)
    header: str = ""
    doubts: tuple[str, ...] = ()


@dataclass(slots=True)
class _Found:
    kinds: dict[tuple[str, ...], _Kind] = field(default_factory=dict)
    ids: dict[str, tuple[int, int]] = field(default_factory=dict)
    faults: list[ListEvent] = field(default_factory=list)
    more: int = 0

    def add(self, event: Ereport | ListEvent) -> None:
        if isinstance(event, ListEvent):
            if len(self.faults) < _KINDS:
                self.faults.append(event)
        elif event.class_ == FABRIC_CLASS:
            self._identify(event)
        else:
            self._count(event)

    def _identify(self, event: Ereport) -> None:
        found = event.payload.get("vendor_id"), event.payload.get("device_id")
        if isinstance(found[0], int) and isinstance(found[1], int) and found != _UNKNOWN_ID and len(self.ids) < _KINDS:
            self.ids[event.device] = (found[0], found[1])

    def _count(self, event: Ereport) -> None:
        payload = event.payload
        key = (
            _place(event),
            event.class_,
            event.severity,
            *(str(payload.get(k)) for k in ("register", "bit", "masked", "reason", "label")),
            str(event.residue),
        )
        kind = self.kinds.get(key)
        if kind is None:
            if len(self.kinds) >= _KINDS:
                self.more += 1
                return
            kind = self.kinds[key] = _Kind(event)
        at = payload.get("line")
        number = at if isinstance(at, int) else 0
        kind.times += event.count
        kind.lines = (kind.lines[0] or number, number)
        kind.header = kind.header or str(payload.get("tlp", ""))
        doubts = payload.get("doubts")
        kind.doubts = kind.doubts or (tuple(str(d) for d in doubts) if isinstance(doubts, list) else ())


def _place(event: Ereport) -> str:
    if not event.payload.get("unaddressed"):
        return event.device
    return "a processor that is not named" if event.class_.startswith(_PROCESSOR) else "a Function without address"


def sheet(name: str, events: Iterable[Ereport | ListEvent]) -> Iterator[str]:
    """The lines of the report."""
    found = _Found()
    for event in events:
        found.add(event)
    yield _heading(name, found)
    for fault in found.faults:
        yield from _fault(fault)
    yield from _by_place(found)
    if found.more:
        yield line("more", f"{plural(found.more, 'report')} of other kinds: pcifma decode --log FILE --json has all of them")


def _heading(name: str, found: _Found) -> str:
    times = sum(kind.times for kind in found.kinds.values())
    if not times and not found.faults:
        return f"{clean(name)}  no error report of a known form"
    places = {_place(kind.event) for kind in found.kinds.values()}
    faults = f", {plural(found.faults, 'diagnosed fault')}" if found.faults else ""
    if any(kind.event.class_.startswith(_NO_FUNCTIONS) for kind in found.kinds.values()):
        return f"{clean(name)}  {plural(times, 'reported error')} at {plural(places, 'place')}{faults}"
    return f"{clean(name)}  {plural(times, 'reported bit')} of {plural(places, 'Function')}{faults}"


def _fault(fault: ListEvent) -> Iterator[str]:
    yield line("FAULT", f"{clean(fault.code)}  case {clean(fault.uuid)}  {clean(fault.severity)}", "red")
    for suspect in fault.fault_list:
        where = "  ".join(filter(None, (clean(suspect.device), clean(suspect.location))))
        yield f"{_INDENT}{suspect.certainty}%  {clean(suspect.class_)}  {where}".rstrip()


def _by_place(found: _Found) -> Iterator[str]:
    places: dict[str, list[_Kind]] = {}
    for kind in found.kinds.values():
        places.setdefault(_place(kind.event), []).append(kind)
    named = names_of(found.ids.values())
    for place in sorted(places, key=lambda p: min(_rank(k.event) for k in places[p])):
        kinds = sorted(places[place], key=lambda k: _rank(k.event))
        worst = kinds[0].event
        who = clean(named[found.ids[place]]) if place in found.ids else ""
        yield line(_word(worst), "  ".join(filter(None, (place, who))), None if worst.residue else COLOURS.get(worst.severity))
        for kind in kinds:
            yield from _bit(kind)


def _rank(event: Ereport) -> int:
    return ORDER.index(event.severity)


def _word(event: Ereport) -> str:
    if event.class_ == UNREAD_CLASS:
        return "GONE"
    return "residue" if event.residue else WORDS[event.severity]


def _bit(kind: _Kind) -> Iterator[str]:
    event, payload = kind.event, kind.event.payload
    if event.class_ == UNREAD_CLASS:
        yield f"{_INDENT}{payload.get('remedy')}  {_when(kind)}"
        return
    register = str(payload.get("register", ""))
    marks = "".join(f" ({mark})" for mark, there in (("masked", payload.get("masked")), ("residue", event.residue)) if there)
    leaf = event.class_.removeprefix("ereport.io.pciex.").removeprefix("ereport.")
    what = f"{WORDS[event.severity].lower()}  {leaf}  {_evidence(event, register)}{marks}"
    yield f"{_INDENT}{clean(str(payload.get('name', 'undefined bit')))}  {what}  {_when(kind)}"
    if text := _CXL if register.startswith("cxl_ras_") else meaning(event.class_):
        yield f"{_INDENT}  {text}"
    if reason := payload.get("reason"):
        source = f", from {payload['source']}" if payload.get("source-valid") and "source" in payload else ""
        yield f"{_INDENT}  reason: {clean(f'{reason}{source}')}"
    if where := _where(event):
        yield f"{_INDENT}  {'first ' if kind.times > 1 else ''}at {clean(where)}"
    if kind.header:
        yield f"{_INDENT}  header: {clean(kind.header)}"
    for doubt in kind.doubts:
        yield f"{_INDENT}  the text contradicts itself: {clean(doubt)}"


def _evidence(event: Ereport, register: str) -> str:
    bit = event.payload.get("bit")
    if event.class_.startswith(_PROCESSOR) and isinstance(bit, int):
        return f"{register.removeprefix('mce:')} code {bit:#06x}"
    return register if event.class_.startswith(_MEMORY) else f"{SHORT_NAMES.get(register, register)} bit {bit}"


def _where(event: Ereport) -> str:
    # Of a processor's or memory's error: what leads to the part.
    payload = event.payload
    if not event.class_.startswith(_NO_FUNCTIONS):
        return ""
    told = ((prefix, payload[name]) for name, prefix in _PLACES.items() if name in payload)
    return ", ".join(f"{prefix}{value}" for prefix, value in told)


def _when(kind: _Kind) -> str:
    first, last = kind.lines
    lines = f"line {first}" if first == last else f"lines {first} to {last}"
    return lines if kind.times == 1 else f"{kind.times} times, {lines}"
