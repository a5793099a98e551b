"""`pcifma writes`: every register that was ever written, before, after, why, and for whom."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from pcifma.cli.daemon import root_option
from pcifma.cli.ledger import TITLE, line, record
from pcifma.cli.log import reader
from pcifma.cli.text import plural
from pcifma.event.written import WritesSummary, encode_written
from pcifma.fmd.log.batch import RegisterWrite
from pcifma.fmd.path import Paths


@click.command("writes")
@root_option
@click.option("--json", "as_json", is_flag=True, help="JSON lines: one write a line, then the trailer.")
@click.option("--all", "everything", is_flag=True, help="What was refused, or clear by then, as well.")
def command(root: Path, *, as_json: bool, everything: bool) -> int:
    """Every write to configuration space that pcifma ever made: before, after, why, and for whom. Reads the log; the daemon need
    not run.
    """
    with reader(root) as log:
        every, ever = list(log.writes()), log.writes_ever()
    shown = every if everything else [row for row in every if row.outcome in ("done", "unknown")]
    for text in _json(shown, ever) if as_json else _words(root, shown, ever):
        click.echo(text)
    return 0


def _json(rows: list[RegisterWrite], ever: int) -> Iterator[str]:
    yield from (encode_written(record(row)) for row in rows)
    unknown = sum(row.outcome == "unknown" for row in rows)
    yield encode_written(WritesSummary(rows=len(rows), writes=ever, unknown=unknown))


def _words(root: Path, rows: list[RegisterWrite], ever: int) -> Iterator[str]:
    if rows:
        yield TITLE
    yield from map(line, rows)
    unknown = sum(row.outcome == "unknown" for row in rows)
    yield f"writes ever made to hardware: {ever}{f', and {unknown} whose outcome is not known' if unknown else ''}"
    log = Paths(root).log
    if broken := sorted(log.parent.glob(f"{log.name}.broken-*")):
        yield f"({plural(broken, 'damaged log')} beside this one had a ledger of its own: {', '.join(p.name for p in broken[-3:])})"
