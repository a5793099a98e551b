"""`pcifma stat`: what each module has done, as fmstat shows it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from pcifma.cli.daemon import connect, json_option, plain, print_json, root_option

_COLUMNS = (("delivered", "ev_recv"), ("dropped", "ev_drop"), ("timeouts", "timeout"), ("checkpoints", "ckpt"), ("lost", "lost"))


@click.command("stat")
@root_option
@json_option
@click.option("-m", "module", metavar="MODULE", help="All statistics of this module.")
@click.argument("interval", type=click.FloatRange(min=0.1), required=False)
@click.argument("count", type=click.IntRange(min=1), required=False)
def command(root: Path, *, as_json: bool, module: str | None, interval: float | None, count: int | None) -> int:
    """What each module has done; with INTERVAL again every so many seconds, COUNT times."""
    left = count if interval is not None else 1
    while True:
        with connect(root) as daemon:
            found: dict[str, Any] = daemon.ask("stat")
        if as_json:
            print_json(found if module is None else found.get(module, {}))
        else:
            for line in _lines(found, module):
                click.echo(line)
        left = None if left is None else left - 1
        if left == 0 or interval is None:
            return 0
        time.sleep(interval)


def _lines(found: dict[str, Any], module: str | None) -> Iterator[str]:
    if module is not None:
        yield f"{'NAME':<32} VALUE"
        yield from (f"{plain(name):<32} {value}" for name, value in sorted(found.get(module, {}).items()))
        return
    yield f"{'module':<20} " + " ".join(f"{title:>9}" for _, title in _COLUMNS) + "   spent_ms"
    for name, statistics in sorted(found.items()):
        numbers = " ".join(f"{statistics.get(key, 0):>9}" for key, _ in _COLUMNS)
        yield f"{plain(name):<20} {numbers} {statistics.get('spent_ns', 0) / 1e6:>10.1f}"
