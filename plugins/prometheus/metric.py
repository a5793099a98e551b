"""What is exported: one row a metric, and where its numbers come from. docs/monitoring.md says the same, and a test holds it to this.

No uuid, guest or serial is a label of anything that is counted: series must not multiply with what happens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from pcifma.plugin import LOOK_BOUNDS_S, CaseStatus, Coverage, Fabric, Status

from .series import Bounded, Labels, added, folded, largest

FAULTY = ("faulty", "degraded", "unusable", "not-present")
DEGRADED = ("ereport.io.pciex.pl.speed", "ereport.io.pciex.pl.width")
DIAGNOSIS = "pcie_diagnosis"
_WORDS = {True: "yes", False: "no", None: "unknown"}
Numbers = Iterable[tuple[Labels, float]]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the numbers come from. *ereports* and *latched* are of all Functions; *guests* by address; *limit*: series of a metric."""

    status: Status
    fabric: Fabric
    coverage: tuple[Coverage, ...]
    guests: Mapping[str, str]
    ereports: Bounded
    limit: int


@dataclass(frozen=True, slots=True)
class Row:
    """One metric: its name without the counter's `_total`, kind, labels, help, and its numbers."""

    name: str
    kind: type[CounterMetricFamily | GaugeMetricFamily]
    labels: tuple[str, ...]
    about: str
    numbers: Callable[[Facts], Numbers]


def families(facts: Facts) -> Iterator[Metric]:
    """Every metric that has a number now."""
    for row in ROWS:
        family = row.kind(row.name, row.about, labels=row.labels)
        for labels, value in row.numbers(facts):
            family.add_metric(labels, value)
        if family.samples:
            yield family
    yield _durations(facts.status)


def _build(facts: Facts) -> Numbers:
    rules = next((f"{one.name} {one.version}" for one in facts.status.modules if one.name == DIAGNOSIS), "")
    yield (facts.status.version, rules), 1


def _functions(facts: Facts) -> Numbers:
    physical = (f for f in facts.fabric if f.physfn is None)
    for _, f in zip(range(facts.limit), physical, strict=False):
        bdf, slot = str(f.bdf), f.slot.label if f.slot is not None else ""
        segment, bus, rest = bdf.split(":")
        device, function = rest.split(".")
        ids = (f"0x{f.vendor:04x}", f"0x{f.device:04x}", f"0x{f.class_code:06x}")
        labels = (bdf, segment, bus, device, function, *ids, slot, f.serial or "", facts.guests.get(bdf, ""))
        yield tuple(plain(label) for label in labels), 1


def _plans(facts: Facts) -> Numbers:
    yield from (((plan,), n) for plan, n in Counter("+".join(line.plan) or "skip" for line in facts.coverage).items())


def _heard(facts: Facts) -> Numbers:
    for severity in ("correctable", "nonfatal", "fatal"):
        counted = Counter(_WORDS[getattr(line.heard, severity)] for line in facts.coverage)
        yield from (((severity, word), counted[word]) for word in _WORDS.values() if facts.coverage)


def _latched(facts: Facts) -> Numbers:
    bits = facts.status.latched
    counted = (((folded(facts.fabric, b.device), b.severity, str(b.masked).lower()), 1.0) for b in bits)
    return added(facts.limit, counted).items()


def _degraded(facts: Facts) -> Numbers:
    worse = (b for b in facts.status.latched if b.class_ in DEGRADED and b.severity != "info")
    return largest(facts.limit, (((folded(facts.fabric, b.device),), 1.0) for b in worse))


def _cases(facts: Facts) -> Numbers:
    counted = Counter((plain(case.severity).lower(), case.state.lower()) for case in facts.status.cases if not case.injected)
    return counted.items()


def _certainty(facts: Facts) -> Numbers:
    def each() -> Numbers:
        for case in _open(facts.status):
            for suspect in case.suspects:
                bdf = folded(facts.fabric, suspect.device)
                labels = (case.code, suspect.class_, bdf, suspect.location, case.severity.lower(), case.urgency, str(case.injected).lower())
                if suspect.status in FAULTY:
                    yield tuple(plain(label) for label in labels), suspect.certainty / 100

    return largest(facts.limit, each())


def _start(facts: Facts) -> Numbers:
    starts: dict[Labels, float] = {}
    for case in _open(facts.status):
        for suspect in case.suspects:
            labels = (plain(case.code), plain(folded(facts.fabric, suspect.device)), plain(suspect.location))
            starts[labels] = min(starts.get(labels, case.opened_ns / 1e9), case.opened_ns / 1e9)
    return largest(facts.limit, starts.items())


def _open(status: Status) -> Iterator[CaseStatus]:
    return (case for case in status.cases if case.state in ("SOLVED", "CLOSE_WAIT", "CLOSED"))


