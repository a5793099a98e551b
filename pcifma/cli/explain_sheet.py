"""A case explained to somebody who was never told how diagnosis works: what is said, where, why, what was not seen, what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pcifma.cli.article import Article, about, articles
from pcifma.cli.meaning import meaning
from pcifma.cli.text import clean, plural
from pcifma.event.ereport import Ereport
from pcifma.fmd.engine.case import CaseRecord

_SURE = "of 100 suspects named with 80 %, about 80 are the culprit"


def words(case: CaseRecord, chain: Mapping[str, Any], events: Sequence[Ereport]) -> Iterator[str]:
    """The lines for people. *chain* may be empty: another module's case, or one whose reasons are no longer kept."""
    known = articles()
    urgency = case.urgency.replace("-", " ")
    yield f"case {case.uuid}  {case.code}  {case.severity}, {urgency}  {case.state.lower()} since {_time(case.diag_time)}"
    yield ""
    yield from _said(case, chain, known)
    yield from _where(case, chain, events)
    yield from _why(case, chain, events)
    yield from _unseen(chain)
    yield from _history(chain)
    yield from _do(case, known)
    version = f", rules {clean(str(chain['rules']))}" if "rules" in chain else ""
    yield f"Said by {clean(case.rules)}{version}; the codes' articles: pcifma help {case.code}"


def _said(case: CaseRecord, chain: Mapping[str, Any], known: Mapping[str, Article]) -> Iterator[str]:
    yield f"What is said ({_SURE})"
    for suspect in case.suspects:
        article = known.get(suspect.class_)
        where = clean("  ".join(filter(None, (suspect.device, suspect.location))))
        state = "" if suspect.status == "faulty" else f"  {suspect.status}"
        yield f"  {suspect.certainty:3d}%  {where}  {clean(suspect.class_)}{state}"
        if article is not None:
            yield f"        {article.what}"
    if chain.get("watch"):
        yield "  It happened less often than the rule's threshold: it is watched, and raised if it goes on."
    yield ""


def _where(case: CaseRecord, chain: Mapping[str, Any], events: Sequence[Ereport]) -> Iterator[str]:
    rows = [[str(cell) for cell in row] for row in chain.get("tree", ()) if len(row) == 4]
    if not rows:
        return
    yield "Where"
    marks = _marks(case, events)
    children: dict[str, list[list[str]]] = {}
    present = {row[0] for row in rows}
    for row in rows:
        children.setdefault(row[1] if row[1] in present else "", []).append(row)
    yield from _branches(children, "", "  ", marks)
    yield ""


def _branches(children: Mapping[str, list[list[str]]], above: str, indent: str, marks: Mapping[str, str]) -> Iterator[str]:
    for bdf, _, what, slot in children.get(above, ()):
        label = f", {slot}" if slot else ""
        yield f"{indent}{clean(bdf)}  {clean(what + label)}{marks.get(bdf, '')}"
        yield from _branches(children, bdf, f"{indent}  ", marks)


def _marks(case: CaseRecord, events: Sequence[Ereport]) -> dict[str, str]:
    found: dict[str, str] = {}
    seen: dict[str, list[int]] = {}
    for n, event in enumerate(events, start=1):
        seen.setdefault(event.device, []).append(n)
    for device, numbers in seen.items():
        more = " …" if len(numbers) > 4 else ""
        found[device] = f"  {' '.join(f'[{n}]' for n in numbers[:4])}{more}"
    for suspect in case.suspects:
        found[suspect.device] = f"{found.get(suspect.device, '')}  <== {suspect.certainty}%"
    return found


def _why(case: CaseRecord, chain: Mapping[str, Any], events: Sequence[Ereport]) -> Iterator[str]:
    yield "Why: what was seen, and what it has to do with the first suspect"
    if not events:
        yield "  its evidence is no longer kept"
    yield from (f"  {clean(str(line))}" for line in chain.get("link", ()))
    because: Mapping[str, str] = chain.get("because", {})
    alike: dict[tuple[str, str, str], list[tuple[int, Ereport]]] = {}
    for n, event in enumerate(events, start=1):
        alike.setdefault((event.class_, event.device, str(event.payload.get("tlp"))), []).append((n, event))
    for same in alike.values():
        yield from _alike(same, because)
    if case.more:
        yield f"  and {case.more} more ereports that were counted and not kept"
    yield ""


def _alike(same: Sequence[tuple[int, Ereport]], because: Mapping[str, str]) -> Iterator[str]:
    n, event = same[0]
    yield f"  [{n}] {_when(event)}  {_name(event)} at {clean(event.device)}{_times(event)}"
    yield from _meaning(event)
    told = next((because[one.uuid] for _, one in same if one.uuid in because), "further evidence of the same fault")
    yield f"      {clean(told)}"
    if len(same) > 1:
        numbers = f"[{same[1][0]}]" if len(same) == 2 else f"[{same[1][0]}] to [{same[-1][0]}]"
        yield f"      {len(same) - 1} more like it, {numbers}, the last at {_time(same[-1][1].time)}"


def _meaning(event: Ereport) -> Iterator[str]:
    said = meaning(event.class_)
    if said:
        yield f"      {said}"
    if "tlp" in event.payload:
        yield f"      the packet that was logged: {clean(str(event.payload['tlp']))}"
    parts = [(part, event.payload.get(f"tlp-{part}")) for part in ("requester", "completer", "target")]
    named = [f"{part} {clean(str(device))}" for part, device in parts if device is not None]
    if named:
        yield f"      it names {', '.join(named)}"
    if event.trust == "guest":
        yield "      a guest owns this Function: it can make and clear such errors at will"


def _name(event: Ereport) -> str:
    return f"{clean(str(event.payload.get('name', '')) or event.class_)} ({event.class_})"


def _times(event: Ereport) -> str:
    return f", {event.count} times" if event.count > 1 else ""


def _when(event: Ereport) -> str:
    if event.first_look:
        return f"before {_time(event.time)}, age unknown"
    return _time(event.time) if event.not_before is None else f"{_time(event.time)} (after {_time(event.not_before)[11:]})"


def _time(text: str) -> str:
    return text[:19].replace("T", " ")


def _unseen(chain: Mapping[str, Any]) -> Iterator[str]:
    missing, rivals = chain.get("not-seen", ()), chain.get("rivals", ())
    if not missing and not rivals:
        return
    yield "What was looked for and not seen"
    yield from (f"  {clean(str(line))}" for line in missing)
    for rival in rivals:
        what = f"{clean(str(rival.get('class')))} at {clean(str(rival.get('device')))}"
        unseen = "; ".join(clean(str(line)) for line in rival.get("not-seen", ()))
        yield f"  {what} would explain it too, but is less likely{f': not seen {unseen}' if unseen else ''}"
    yield ""


def _history(chain: Mapping[str, Any]) -> Iterator[str]:
    told = [clean(str(line)) for line in chain.get("history", ())]
    if told:
        yield "Before"
        yield from (f"  {line}" for line in told)
        yield ""


def _do(case: CaseRecord, known: Mapping[str, Article]) -> Iterator[str]:
    found = about((suspect.class_ for suspect in case.suspects if suspect.status not in ("acquitted", "repaired", "replaced")), known)
    if not found:
        return
    yield "What to do"
    yield from (f"  {n}. {article.action}" for n, article in enumerate(found, start=1))
    if case.suspects:
        yield f"  Then: pcifma repaired {case.uuid[:8]}   ({plural(len(case.suspects), 'suspect')}; a reason for each is above)"
    yield ""
