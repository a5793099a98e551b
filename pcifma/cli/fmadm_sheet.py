"""Cases as `fmadm faulty` prints them: a record each, a line each, by FRU, or by resource."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from textwrap import wrap

from pcifma.cli.article import Article, about
from pcifma.cli.text import clean
from pcifma.event.case import Suspect, SuspectStatus
from pcifma.fmd.engine.case import CaseRecord
from pcifma.fmd.log.row import wall_of

_RULE = f"{'-' * 15} {'-' * 36}  {'-' * 14} {'-' * 9}"
_OLD = timedelta(days=180)
_WEIGHT = {"Critical": 100, "Major": 10, "Minor": 1}
_TITLES = f"{'TIME':<15} {'EVENT-ID':<37} {'MSG-ID':<14} {'SEVERITY':<9}"
_CACHED = f"{'TIME':<15} {'CACHE-ID':<37} {'MSG-ID':<14} {'SEVERITY':<9}"
_DMI = Path("/sys/class/dmi/id")

# As illumos says the status of what can be disabled (Affects, Problem in), and of what can be replaced (FRU).
AFFECTS: dict[SuspectStatus, str] = {
    "faulty": "faulted but still in service",
    "unusable": "faulted and taken out of service",
    "degraded": "faulted but still providing degraded service",
    "not-present": "not present",
    "repaired": "ok and in service",
    "replaced": "ok and in service",
    "acquitted": "ok and in service",
}
STATUS: dict[SuspectStatus, str] = {
    "faulty": "faulty",
    "unusable": "faulty",
    "degraded": "faulty",
    "not-present": "not present",
    "repaired": "repair attempted",
    "replaced": "replaced",
    "acquitted": "acquitted",
}
_STATES = {"faulty": "degraded", "degraded": "degraded", "unusable": "faulted", "not-present": "unknown"}


@dataclass(frozen=True, slots=True)
class Look:
    """How records are printed: *verbose* with what the problem is in, *cached* with cache ids, at most *most* rows of a list."""

    verbose: bool = False
    cached: bool = False
    most: int = 0


def ordered(cases: Sequence[CaseRecord]) -> list[CaseRecord]:
    """The worst severity first, then the oldest."""
    return sorted(cases, key=lambda case: (-_WEIGHT.get(case.severity, 0), case.diag_time))


def stamp(time: str, now: datetime | None = None, *, part: str = "") -> str:
    """*time* of the log as illumos prints it, in this machine's zone: `Nov 22 20:15:00`, or with the year where that is not plain."""
    when = datetime.fromtimestamp(wall_of(time) // 10**9).astimezone()
    now = now or datetime.now().astimezone()
    if when < now - _OLD or when > now + timedelta(seconds=60):
        return f"{when:%b %d %Y}" if not part else f"{when:%b %d %Y %H:%M:%S}"
    return f"{when:%b %d %H:%M:%S}{part}"


def summary(cases: Sequence[CaseRecord], look: Look) -> Iterator[str]:
    """A line a case (-s)."""
    yield from _heading(look)
    yield from (_row(case, look) for case in cases)


def records(cases: Sequence[CaseRecord], known: Mapping[str, Article], look: Look, host: str) -> Iterator[Iterator[str]]:
    """Each case whole."""
    for case in cases:
        yield _record(case, known, look, host)


def _heading(look: Look) -> Iterator[str]:
    yield _RULE
    yield (_CACHED if look.cached else _TITLES).rstrip()
    yield _RULE


def _row(case: CaseRecord, look: Look) -> str:
    name = f"{case.id}.0" if look.cached else case.uuid
    injected = " injected" if case.injected else ""
    return f"{stamp(case.diag_time):<15} {name:<37} {clean(case.code):<14} {clean(case.severity):<9}{injected}".rstrip()


def _record(case: CaseRecord, known: Mapping[str, Article], look: Look, host: str) -> Iterator[str]:
    yield from _heading(look)
    yield _row(case, look)
    yield ""
    yield f"Host        : {clean(host)}"
    yield f"Platform    : {_dmi('product_name')}\tChassis_id  : {_dmi('chassis_serial')}"
    yield f"Product_sn  : {_dmi('product_serial')}"
    yield ""
    yield from _list("Fault class", _classes(case.suspects), look)
    yield from _named("Affects", case.suspects, "asru", AFFECTS, look)
    if look.verbose or not all(suspect.asru and suspect.fru for suspect in case.suspects):
        yield from _named("Problem in", case.suspects, "resource", AFFECTS, look)
    yield from _named("FRU", case.suspects, "fru", STATUS, look)
    yield ""
    yield from _texts(case, about([suspect.class_ for suspect in case.suspects], known))
    yield ""


def _dmi(name: str) -> str:
    try:
        return clean((_DMI / name).read_text(errors="replace").strip()) or "-"
    except OSError:
        return "-"


def _list(title: str, rows: Sequence[str], look: Look) -> Iterator[str]:
    shown = rows[: look.most] if look.most else rows
    for n, row in enumerate(shown):
        yield f"{title if n == 0 else '':<12}{': ' if n == 0 else '  '}{row}"
    if len(shown) < len(rows):
        yield f"{'':<14}... {len(rows) - len(shown)} more entries suppressed"


def _percent(certainty: int) -> str:
    return "" if certainty >= 100 else f" {certainty}%"


def _classes(suspects: Sequence[Suspect]) -> list[str]:
    rows = []
    for class_ in dict.fromkeys(suspect.class_ for suspect in suspects):
        same = [suspect.certainty for suspect in suspects if suspect.class_ == class_]
        rows.append(f"{clean(class_)}{_percent(same[0])}" if len(same) == 1 else f"{clean(class_)} {len(same)} @ max {max(same)}%")
    return rows


def _named(title: str, suspects: Sequence[Suspect], member: str, texts: Mapping[SuspectStatus, str], look: Look) -> Iterator[str]:
    # Suspects of one name are one row, their certainties added; a status that all share is said once, below.
    rows: dict[str, tuple[int, set[str], str]] = {}
    for suspect in suspects:
        if name := str(getattr(suspect, member)):
            certainty, states, label = rows.get(name, (0, set(), suspect.location))
            rows[name] = (certainty + suspect.certainty, states | {texts[suspect.status]}, label)
    if not rows:
        return
    shared = {frozenset(states) for _, states, _ in rows.values()}
    text = []
    for name, (certainty, states, label) in rows.items():
        shown = f'"{clean(label)}" ({clean(name)}){_percent(certainty)}' if member == "fru" and label else clean(name)
        text.append(shown if len(shared) == 1 else f"{shown}\n{'':<18}{', '.join(sorted(states))}")
    for line in _list(title, text, look):
        yield from line.split("\n")
    if len(shared) == 1:
        yield f"{'':<18}{', '.join(sorted(next(iter(shared))))}"


def _texts(case: CaseRecord, found: Sequence[Article]) -> Iterator[str]:
    retired = any(suspect.status == "unusable" for suspect in case.suspects)
    response = "The part was taken out of service." if retired else "No automated response will occur."
    texts = {
        "Description": " Or: ".join(article.what for article in found) or "No article is known for this fault.",
        "Response": response,
        "Impact": " Or: ".join(dict.fromkeys(article.impact for article in found)) or "-",
        "Action": " Or: ".join(dict.fromkeys(article.action for article in found)) or "-",
    }
    texts["Action"] += f" Then use 'fmadm repaired' or 'pcifma repaired {case.uuid[:8]}'."
    for title, text in texts.items():
        lines = wrap(text, 64)
        yield f"{title:<12}: {lines[0]}"
        yield from (f"{'':<14}{line}" for line in lines[1:])
        yield ""


def by_fru(cases: Sequence[CaseRecord], look: Look) -> Iterator[str]:
    """A block a FRU (-f)."""
    frus: dict[str, list[tuple[CaseRecord, list[Suspect]]]] = {}
    for case in cases:
        for fru in dict.fromkeys(suspect.fru for suspect in case.suspects if suspect.fru):
            frus.setdefault(fru, []).append((case, [suspect for suspect in case.suspects if suspect.fru == fru]))
    for fru, found in frus.items():
        yield "-" * 78
        suspects = [suspect for _, some in found for suspect in some]
        label = clean(next((suspect.location for suspect in suspects if suspect.location), ""))
        states = ", ".join(dict.fromkeys(STATUS[suspect.status] for suspect in suspects))
        injected = " injected" if any(case.injected for case, _ in found) else ""
        yield f'"{label}" ({clean(fru)}) {states}{injected}' if label else f"{clean(fru)} {states}{injected}"
        for case, some in found[: look.most or None]:
            name = f"{case.id}.0" if look.cached else case.uuid
            total = sum(suspect.certainty for suspect in some)
            share = "total certainty 100%" if total >= 100 else f"max certainty {max(s.certainty for s in some)}%"
            yield f"{name} {len(some)} suspects in this FRU {share}"


def by_resource(cases: Sequence[CaseRecord], look: Look) -> Iterator[str]:
    """A line a resource (-r)."""
    rows: dict[str, tuple[str, bool]] = {}
    for case in cases:
        for suspect in case.suspects:
            if suspect.asru:
                state = _STATES.get(suspect.status, "ok")
                known = rows.get(suspect.asru, ("ok", False))
                rows[suspect.asru] = (state if known[0] == "ok" else known[0], known[1] or case.injected)
    for n, (name, (state, injected)) in enumerate(rows.items()):
        if look.most and n >= look.most:
            yield f"... {len(rows) - n} more entries suppressed"
            return
        yield f"{clean(name):<69} {state}{' injected' if injected else ''}"
