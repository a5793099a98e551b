"""Reports of a log take the road of a look: their words make a Snapshot, the source plugins say what it means, the core makes the
ereports. Each report is a look of its own (its `tick`), since whoever wrote it has cleared what it saw, or printed all there was.

One error that a log tells twice, by the kernel's line and by its tracepoint, is one ereport with two sources. Memory is bounded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace

import msgspec

from pcifma.access.clock import EPOCH_2000_NS
from pcifma.access.kernlog.evidence import shown
from pcifma.access.kernlog.report import AerError, AerEvent, AnyReport, BankText, FmaFault, GhesRecord, MemoryText
from pcifma.access.kernlog.sight import CE, CE_MASK, SECONDARY, UE, UE_MASK, UE_SEVERITY, Condition, Shown
from pcifma.access.seam import MCE_RECORD, Record
from pcifma.event.case import ListEvent
from pcifma.event.ereport import Ereport
from pcifma.event.value import PayloadValue, Severity
from pcifma.fabric import fmri
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.function import Function
from pcifma.plugin.bits import error_bits
from pcifma.plugin.guard import Guard
from pcifma.plugin.loader import Plugin
from pcifma.plugin.watch import HOST, Evidence, Finding, Snapshot, Target
from pcifma.poll import memory_text
from pcifma.poll.absence import REMEDIES
from pcifma.poll.diagnosed import case
from pcifma.poll.ereport import Maker, described
from pcifma.poll.subject import Moment, Seen, Subject
from pcifma.regs.bdf import Bdf
from pcifma.regs.catalogue import register_at
from pcifma.regs.exp import DevType
from pcifma.regs.table import Location

NOWHERE = Bdf(0, 0, 0, 0)
_BRIDGES = frozenset({DevType.ROOT_PORT, DevType.UPSTREAM_PORT, DevType.DOWNSTREAM_PORT, DevType.PCIE_TO_PCI_BRIDGE})
_FATAL_BY_DEFAULT = 0x00462030  # Uncorrectable Error Severity after reset (PCIe Base Spec 7.8.4.4)
_PAIR_WINDOW = 32  # reports between the kernel's line and its tracepoint's, or firmware's record and the kernel's reading of it
_53_BITS = 1 << 53


@dataclass(slots=True)
class Told:
    """A report, what it shows, and in which ways the log tells it. *label*: the memory module, where another report names it. *read*: the
    Functions of firmware's record that the kernel's own lines have repeated.
    """

    report: AnyReport
    shown: tuple[Shown, ...]
    sources: list[str]
    label: str = ""
    read: frozenset[Bdf] = frozenset()


def told(reports: Iterable[AnyReport], source: str = "log") -> Iterator[Told]:
    """Reports with those taken together that tell one error twice."""
    window: deque[Told] = deque()
    for report in memory_text.with_sections(reports):
        new = Told(report, tuple(shown(report)), [source])
        if isinstance(report, AerEvent) and _merged(report, window):
            continue
        if isinstance(report, MemoryText) and _known(report, window):
            continue
        if isinstance(report, AerError) and _explained(report, window):
            continue
        window.append(new)
        if len(window) > _PAIR_WINDOW:
            yield window.popleft()
    yield from window


def _merged(event: AerEvent, window: deque[Told]) -> bool:
    # The tracepoint fires once for each Function that the kernel prints, with the unmasked bits and the same severity.
    for earlier in window:
        if "aer_event" not in earlier.sources and _told_by(earlier, event):
            earlier.sources.append("aer_event")
            return True
    return False


def _told_by(earlier: Told, event: AerEvent) -> bool:
    if isinstance(earlier.report, AerError):
        return _same(earlier.report, event)
    return isinstance(earlier.report, GhesRecord) and any(_shows(sight, event) for sight in earlier.shown)


def _known(error: MemoryText, window: deque[Told]) -> bool:
    for earlier in reversed(window):
        if error.teller not in earlier.sources and memory_text.same(error, earlier.report, last=earlier is window[-1]):
            own = [earlier.report.teller] if isinstance(earlier.report, MemoryText) else []
            earlier.sources += [name for name in (*own, error.teller) if name not in earlier.sources]
            earlier.label = earlier.label or error.label
            return True
    return False


def _same(error: AerError, event: AerEvent) -> bool:
    unmasked = (error.status or 0) & ~(error.mask or 0)
    return (error.bdf, error.severity) == (event.bdf, event.severity) and event.status in (0, unmasked)


def _explained(error: AerError, window: deque[Told]) -> bool:
    # Firmware's record, and the kernel's line about it, are one error, whichever has the AER registers; a line without a bit adds nothing.
    # Kernels print not every record that comes again, but the line each time.
    if error.origin != "apei":
        return False
    records = [earlier for earlier in window if isinstance(earlier.report, GhesRecord) and any(s.bdf == error.bdf for s in earlier.shown)]
    if not error.status and not error.printed:
        return bool(records)
    for earlier in records:
        if error.bdf not in earlier.read and any(_has(sight, error) for sight in earlier.shown):
            earlier.read |= {error.bdf}
            return True
    for earlier in records:
        earlier.shown = tuple(replace(s, conditions=()) if s.bdf == error.bdf else s for s in earlier.shown)
    return False


def _shows(sight: Shown, event: AerEvent) -> bool:
    status, mask = (CE, CE_MASK) if event.severity == "correctable" else (UE, UE_MASK)
    unmasked = sight.words.get(status, 0) & ~sight.words.get(mask, 0)
    return sight.bdf == event.bdf and unmasked != 0 and event.status in (0, unmasked)


def _has(sight: Shown, error: AerError) -> bool:
    return sight.bdf == error.bdf and error.status in (sight.words.get(UE), sight.words.get(CE))


class Logged:
    """Makes the events of one log. *name* stands for the host, *boot* is the log's identity, *source* where the words come from.

    A Function with nothing to say makes no snapshot, unless *every* is asked for.
    """

    def __init__(self, name: str, boot: str, plugins: Sequence[Plugin], *, source: str = "log", every: bool = False) -> None:
        self._source, self._every = source, every
        self.maker = Maker(name, boot, Fabric(boot, {}))
        self._plugins = [(plugin, Guard(plugin.name, self._set_aside)) for plugin in plugins]
        self._failures: list[tuple[str, BaseException]] = []
        self._tick = 0

    def events(self, reports: Iterable[AnyReport]) -> Iterator[Ereport | ListEvent]:
        """The ereports (and, of another fault manager's faults, cases) of *reports*, in their order."""
        for one in told(reports, self._source):
            when = _moment(one.report, self._tick)
            for sight in one.shown:
                yield from self._of(sight, one, when)
            if isinstance(one.report, BankText):
                yield from self._bank(one.report, one, when)
            if isinstance(one.report, MemoryText):
                yield self._memory(one.report, one, when)
            if isinstance(one.report, FmaFault):
                yield case(one.report, self.maker, when)
            yield from (self.maker.module(name, error, when) for name, error in self._failures)
            self._failures.clear()
            self._tick += 1

    def _of(self, sight: Shown, one: Told, when: Moment) -> Iterator[Ereport]:
        function = _function(sight)
        self.maker.fabric = Fabric(self.maker.boot, {function.bdf: function})
        subject = Subject(Target.function(function.bdf), fmri.identity(self.maker.fabric, function), function)
        seen = Seen(when, None, sight.state)
        note = _note(sight, one)
        if sight.gone:
            yield self._marked(self.maker.unread(subject, "gone", REMEDIES["gone"], seen, occurrence=when.tick), one, note)
        found = [*self._findings(sight, subject, when), *((_condition(c, subject.target), "core") for c in sight.conditions)]
        if found or self._every:
            words = {(subject.target, location): word for location, word in sight.words.items()}
            yield self._marked(self.maker.snapshot_of(subject, words, seen), one, note)
            for finding, plugin in found:
                looked = Seen(when, None, True) if finding.evidence.location in sight.standing else seen
                event = self.maker.ereport(finding._replace(count=sight.count), subject, looked, occurrence=when.tick, plugin=plugin)
                yield self._marked(event, one, note)
        self.maker.snapshot += 1

    def _bank(self, report: BankText, one: Told, when: Moment) -> Iterator[Ereport]:
        target = Target("cpu", report.fields.get("cpu", "0"))
        now = Snapshot(target, when.tick, when.boot_ns, {}, record=Record(MCE_RECORD, report.fields, when.boot_ns))
        subject = Subject(target, str(target), None)
        for plugin, guard in self._plugins:
            for finding in guard.call(_normalise, plugin, now) or ():
                event = self.maker.ereport(
                    described(finding, None), subject, Seen(when, None, False), occurrence=when.tick, plugin=plugin.name
                )
                yield self._marked(event, one, _bank_note(report, one.label))
        self.maker.snapshot += 1

    def _memory(self, report: MemoryText, one: Told, when: Moment) -> Ereport:
        subject = Subject(HOST, str(HOST), None)
        finding = described(memory_text.finding(report), None)
        event = self.maker.ereport(finding, subject, Seen(when, None, False), occurrence=when.tick)
        self.maker.snapshot += 1
        note: dict[str, PayloadValue] = {"line": report.line}
        return self._marked(event, one, note | ({"label": one.label} if one.label and not report.label else {}))

    def _findings(self, sight: Shown, subject: Subject, when: Moment) -> Iterator[tuple[Finding, str]]:
        words = {(subject.target, location): word for location, word in sight.words.items()}
        now = Snapshot(subject.target, when.tick, when.boot_ns, words)
        known: set[tuple[Location | str, int]] = set()
        for plugin, guard in self._plugins:
            for finding in guard.call(_normalise, plugin, now) or ():
                key = (finding.evidence.location, finding.evidence.bit)
                if key not in known:
                    known.add(key)
                    word = None if isinstance(finding.evidence.location, str) else now.word(finding.evidence.location)
                    yield described(_with_severity(finding, sight), word), plugin.name
        spoken = {location.capability for location, _ in known if not isinstance(location, str)} | _SPOKEN_FOR
        for finding in _by_table(sight, subject.target, spoken):
            yield described(finding, now.word(_place(finding))), "core"

    def _marked(self, event: Ereport, one: Told, note: dict[str, PayloadValue]) -> Ereport:
        return msgspec.structs.replace(event, sources=list(one.sources), payload=event.payload | note)

    def _set_aside(self, name: str, error: BaseException) -> None:
        self._failures.append((name, error))


def _normalise(plugin: Plugin, now: Snapshot) -> list[Finding]:
    return list(plugin.source.normalise(now, None))


# Of these registers the plugins decide what is an error; what they leave out is explained by another bit.
_SPOKEN_FOR = frozenset({"", "CAP_EXP", "ECAP_AER"})


def _by_table(sight: Shown, target: Target, spoken: Set[str]) -> Iterator[Finding]:
    # Registers that no plugin has spoken of: whatever the tables call an error is one. No set bit is silent.
    for location, word in sight.words.items():
        row = register_at(location) if location.capability not in spoken else None
        for bit, field in error_bits(row[1], word) if row is not None and row[1].access.clearable else ():
            class_ = f"ereport.{field.ereport}" if field is not None else "ereport.io.pciex.unknown"
            severity = (field.severity if field is not None else None) or "nonfatal"
            yield Finding(class_, Evidence(target, location, bit), severity)


def _place(finding: Finding) -> Location:
    assert not isinstance(finding.evidence.location, str)
    return finding.evidence.location


def _moment(report: AnyReport, tick: int) -> Moment:
    # A stamp without date counts from the simulated start, as the times of a fixture do.
    boot = report.boot_ns or 0
    return Moment(tick, EPOCH_2000_NS + boot if report.wall_ns is None else report.wall_ns, boot)


def _function(sight: Shown) -> Function:
    bridge = SECONDARY in sight.words or sight.dev_type in _BRIDGES
    return Function(
        bdf=sight.bdf or NOWHERE,
        vendor=sight.vendor,
        device=sight.device,
        subsystem_vendor=0xFFFF,
        subsystem_device=0xFFFF,
        class_code=0x060400 if bridge else 0,
        revision=0,
        header_type=int(bridge),
        multifunction=False,
        dev_type=sight.dev_type,
        capabilities=(),
        size=0,
    )


def _note(sight: Shown, one: Told) -> dict[str, PayloadValue]:
    note: dict[str, PayloadValue] = {"line": one.report.line} if one.report.line else {}
    if sight.bdf is None:
        note["unaddressed"] = True
    if one.report.doubts:
        note["doubts"] = list(one.report.doubts)
    return note


def _bank_note(report: BankText, label: str) -> dict[str, PayloadValue]:
    note: dict[str, PayloadValue] = {"line": report.line} if report.line else {}
    if label:
        note["label"] = label
    return note if "cpu" in report.fields else note | {"unaddressed": True}


def _with_severity(finding: Finding, sight: Shown) -> Finding:
    # The Severity register decides; where the report does not show it, the reporter's word; at last, what the bit is after reset.
    if finding.evidence.location != UE or UE_SEVERITY in sight.words or finding.severity == "advisory":
        return finding
    bit, masked = finding.evidence.bit, sight.words.get(UE_MASK, 0) >> finding.evidence.bit & 1
    if sight.severity in ("nonfatal", "fatal") and not masked:
        return finding._replace(severity=sight.severity)
    default: Severity = "fatal" if _FATAL_BY_DEFAULT >> bit & 1 else "nonfatal"
    return finding._replace(severity=default, payload={**finding.payload, "severity-assumed": True})


def _condition(condition: Condition, target: Target) -> Finding:
    payload: dict[str, PayloadValue] = {"name": condition.name}
    if condition.word is not None:
        payload["value"] = condition.word if condition.word < _53_BITS else f"{condition.word:016x}"
    if condition.masked:
        payload["masked"] = True
    return described(Finding(condition.class_, Evidence(target, condition.place, condition.bit), condition.severity, payload), None)
