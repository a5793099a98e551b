"""`pcifma stat`: what each module has done, as fmstat shows it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from pcifma.cli.daemon import connect, json_option, plain, print_json, root_option
from pcifma.errors import DaemonError, UsageError

_COLUMNS = (("delivered", "ev_recv"), ("dropped", "ev_drop"), ("timeouts", "timeout"), ("checkpoints", "ckpt"), ("lost", "lost"))


@click.command("stat")
@root_option
@json_option
@click.option("-m", "module", metavar="MODULE", help="All statistics of this module.")
@click.option("-s", "serds", is_flag=True, help="The SERD engines of the module that -m names.")
@click.argument("interval", type=click.FloatRange(min=0.1), required=False)
@click.argument("count", type=click.IntRange(min=1), required=False)
def command(root: Path, *, as_json: bool, module: str | None, serds: bool, interval: float | None, count: int | None) -> int:
    """What each module has done; with INTERVAL again every so many seconds, COUNT times."""
    if serds and module is None:
        raise UsageError("-s needs -m MODULE")
    left = count if interval is not None else 1
    while True:
        with connect(root) as daemon:
            found: Any = daemon.ask("serd", {"name": module}) if serds else daemon.ask("stat")
        if module is not None and not serds:
            found = _of(module, found)
        if as_json:
            print_json(found)
        else:
            for line in _serds(found) if serds else _lines(found) if module is None else _values(found):
                click.echo(line)
        left = None if left is None else left - 1
        if left == 0 or interval is None:
            return 0
        time.sleep(interval)


def _of(module: str, found: dict[str, Any]) -> Any:
    if module not in found:
        raise DaemonError(f"no module {module} is loaded: `pcifma config` lists those that are")
    return found[module]


def _values(found: dict[str, Any]) -> Iterator[str]:
    yield f"{'NAME':<32} VALUE"
    yield from (f"{plain(name):<32} {value}" for name, value in sorted(found.items()))


def _serds(found: list[dict[str, Any]]) -> Iterator[str]:
    yield f"{'SERD ENGINE':<48} {'MORE THAN':>9} {'WITHIN':>10} {'COUNTED':>8}"
    yield from (f"{plain(row['name']):<48} {row['n']:>9} {row['t_s']:>8g} s {row['count']:>8}" for row in found)


def _lines(found: dict[str, Any]) -> Iterator[str]:
    yield f"{'module':<20} " + " ".join(f"{title:>9}" for _, title in _COLUMNS) + "   spent_ms"
    for name, statistics in sorted(found.items()):
        numbers = " ".join(f"{statistics.get(key, 0):>9}" for key, _ in _COLUMNS)
        yield f"{plain(name):<20} {numbers} {statistics.get('spent_ns', 0) / 1e6:>10.1f}"
