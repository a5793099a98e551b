"""`pcifma replay`: a recording through the whole path."""

from __future__ import annotations

import time
from collections.abc import Iterator

import click

from pcifma.access.fixture import Fixture
from pcifma.access.open import open_source
from pcifma.cli.found import FOUND, INCOMPLETE, NOTHING, Outcome, bits
from pcifma.cli.source import plugin_options
from pcifma.cli.text import clean, plural
from pcifma.errors import SourceError
from pcifma.event.case import ListEvent
from pcifma.event.ereport import Ereport
from pcifma.event.line import encode
from pcifma.fmd.rehearsal import Happening, rehearse
from pcifma.plugin.loader import Plugin
from pcifma.poll.look import Look


@click.command("replay")
@click.argument("fixtures", nargs=-1, required=True, metavar="FIXTURE...")
@click.option("--json", "as_json", is_flag=True, help="JSON lines: one event a line, a trailer after each fixture.")
@plugin_options("source", "module")
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), help="N times real time (default: as fast as it goes).")
def command(fixtures: tuple[str, ...], *, as_json: bool, plugins: list[Plugin], speed: float | None) -> int:
    """A recording through the whole path: each look at its simulated time, cases included."""
    statuses = []
    for name in fixtures:
        fixture = open_source(name)
        if not isinstance(fixture, Fixture):
            raise SourceError(f"{name}: no fixture (no case.yaml): a capture is looked at with `pcifma sweep {name}`")
        looks = []
        for happening in _paced(rehearse(fixture, plugins), fixture, speed):
            if isinstance(happening, Look):
                looks.append(happening)
            else:
                _show(happening, as_json=as_json)
        outcome = Outcome.of(looks)
        _close(fixture, outcome, as_json=as_json)
        statuses.append(outcome.status(strict=False))
    return next((status for status in (FOUND, INCOMPLETE) if status in statuses), NOTHING)


def _paced(happenings: Iterator[Happening], fixture: Fixture, speed: float | None) -> Iterator[Happening]:
    start, began = fixture.clock.boot_ns(), time.monotonic()
    for happening in happenings:
        if speed is not None and isinstance(happening, Look):
            ahead = (happening.when.boot_ns - start) / 1e9 / speed - (time.monotonic() - began)
            time.sleep(max(0.0, ahead))
        yield happening


def _show(event: Ereport | ListEvent, *, as_json: bool) -> None:
    if as_json:
        click.echo(encode(event))
    elif isinstance(event, ListEvent):
        click.echo("\n".join(_case(event)))
    elif bits([event]):
        click.echo(_line(event))


def _line(event: Ereport) -> str:
    name = clean(str(event.payload.get("name", event.class_)))
    return f"{event.time}  {event.severity:<11} {event.device}  {event.class_.removeprefix('ereport.')}  {name}"


def _case(event: ListEvent) -> Iterator[str]:
    yield f"{event.time}  {event.class_:<11} {event.severity}, {event.urgency}  {event.code}  case {event.uuid}"
    for suspect in event.fault_list:
        where = f"  {clean(suspect.location)}" if suspect.location else ""
        yield f"    {suspect.certainty:3d}%  {suspect.class_}  {suspect.device}{where}"


def _close(fixture: Fixture, outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        click.echo(outcome.summary.line())
    else:
        counts = outcome.summary
        click.echo(f"{clean(fixture.name)}: {plural(counts.ereports, 'ereport')}, {counts.residue} residue: {clean(fixture.about)}")
