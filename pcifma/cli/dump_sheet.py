"""Events of the log as `pcifma dump` prints them: a line each, with the members that matter, or whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from pcifma.cli.text import clean
from pcifma.event.case import ListEvent
from pcifma.event.line import encode
from pcifma.fmd.log.reader import Logged

Show = Callable[[Logged], str]


@dataclass(frozen=True, slots=True)
class Layout:
    """How events are printed: a *title* above all of them (empty: none), and each of them."""

    title: str
    show: Show


def layout(*, errors: bool, verbose: bool, whole: bool, as_json: bool) -> Layout:
    """The layout that the options ask for."""
    if as_json:
        return Layout("", lambda logged: encode(logged.event).decode())
    if whole:
        return Layout("", _whole)
    title = f"{'TIME':<30} {'CLASS':<44} DEVICE" if errors else f"{'TIME':<30} {'UUID':<36} {'CODE':<16} EVENT"
    return Layout(title, _verbose if verbose else _line)


def _line(logged: Logged) -> str:
    event = logged.event
    injected = "  INJECTED" if event.injected is True else ""
    if isinstance(event, ListEvent):
        return f"{event.time:<30} {event.uuid:<36} {clean(event.code):<16} {event.class_}{injected}"
    planned = f"  PLANNED {clean(event.maintenance)}" if isinstance(event.maintenance, str) else ""
    return f"{event.time:<30} {clean(event.class_):<44} {clean(event.device)}{injected}{planned}"


def _verbose(logged: Logged) -> str:
    event = logged.event
    if isinstance(event, ListEvent):
        suspects = (f"  {s.certainty:3d}%  {clean(s.class_)}  {s.status}  {clean(s.device)}  {clean(s.location)}" for s in event.fault_list)
        return "\n".join([_line(logged), *suspects])
    members = ", ".join(f"{key}={value}" for key, value in event.payload.items())
    return f"{_line(logged)}\n  {event.uuid}  ena={event.ena}  {event.severity}  count={event.count}  {clean(members, 2000)}"


def _whole(logged: Logged) -> str:
    return json.dumps(json.loads(encode(logged.event)), indent=2)
