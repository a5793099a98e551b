"""Events as fmdump prints them: short, with more, or as name-value lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from pcifma.cli.article import Article, about, articles
from pcifma.cli.dump_sheet import Layout
from pcifma.cli.fmadm_sheet import stamp
from pcifma.cli.text import clean
from pcifma.event.case import ListEvent, Suspect
from pcifma.event.ereport import Ereport
from pcifma.event.line import encode
from pcifma.fmd.log.reader import Logged
from pcifma.fmd.log.row import wall_of

_EVENTS = {
    "list.suspect": "Diagnosed", "list.updated": "Updated", "list.isolated": "Isolated", "list.repaired": "Repaired",
    "list.resolved": "Resolved",
}  # fmt: skip
_BECAME = {"repaired": "Repair Attempted", "replaced": "Replaced", "acquitted": "Acquitted", "not-present": "Removed"}
_LONGEST = 4000


def layout(*, errors: bool, message: bool, depth: int, pretty: bool, as_json: bool) -> Layout:
    """The layout that the letters ask for; *depth* 1 for -v, 2 for -V."""
    if message:
        return Layout("", partial(_message, articles()))
    if depth == 2:
        return Layout("", _json if as_json else partial(_whole, pretty=pretty))
    if errors:
        return Layout(f"{'TIME':<20} {'CLASS':<37} ENA" if depth else f"{'TIME':<20} CLASS", partial(_error, depth=depth))
    return Layout(f"{'TIME':<20} {'UUID':<36} SUNW-MSG-ID EVENT", partial(_fault, depth=depth))


def _json(logged: Logged) -> str:
    return encode(logged.event).decode()


def _time(event: Ereport | ListEvent) -> str:
    return stamp(event.time, part=event.time[19:24])


def _full_time(event: Ereport | ListEvent) -> str:
    when = datetime.fromtimestamp(wall_of(event.time) // 10**9).astimezone()
    return f"{when:%b %d %Y %H:%M:%S}{event.time[19:29]}"


def _injected(event: Ereport | ListEvent) -> str:
    return " injected" if event.injected is True else ""


def _error(logged: Logged, *, depth: int) -> str:
    event = logged.event
    if isinstance(event, ListEvent):
        return f"{_time(event):<20} {event.class_}{_injected(event)}"
    ena = f" 0x{event.ena}" if depth else ""
    return f"{_time(event):<20} {clean(event.class_):<{37 if depth else 0}}{ena}{_injected(event)}"


def _fault(logged: Logged, *, depth: int) -> str:
    event = logged.event
    assert isinstance(event, ListEvent)
    row = f"{_time(event):<20} {event.uuid:<36} {_named(event)}"
    if not depth:
        return row
    return "\n".join([row, *(line for suspect in event.fault_list for line in _suspect(suspect)), ""])


def _named(event: ListEvent) -> str:
    return f"{clean(event.code)} {_EVENTS[event.class_]}{_injected(event)}"


def _suspect(suspect: Suspect) -> Iterator[str]:
    became = _BECAME.get(suspect.status)
    yield f"{suspect.certainty:5d}%  {clean(suspect.class_)}" + (f"\t{became}" if became else "")
    yield ""
    for title, value in (
        ("Problem in:", suspect.resource), ("Affects:", suspect.asru), ("FRU:", suspect.fru), ("Location:", suspect.location),
    ):  # fmt: skip
        yield f"{title:>19} {clean(value) or '-'}"
    yield ""


def _whole(logged: Logged, *, pretty: bool) -> str:
    event = logged.event
    if isinstance(event, ListEvent):
        head = [f"{'TIME':<30} {'UUID':<36} SUNW-MSG-ID EVENT", f"{_full_time(event):<30} {event.uuid:<36} {_named(event)}", ""]
    else:
        head = [f"{'TIME':<30} CLASS", f"{_full_time(event):<30} {clean(event.class_)}{_injected(event)}"]
    return "\n".join([*head, *_nvlist(_members(event), 0, pretty=pretty), ""])


def _members(event: Ereport | ListEvent) -> dict[str, Any]:
    # The payload's members are an ereport's own there; __tod and __injected are what fmd adds.
    whole: dict[str, Any] = {key: value for key, value in msgspec.to_builtins(event).items() if value is not None}
    payload = whole.pop("payload", {})
    seconds, rest = divmod(wall_of(event.time), 10**9)
    added: dict[str, Any] = {"__tod": [seconds, rest]} | ({"__injected": True} if event.injected is True else {})
    if isinstance(event, Ereport):
        whole["ena"] = int(event.ena, 16)
    return {**whole, **{key: value for key, value in payload.items() if key not in whole}, **added}


def _nvlist(members: Mapping[str, Any], depth: int, *, pretty: bool) -> Iterator[str]:
    indent = ("    " if pretty else "\t") * depth
    if not pretty:
        yield f"{indent}nvlist version: 0"
    for key, value in members.items():
        name = f"{indent}{'' if pretty else chr(9)}{clean(key)}"
        if isinstance(value, dict):
            yield f"{name} = (embedded nvlist)"
            yield from _nvlist(value, depth + 1, pretty=pretty)
            yield f"{name[: len(name) - len(clean(key))]}(end {clean(key)})"
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield f"{name} = (array of embedded nvlists)"
            for n, each in enumerate(value):
                yield f"{name[: len(name) - len(clean(key))]}(start {clean(key)}[{n}])"
                yield from _nvlist(each, depth + 1, pretty=pretty)
                yield f"{name[: len(name) - len(clean(key))]}(end {clean(key)}[{n}])"
        else:
            yield f"{name} = {_value(value)}"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int):
        return hex(value)
    if isinstance(value, list):
        return f"[ {' '.join(map(_value, value))} ]"
    return clean(str(value), _LONGEST)


def _message(known: Mapping[str, Article], logged: Logged) -> str:
    event = logged.event
    assert isinstance(event, ListEvent)
    found = about([suspect.class_ for suspect in event.fault_list], known)
    when = datetime.fromtimestamp(wall_of(event.time) // 10**9).astimezone()
    kind = "Repair" if event.class_ in ("list.repaired", "list.resolved") else "Fault"
    lines = (
        f"SUNW-MSG-ID: {clean(event.code)}, TYPE: {kind}, VER: 1, SEVERITY: {clean(event.severity)}{_injected(event)}",
        f"EVENT-TIME: {when:%a %b %d %H:%M:%S %Z %Y}",
        f"PLATFORM: -, CSN: -, HOSTNAME: {clean(event.host)}",
        f"SOURCE: {clean(event.de.get('mod-name', '-'))}, REV: {clean(event.de.get('mod-version', '-'))}",
        f"EVENT-ID: {event.uuid}",
        f"DESC: {' Or: '.join(one.what for one in found) or '-'}",
        "AUTO-RESPONSE: No automated response will occur.",
        f"IMPACT: {' Or: '.join(dict.fromkeys(one.impact for one in found)) or '-'}",
        f"REC-ACTION: {' Or: '.join(dict.fromkeys(one.action for one in found)) or '-'}",
    )
    return "\n".join([*lines, ""])
