"""`pcifma dump`: the fault log and the error log, as fmdump shows them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import click

from pcifma.cli.daemon import root_option
from pcifma.cli.log import moment, reader
from pcifma.cli.text import clean
from pcifma.event.case import ListEvent
from pcifma.event.ereport import Ereport
from pcifma.event.line import encode
from pcifma.fmd.log.reader import Logged, Reader

_ROUND = 1000
_FOLLOW_S = 0.5
Keep = Callable[[Logged], bool]


@click.command("dump")
@root_option
@click.option("-e", "errors", is_flag=True, help="The error log (ereports) instead of the fault log (cases).")
@click.option("-i", "informative", is_flag=True, help="Ereports that only inform.")
@click.option("-v", "verbose", is_flag=True, help="Each event with its members that matter.")
@click.option("-V", "whole", is_flag=True, help="Each event whole.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines.")
@click.option("-c", "class_", metavar="CLASS", help="Only this class (a glob).")
@click.option("-t", "since", metavar="TIME", help="Only events at or after TIME (2h, 2026-11-22T20:15:00, 11/22/26 20:15:00).")
@click.option("-T", "until", metavar="TIME", help="Only events at or before TIME.")
@click.option("-u", "uuid", metavar="UUID", help="Only this case or event.")
@click.option("-f", "follow", is_flag=True, help="Go on as events come, until interrupted.")
def command(
    root: Path,
    *,
    errors: bool,
    informative: bool,
    verbose: bool,
    whole: bool,
    as_json: bool,
    class_: str | None,
    since: str | None,
    until: str | None,
    uuid: str | None,
    follow: bool,
) -> int:
    """The fault log, or with -e the error log. Reads the file; the daemon need not run."""
    keep = _all_of(
        _of_log(errors=errors, informative=informative),
        _of_class(class_),
        _within(moment(since) if since else "", moment(until) if until else "~"),
        _of_uuid(uuid),
    )
    show = _json if as_json else _whole if whole else _verbose if verbose else _line
    if not as_json and not whole:
        click.echo(_title(errors=errors or informative))
    with reader(root) as log:
        for logged in _events(log, follow=follow):
            if keep(logged):
                click.echo(show(logged))
    return 0


def _events(log: Reader, *, follow: bool) -> Iterator[Logged]:
    after = 0
    while True:
        events = log.events(after, _ROUND)
        yield from events
        if events:
            after = events[-1].seq
        elif not follow:
            return
        else:
            time.sleep(_FOLLOW_S)


def _all_of(*tests: Keep) -> Keep:
    return lambda logged: all(test(logged) for test in tests)


def _of_log(*, errors: bool, informative: bool) -> Keep:
    if informative:
        return lambda logged: isinstance(logged.event, Ereport) and logged.event.severity == "info"
    return lambda logged: isinstance(logged.event, Ereport if errors else ListEvent)


def _of_class(class_: str | None) -> Keep:
    return lambda logged: class_ is None or fnmatchcase(logged.event.class_, class_)


def _within(since: str, until: str) -> Keep:
    return lambda logged: since <= logged.event.time <= until


def _of_uuid(uuid: str | None) -> Keep:
    return lambda logged: uuid is None or uuid in (logged.event.uuid, logged.uuid)


def _title(*, errors: bool) -> str:
    return f"{'TIME':<30} {'CLASS':<44} DEVICE" if errors else f"{'TIME':<30} {'UUID':<36} {'CODE':<16} EVENT"


def _line(logged: Logged) -> str:
    event = logged.event
    if isinstance(event, ListEvent):
        return f"{event.time:<30} {event.uuid:<36} {clean(event.code):<16} {event.class_}"
    return f"{event.time:<30} {clean(event.class_):<44} {clean(event.device)}"


def _verbose(logged: Logged) -> str:
    event = logged.event
    if isinstance(event, ListEvent):
        suspects = (f"  {s.certainty:3d}%  {clean(s.class_)}  {s.status}  {clean(s.device)}  {clean(s.location)}" for s in event.fault_list)
        return "\n".join([_line(logged), *suspects])
    members = ", ".join(f"{key}={value}" for key, value in event.payload.items())
    return f"{_line(logged)}\n  {event.uuid}  ena={event.ena}  {event.severity}  count={event.count}  {clean(members, 2000)}"


def _whole(logged: Logged) -> str:
    import json  # noqa: PLC0415

    return json.dumps(json.loads(encode(logged.event)), indent=2)


def _json(logged: Logged) -> str:
    return encode(logged.event).decode()
