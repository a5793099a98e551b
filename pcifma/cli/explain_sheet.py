"""A case explained to somebody who was never told how diagnosis works: what is said, where, why, what was not seen, what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pcifma.cli.article import Article, about, articles
from pcifma.cli.meaning import meaning
from pcifma.cli.name import names_of
from pcifma.cli.text import clean
from pcifma.event.case import Suspect
from pcifma.event.ereport import Ereport
from pcifma.fmd.engine.case import CaseRecord

_SURE = "of 100 suspects named with 80 %, about 80 are the culprit"
_STATES = {"SOLVED": "open", "CLOSE_WAIT": "closing"}
_URGENCY = {"now": "Act now.", "working-hours": "It can wait for working hours.", "never-mind": "Nobody has to act on it."}
# How a certainty of at least so many percent reads.
_HOW = ((90, "almost certainly"), (60, "most likely"), (25, "perhaps"), (0, "one of many: perhaps"))
_NOBODY = "defect.pcifma.unexplained"
_OTHERS = 8  # parts that are told of beside the list


def words(case: CaseRecord, chain: Mapping[str, Any], events: Sequence[Ereport]) -> Iterator[str]:
    """The lines for people. *chain* may be empty: another module's case, or one whose reasons are no longer kept."""
    known = articles()
    state = _STATES.get(case.state, case.state.lower())
    urgency = case.urgency.replace("-", " ")
    yield f"case {case.uuid}  {case.code}  {case.severity}, {urgency}  {state}, diagnosed {_time(case.diag_time)}"
    yield ""
    yield from _short(case, chain, known)
    yield from _said(case, chain, known)
    yield from _where(case, chain, events)
    yield from _why(case, chain, events)
    yield from _unseen(chain)
    yield from _else(chain, known)
    yield from _history(chain)
    yield from _do(case, known)
    yield from _surer(case, known)
    version = f", rules {clean(str(chain['rules']))}" if "rules" in chain else ""
    yield f"Said by {clean(case.rules)}{version}; the codes' articles: pcifma help {case.code}"


def _blamed(case: CaseRecord) -> list[Suspect]:
    return [suspect for suspect in case.suspects if suspect.status != "acquitted"] or list(case.suspects)


def _short(case: CaseRecord, chain: Mapping[str, Any], known: Mapping[str, Article]) -> Iterator[str]:
    if not case.suspects:
        return
    first = max(_blamed(case), key=lambda suspect: suspect.certainty)
    if first.class_ == _NOBODY:
        yield "In short: errors were seen that no rule explains. No part is accused, and nobody has to act on it."
        yield ""
        return
    how = next(words for least, words in _HOW if first.certainty >= least)
    what = "the link to " if ".bus-" in first.class_ else ""
    article = known.get(first.class_)
    meaning = f" {article.what}" if article is not None else ""
    yield f"In short: {how} {what}{_part(first, chain)}, {first.certainty} %.{meaning} {_URGENCY.get(case.urgency, '')}".rstrip()
    same = sum(suspect.certainty for suspect in _blamed(case) if suspect.device == first.device)
    if same > first.certainty:
        yield f"  Link and part together, {same} % of what is said is about {clean(first.device)}."
    if chain.get("rest"):
        yield f"  The other {chain['rest']} % stay with parts that fit as well and that the list has no room for: see below."
    yield ""


def _part(suspect: Suspect, chain: Mapping[str, Any]) -> str:
    # Address, what it is, and where a person finds it.
    row = next((row for row in chain.get("tree", ()) if len(row) == 4 and str(row[0]) == suspect.device), None)
    told = [] if row is None else [_called(str(row[2]))]
    where = suspect.location or (str(row[3]) if row is not None else "")
    told.append(where or "no slot is known for it")
    return clean(f"{suspect.device} ({', '.join(told)})")


def _called(what: str) -> str:
    # `Endpoint 15b3:1017, serial …`, with the name that pci.ids has for those numbers.
    found = re.search(r"\b([0-9a-f]{4}):([0-9a-f]{4})\b", what)
    if found is None:
        return what
    key = int(found[1], 16), int(found[2], 16)
    name = names_of([key])[key]
    return what if name == found[0] else what.replace(found[0], f"{found[0]} {name}", 1)


def _said(case: CaseRecord, chain: Mapping[str, Any], known: Mapping[str, Article]) -> Iterator[str]:
    yield f"What is said ({_SURE})"
    blamed = _blamed(case)
    for suspect in blamed:
        article = known.get(suspect.class_)
        where = clean("  ".join(filter(None, (suspect.device, suspect.location))))
        state = "" if suspect.status == "faulty" else f"  {suspect.status}"
        yield f"  {suspect.certainty:3d}%  {where}  {clean(suspect.class_)}{state}"
        if article is not None:
            yield f"        {article.what}"
    spared = [suspect for suspect in case.suspects if suspect not in blamed]
    if spared:
        names = dict.fromkeys(clean(suspect.device) for suspect in spared)
        yield f"  no longer suspected: {', '.join(names)}"
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
    shares: dict[str, int] = {}
    for suspect in _blamed(case):
        shares[suspect.device] = shares.get(suspect.device, 0) + suspect.certainty
    return found | {device: f"{found.get(device, '')}  <== {share}%" for device, share in shares.items()}


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
    if event.class_ == "ereport.pcifma.unread":
        return f"registers not readable: {clean(str(event.payload.get('reason', '')))} ({event.class_})"
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
    missing = chain.get("not-seen", ())
    if missing:
        yield "What was looked for and not seen"
        yield from (f"  {clean(str(line))}" for line in missing)
        yield ""


def _else(chain: Mapping[str, Any], known: Mapping[str, Article]) -> Iterator[str]:
    # Of chains that tell no percent, all; of others, what is worth a percent.
    rivals = [rival for rival in chain.get("rivals", ()) if rival.get("percent", 1) >= 1]
    if not rivals:
        return
    yield "What else it could be"
    for rival in rivals[:_OTHERS]:
        share = f"{round(rival['percent']):3d}%  " if "percent" in rival else ""
        class_ = str(rival.get("class"))
        what = known[class_].what if class_ in known else ""
        yield f"  {share}{clean(str(rival.get('device')))}  {clean(class_)}"
        unseen = "; ".join(clean(str(line)) for line in rival.get("not-seen", ()))
        yield from (f"        {line}" for line in (what, f"against it: not seen {unseen}" if unseen else "") if line)
    if len(rivals) > _OTHERS:
        yield f"  and {len(rivals) - _OTHERS} more"
    yield ""


def _history(chain: Mapping[str, Any]) -> Iterator[str]:
    told = [clean(str(line)) for line in chain.get("history", ())]
    if told:
        yield "Before"
        yield from (f"  {line}" for line in told)
        yield ""


def _live(case: CaseRecord, known: Mapping[str, Article]) -> list[Article]:
    return about((suspect.class_ for suspect in case.suspects if suspect.status not in ("acquitted", "repaired", "replaced")), known)


def _do(case: CaseRecord, known: Mapping[str, Article]) -> Iterator[str]:
    found = _live(case, known)
    if not found:
        return
    yield "What to do"
    yield from (f"  {n}. {article.action}" for n, article in enumerate(found, start=1))
    yield f"  Then: pcifma repaired {case.uuid[:8]}"
    yield ""


def _surer(case: CaseRecord, known: Mapping[str, Article]) -> Iterator[str]:
    told = [article.surer for article in _live(case, known) if article.surer]
    if told:
        yield "What would make it surer"
        yield from (f"  - {line}" for line in told)
        yield ""
