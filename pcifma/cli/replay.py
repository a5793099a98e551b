"""`pcifma replay`: a recording through the whole path."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import click

from pcifma.access.fixture import Fixture
from pcifma.access.open import open_source
from pcifma.cli.found import FOUND, INCOMPLETE, NOTHING, Outcome, bits
from pcifma.cli.source import plugin_options
from pcifma.cli.text import clean, plural
from pcifma.errors import SourceError
from pcifma.event.ereport import Ereport
from pcifma.event.line import encode
from pcifma.plugin.loader import Plugin
from pcifma.poll.poller import Look
from pcifma.poll.replay import play


@click.command("replay")
@click.argument("fixtures", nargs=-1, required=True, metavar="FIXTURE...")
@click.option("--json", "as_json", is_flag=True, help="JSON lines: one event a line, a trailer after each fixture.")
@plugin_options
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), help="N times real time (default: as fast as it goes).")
def command(fixtures: tuple[str, ...], *, as_json: bool, plugins: list[Plugin], speed: float | None) -> int:
    """A recording through the whole path: each look at its simulated time, cases included."""
    statuses = []
    for name in fixtures:
        fixture = open_source(name)
        if not isinstance(fixture, Fixture):
            raise SourceError(f"{name}: no fixture (no case.yaml): a capture is looked at with `pcifma sweep {name}`")
        looks = []
        for look in _paced(play(fixture, plugins), fixture, speed):
            looks.append(look)
            _show(look, as_json=as_json)
        outcome = Outcome.of(looks)
        _close(fixture, outcome, as_json=as_json)
        statuses.append(outcome.status(strict=False))
    return next((status for status in (FOUND, INCOMPLETE) if status in statuses), NOTHING)


def _paced(looks: Iterator[Look], fixture: Fixture, speed: float | None) -> Iterator[Look]:
    start, began = fixture.clock.boot_ns(), time.monotonic()
    for look in looks:
        if speed is not None:
            ahead = (look.when.boot_ns - start) / 1e9 / speed - (time.monotonic() - began)
            time.sleep(max(0.0, ahead))
        yield look


def _show(look: Look, *, as_json: bool) -> None:
    for event in look.ereports if as_json else bits(look.ereports):
        click.echo(encode(event) if as_json else _line(event))
    if look.ereports:
        sys.stdout.flush()


def _line(event: Ereport) -> str:
    name = clean(str(event.payload.get("name", event.class_)))
    return f"{event.time}  {event.severity:<11} {event.device}  {event.class_.removeprefix('ereport.')}  {name}"


def _close(fixture: Fixture, outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        click.echo(encode(outcome.summary))
    else:
        counts = outcome.summary
        click.echo(f"{clean(fixture.name)}: {plural(counts.ereports, 'ereport')}, {counts.residue} residue: {clean(fixture.about)}")
