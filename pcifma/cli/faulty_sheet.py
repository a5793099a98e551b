"""Cases as `pcifma faulty` prints them: what, where, who is suspected and why, whom it hits, how urgent it is, what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from pcifma.cli.article import Article, about
from pcifma.cli.blamed import blamed
from pcifma.cli.explain import chain
from pcifma.cli.log import is_open
from pcifma.cli.name import names_of
from pcifma.cli.outlook import Outlook, Part
from pcifma.cli.severity import coloured
from pcifma.cli.text import clean, duration, plural
from pcifma.event.case import Suspect
from pcifma.event.ereport import Ereport
from pcifma.fabric.function import Slot
from pcifma.fmd.engine.case import CaseRecord
from pcifma.fmd.log.reader import Reader
from pcifma.fmd.log.row import wall_of

_COLOURS = {"now": "red", "working-hours": "yellow"}
_SOURCES = {"site": "slots.yaml", "smbios": "SMBIOS", "slot-capability": "Slot Capabilities", "sysfs": "the kernel"}
# What people call a port is its type; its name in pci.ids says the chipset's.
_PORTS = {4: "Root Port", 5: "Upstream Port", 6: "Downstream Port"}
_DAY_NS = 86_400 * 10**9
_HOUR_NS = 3_600 * 10**9
_REASONS, _NAMES = 4, 6
# A rate is called rising or falling where the later half of its time has so many times the other half's errors.
_RISING = 1.5
_SHORT = 8
_REMARKS = 3


@dataclass(frozen=True)
class Page:
    """What all cases of one page have in common. *verbose*: with FMRIs; *verbs*: the commands that there are."""

    log: Reader
    outlook: Outlook
    articles: Mapping[str, Article]
    verbs: frozenset[str] = frozenset()
    verbose: bool = False

    @cached_property
    def targets(self) -> dict[tuple[int, int], str]:
        """What each suspect is and where it sits, by its case and its place in the list."""
        return {(row.case, row.n): row.target for row in self.log.resources()}


def quiet(outlook: Outlook) -> Iterator[str]:
    """What there is to say where nothing is faulty."""
    status = outlook.status
    if status is None:
        yield "No faults are known, and nothing is watched: the daemon does not answer."
        yield f"  {clean(outlook.silence)}"
    elif status["waiting"]:
        yield f"No faults are known, and nothing is watched: the daemon waits for its storage ({clean(status['waiting'])})."
    else:
        look = "no look yet" if status.get("last_look") is None else f"last look {_ago(outlook.now_ns - wall_of(status['last_look']))} ago"
        watched = f"Watching {plural(status['functions'], 'Function')} since {_day(status['started'])}, {look}."
        yield f"No faults. {watched} {drilled(outlook)}"
        yield from _unseen(status)


def drilled(outlook: Outlook) -> str:
    """When the way to people was last tried."""
    return "No drill has ever passed." if outlook.drill is None else f"Last drill passed {_day(outlook.drill)}."


def _unseen(status: Mapping[str, object]) -> Iterator[str]:
    unread = status["unread"]
    if isinstance(unread, dict) and unread:
        yield f"Unread, so not counted as healthy: {', '.join(f'{n} {clean(reason)}' for reason, n in unread.items())} (pcifma status)"
    works = status.get("maintenance")
    if isinstance(works, list):
        for work in works:
            yield f"Planned work on {clean(work['what']) or 'the whole host'} until {_clock(work['until'])}: {clean(work['why'])}"


def _ago(ns: int) -> str:
    return f"{max(ns, 0) / 1e9:.1f} s" if ns < 60 * 10**9 else duration(ns / 1e9)


def _when(time: str) -> datetime:
    return datetime.fromtimestamp(wall_of(time) // 10**9).astimezone()


def _day(time: str) -> str:
    when, now = _when(time), datetime.now().astimezone()
    return f"{when.day} {when:%b}" if when.year == now.year else f"{when.day} {when:%b %Y}"


def _clock(time: str) -> str:
    when = _when(time)
    return f"{when:%a} {when.day} {when:%b %H:%M} {when:%z}"[:-2]


def short(case: CaseRecord, page: Page) -> str:
    """A case in one line."""
    first = case.first
    where = "  ".join(filter(None, (_slot_label(first, page), clean(first.device))))
    injected = "  INJECTED" if case.injected else ""
    return f"{_word(case)}  {clean(case.code)}  {case.uuid[:_SHORT]}  {first.certainty}% {_leaf(first)}  {where}  {_state(case)}{injected}"


def _word(case: CaseRecord) -> str:
    return coloured(clean(case.severity).upper(), _COLOURS.get(case.urgency))


def _state(case: CaseRecord) -> str:
    return f"since {_clock(case.diag_time)}" + ("" if case.state == "SOLVED" else f"  {case.state.lower().replace('_', ' ')}")


def words(case: CaseRecord, page: Page) -> Iterator[str]:
    """A case whole."""
    events = page.log.errors(list(page.log.evidence(case.id)))
    age = duration((page.outlook.now_ns - wall_of(case.diag_time)) / 1e9)
    injected = "  INJECTED: a drill" if case.injected else ""
    rate = "".join(f", {text}" for text in _rate(events, page))
    yield f"{_word(case)}  {clean(case.code)}  case {case.uuid[:_SHORT]}  {_state(case)} ({age}){rate}{injected}"
    found = about([suspect.class_ for suspect in case.suspects], page.articles)
    parts = blamed(case, page.targets, page.outlook.parts)
    for title, lines in (
        ("What", [found[0].what] if found else ["no article is known for this fault"]),
        ("Where", list(_where(case.suspects[0], parts[0], page))),
        ("Suspects", list(_suspects(case, parts, page))),
        ("Because", list(_because(case, events))),
        ("Not seen", list(_not_seen(case, page))),
        ("After", [f"a repair at the same place: it came up on the probation of case {case.follows[:_SHORT]}"] if case.follows else []),
        ("Said", [clean(remark) for remark in case.remarks[-_REMARKS:]]),
        ("Before", [clean(str(line)) for line in chain(page.log, case).get("history", ())]),
        ("Impact", list(_impact(case, found, page))),
        ("Urgency", [_urgency(case)]),
        ("Do", list(_steps(case, found, page))),
    ):
        for n, line in enumerate(lines):
            yield f" {title if n == 0 else '':<9} {line}".rstrip()


def _leaf(suspect: Suspect) -> str:
    return clean(suspect.class_).removeprefix("fault.io.").removeprefix("fault.").removeprefix("pciex.")


def _slot_label(suspect: Suspect, page: Page) -> str:
    part = page.outlook.parts.get(suspect.device)
    return clean(suspect.location or (part.slot if part is not None and part.slot else ""))


def _where(suspect: Suspect, part: Part | None, page: Page) -> Iterator[str]:
    there = page.outlook.parts.get(suspect.device)
    slot = there.place if there is not None else None
    serial = f"  {_serial(part)}" if _serial(part) else ""
    if there is not None and part != there:
        serial += f"; {_serial(there) or 'another part'} is there now"
    if slot is not None:
        yield f"{_slot_text(slot)}  {clean(suspect.device)}{serial}"
    elif suspect.location:
        yield f"{clean(suspect.location)} (as it was then)  {clean(suspect.device)}{serial}"
    elif suspect.resource.startswith("hc:"):
        yield f"{clean(suspect.device)}{serial}  (no slot is known for it: it is on the board, or nobody says)"
    else:
        yield f"{clean(suspect.device)}: no part of this machine"


def _serial(part: Part | None) -> str:
    return f"s/n {clean(part.serial)}" if part is not None and part.serial else ""


def _slot_text(slot: Slot) -> str:
    source = _SOURCES.get(slot.source, slot.source)
    if slot.agreed is None:
        return f"{clean(slot.label)} (only {source} says so)"
    others = ", ".join(_SOURCES.get(source, source) for _, source in slot.others)
    if slot.agreed:
        return f"{clean(slot.label)} ({source} and {others} agree)"
    differing = "; ".join(f"{_SOURCES.get(source, source)} says {clean(label)}" for label, source in slot.others)
    return f"{clean(slot.label)} says {source}, but {differing}: make sure before you pull"


def _suspects(case: CaseRecord, parts: Sequence[Part | None], page: Page) -> Iterator[str]:
    named = names_of((part.vendor, part.device) for part in parts if part is not None)
    rows = []
    for suspect, part in zip(case.suspects, parts, strict=True):
        name = "" if part is None else _PORTS.get(part.type or 0) or _called(named[part.vendor, part.device])
        who = "  ".join(filter(None, (name, _serial(part), _slot_label(suspect, page))))
        state = "" if suspect.status == "faulty" else f"  {suspect.status}"
        rows.append((_kind(suspect, part), who, _leaf(suspect), f"{clean(suspect.device)}{state}"))
    widths = [max((len(row[n]) for row in rows), default=0) for n in range(3)]
    for suspect, row in zip(case.suspects, rows, strict=True):
        cells = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False))
        yield f"{suspect.certainty:3d}%  {cells}  {row[3]}"
        yield from _fmris(suspect) if page.verbose else ()
    rest = 100 - sum(suspect.certainty for suspect in case.suspects)
    if rest > 0:
        yield f"{rest:3d}%  others that fit as well: pcifma explain {case.uuid[:_SHORT]}"


def _called(name: str) -> str:
    # pci.ids has what people say in brackets: MT27800 Family [ConnectX-5].
    inner = name.rpartition("[")[2].partition("]")[0] if "[" in name else ""
    return clean(inner or name, 40)


def _fmris(suspect: Suspect) -> Iterator[str]:
    for name in ("resource", "asru", "fru"):
        if value := getattr(suspect, name):
            yield f"      {name:<8} {clean(value)}"


def _kind(suspect: Suspect, part: Part | None) -> str:
    if ".bus-" in suspect.class_:
        return "link"
    if part is None:
        return "-"
    if part.type in (5, 6):
        return "switch"
    return "card" if part.slot is not None and part.type != 4 else "board"


def _because(case: CaseRecord, events: Sequence[Ereport]) -> Iterator[str]:
    counted: Counter[str] = Counter()
    for event in events:
        name = str(event.payload.get("name") or event.class_.removeprefix("ereport."))
        counted[f"{clean(name)} at {clean(event.device)}"] += event.count
    reasons = [f"{name} ({plural(n, 'time')})" for name, n in counted.most_common(_REASONS)]
    if case.more:
        reasons.append(f"{case.more} more that were counted and not kept")
    yield "; ".join(reasons) or "its evidence is no longer kept"


def _rate(events: Sequence[Ereport], page: Page) -> Iterator[str]:
    # Of corrected errors: how many an hour over the last day at most, and whether that grows.
    kinds = {(event.class_, event.device) for event in events if event.severity == "correctable"}
    if not kinds or len(kinds) < len({(event.class_, event.device) for event in events if event.is_error}):
        return
    now_ns = page.outlook.now_ns
    first_ns = max(now_ns - _DAY_NS, min(wall_of(event.time) for event in events))
    span_ns = now_ns - first_ns
    if span_ns < _HOUR_NS:
        return
    whole, late = (sum(page.log.counted(*kind, since_ns) for kind in kinds) for since_ns in (first_ns, first_ns + span_ns // 2))
    yield f"{whole * _HOUR_NS / span_ns:.3g} an hour"
    if late > _RISING * (whole - late):
        yield "rising"
    elif whole - late > _RISING * late:
        yield "falling"


def _not_seen(case: CaseRecord, page: Page) -> Iterator[str]:
    missing = chain(page.log, case).get("not-seen", ())
    titles = (clean(str(one).partition(" (")[0].partition(" at ")[0].partition(":")[0]) for one in missing)
    names = list(dict.fromkeys(title.removeprefix("ereport.io.pciex.") for title in titles))
    if names:
        more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
        yield f"{', '.join(names[:_NAMES])}{more}, which such a fault may show too  (pcifma explain {case.uuid[:_SHORT]})"


def _impact(case: CaseRecord, found: Sequence[Article], page: Page) -> Iterator[str]:
    hit = page.outlook.guests_of([suspect.device for suspect in case.suspects])
    if found:
        yield found[0].impact
    if hit:
        more = f" and {len(hit) - _NAMES} more" if len(hit) > _NAMES else ""
        yield f"guests {', '.join(clean(guest) for guest in hit[:_NAMES])}{more}"
    elif page.outlook.status is not None and not case.injected:
        yield "no guest is known to have it"


def _urgency(case: CaseRecord) -> str:
    soon = "; becomes NOW with the first uncorrectable error" if case.first.class_.endswith("-corr") else ""
    retired = [suspect.device for suspect in case.suspects if suspect.status == "unusable"]
    response = f"{', '.join(map(clean, retired))} was taken out of service" if retired else "none"
    urgency = "NOW" if case.urgency == "now" else case.urgency.replace("-", " ")
    return f"{urgency}{'' if case.urgency == 'now' else soon}      Auto-response: {response}"


def _steps(case: CaseRecord, found: Sequence[Article], page: Page) -> Iterator[str]:
    name = case.uuid[:_SHORT]
    if not is_open(case):
        return
    hit = page.outlook.guests_of([suspect.device for suspect in case.suspects])
    steps = [f"move {', '.join(clean(guest) for guest in hit[:_NAMES])}"] if hit and case.urgency != "never-mind" else []
    steps += [found[0].action] if found else ["read `pcifma explain`"]
    if not case.injected:
        steps.append(f"pcifma repaired {name}, or replaced, or acquit (why: pcifma explain {name})")
        if "bundle" in page.verbs:
            steps.append(f"if it comes back: pcifma bundle {name} for the vendor")
    yield from (f"{n} {step}" for n, step in enumerate(steps, 1))