def _slow(facts: Facts) -> Numbers:
    return added(facts.limit, (((folded(facts.fabric, device),), float(n)) for device, n in facts.status.looks.slow.items())).items()


def _one(value: float | None) -> Numbers:
    return [] if value is None else [((), value)]


def _seconds(ns: int | None) -> float | None:
    return None if ns is None else ns / 1e9


def _durations(status: Status) -> Metric:
    looks = status.looks
    bounds = [*(f"{bound:g}" for bound in LOOK_BOUNDS_S), "+Inf"]
    buckets = [(bound, float(n)) for bound, n in zip(bounds, accumulate(looks.buckets), strict=True)]
    family = HistogramMetricFamily(HISTOGRAM, "How long looks took; one is made each poll.interval", labels=())
    family.add_metric((), buckets, looks.spent_ns / 1e9)
    return family


def plain(text: str) -> str:
    """Text of devices, guests and firmware as a label: no control bytes, and not without end."""
    return "".join(c if c.isprintable() else "?" for c in text[:128])


HISTOGRAM = "pcifma_look_duration_seconds"
_C, _G = CounterMetricFamily, GaugeMetricFamily
ROWS: tuple[Row, ...] = (
    Row("pcifma_build_info", _G, ("version", "rules"), "1; which pcifma, and which module diagnoses", _build),
    Row(
        "pcifma_function_info", _G,
        ("bdf", "segment", "bus", "device", "function", "vendor_id", "device_id", "class", "slot", "serial", "guest"),
        "1 for each Function but Virtual ones; to join with what has only bdf", _functions,
    ),
    Row("pcifma_functions", _G, ("plan",), "Functions by what is done about them (listen, poll, clear, joined by +; or skip)", _plans),
    Row("pcifma_functions_heard", _G, ("severity", "heard"), "Functions whose errors of that severity reach somebody", _heard),
    Row(
        "pcifma_functions_unread", _G, ("reason",), "Functions that the last look could not read",
        lambda f: (((plain(reason),), n) for reason, n in Counter(f.status.unread.values()).items()),
    ),
    Row(
        "pcifma_ereports", _C, ("bdf", "class", "severity"),
        "Errors seen since the daemon started. A polled bit counts once a look that saw it new, so this is a lower bound",
        lambda f: f.ereports.items(),
    ),
    Row(
        "pcifma_ereports_folded", _C, (), "Ereports that were added to others of the same bit in a storm; none is lost",
        lambda f: _one(f.status.log.folded),
    ),
    Row(
        "pcifma_latched_bits", _G, ("bdf", "severity", "masked"),
        "Error bits that stand now and hide repeats; severity info: probing leaves such bits on healthy machines", _latched,
    ),
    Row("pcifma_link_degraded", _G, ("bdf",), "1 for the lower end of a link that runs slower or narrower than it should", _degraded),
    Row("pcifma_cases", _G, ("severity", "state"), "Cases that are not resolved, drills left out", _cases),
    Row(
        "pcifma_fault_certainty_ratio", _G, ("code", "class", "bdf", "slot", "severity", "urgency", "injected"),
        "How sure it is that this suspect of an open case is at fault; injected: a drill", _certainty,
    ),
    Row("pcifma_fault_start_timestamp_seconds", _G, ("code", "bdf", "slot"), "When the case was opened", _start),
    Row(
        "pcifma_last_look_timestamp_seconds", _G, (), "When the last look was completed: if this stands still, nobody looks",
        lambda f: _one(_seconds(f.status.looks.last_ns)),
    ),
    Row("pcifma_config_reads", _C, (), "Reads of configuration space", lambda f: _one(f.status.looks.reads)),
    Row("pcifma_config_writes", _C, (), "Registers written; 0 unless clearing is allowed", lambda f: _one(f.status.looks.writes)),
    Row("pcifma_slow_reads", _C, ("bdf",), "Reads that took over 1 ms or did not come back; a lower bound", _slow),
    Row(
        "pcifma_module_failed", _G, ("module",), "1 for a plugin that failed and was set aside",
        lambda f: (((one.name,), 1) for one in f.status.modules if one.failed),
    ),
    Row(
        "pcifma_events_dropped", _C, ("module",), "Events that a module did not get because it was set aside",
        lambda f: (((one.name,), one.dropped) for one in f.status.modules if one.dropped),
    ),
    Row("pcifma_log_errors", _C, (), "Errors of the storage that the log is on", lambda f: _one(f.status.log.errors)),
    Row("pcifma_maintenance_active", _G, (), "1 while planned work is announced (pcifma maintain)", lambda f: _one(f.status.maintenance)),
    Row(
        "pcifma_last_drill_timestamp_seconds", _G, (), "When a drill passed last (pcifma drill)",
        lambda f: _one(_seconds(f.status.last_drill_ns)),
    ),
)  # fmt: skip
