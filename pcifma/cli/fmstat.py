"""`fmstat`, as illumos has it: its letters, columns and exit statuses, on the daemon's `stat`.

0 done; 1 the daemon does not answer; 2 wrong usage.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import click

from pcifma.cli.daemon import connect, plain
from pcifma.cli.edge import run_and_exit
from pcifma.errors import DaemonError, UsageError

FATAL = 1
Statistics = Mapping[str, Mapping[str, int]]
_UNITS = ((1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K"))
_SPANS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


@click.command("fmstat", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-a", "every", is_flag=True, help="All statistics, those that the daemon keeps of a module too (fmd.…).")
@click.option("-s", "serds", is_flag=True, help="SERD engines of the module; needs -m.")
@click.option("-t", "transports", is_flag=True, help="Transports; there are none here.")
@click.option("-T", "authorities", is_flag=True, help="Authorities of transports; there are none here.")
@click.option("-z", "nonzero", is_flag=True, help="Leave out what is zero.")
@click.option("-m", "module", metavar="MODULE", help="What this module counts itself.")
@click.option("-d", "stamp", type=click.Choice(("d", "u")), help="The time before each sample: as a date, or in seconds since 1970.")
@click.option("-P", "program", metavar="PROGRAM", help="Not here: there is one daemon a root, and -R names it.")
@click.option("-R", "root", metavar="DIR", type=click.Path(path_type=Path), default=Path("/"), help="The daemon whose files are below DIR.")
@click.argument("interval", type=click.IntRange(min=1), required=False)
@click.argument("count", type=click.IntRange(min=1), required=False)
def fmstat(
    *,
    every: bool,
    serds: bool,
    transports: bool,
    authorities: bool,
    nonzero: bool,
    module: str | None,
    stamp: Literal["d", "u"] | None,
    program: str | None,
    root: Path,
    interval: int | None,
    count: int | None,
) -> int:
    """What the modules have done: since they were loaded, and with INTERVAL what they did in each so many seconds, COUNT times."""
    _refuse(
        {
            "-P: there are no RPC programs here: -R DIR names another daemon": program is not None,
            "-t goes with neither -m nor -s nor -T": transports and bool(module or serds or authorities),
            "-s needs -m": serds and module is None,
        }
    )
    before: Statistics = {}
    left = count if interval is not None else 1
    while True:
        with connect(root) as daemon:
            found: dict[str, dict[str, dict[str, int]]] = daemon.ask("stat", {"apart": True})
            engines = daemon.ask("serd", {"name": module}) if serds else []
        if module is not None and module not in found:
            raise DaemonError(f"no module {module} is loaded: `fmadm config` lists those that are")
        for line in _stamp(stamp):
            click.echo(line)
        if not all("fmd" in row for row in found.values()):
            raise DaemonError("the daemon is of an older release than this command: restart it")
        kept = {name: row["fmd"] for name, row in found.items()}
        if transports or authorities:
            lines = _transports(authorities=authorities)
        elif serds:
            lines = _serds(engines)
        elif module is not None or every:
            lines = _values({module: found[module]} if module is not None else found, every=every, nonzero=nonzero)
        else:
            lines = _modules(kept, before)
        click.echo("\n".join(lines))
        before, left = kept, None if left is None else left - 1
        if left == 0 or interval is None:
            return 0
        time.sleep(interval)


def _refuse(wrong: dict[str, bool]) -> None:
    for what, is_so in wrong.items():
        if is_so:
            raise UsageError(what)


def _stamp(form: Literal["d", "u"] | None) -> Iterator[str]:
    if form is not None:
        yield f"{datetime.now().astimezone():%a %b %d %H:%M:%S %Z %Y}" if form == "d" else str(int(time.time()))


def _transports(*, authorities: bool) -> Iterator[str]:
    if authorities:
        yield f"{'id':>3} {'state':<5} {'module':<18} authority"
    else:
        yield f"{'id':>3} {'state':<5} ev_send ev_recv ev_drop ev_lost wait  svc_t  %w  %b module"


def _modules(now: Statistics, before: Statistics) -> Iterator[str]:
    yield f"{'module':<18} ev_recv ev_acpt wait  svc_t  %w  %b  open solve  memsz  bufsz"
    for name, row in sorted(now.items()):
        was = before.get(name, {})
        new = {key: value - was.get(key, 0) for key, value in row.items()}
        if new["age_ns"] <= 0:  # loaded anew since
            new = dict(row)
        elapsed_ns, taken = max(1, new["age_ns"]), max(1, new["delivered"])
        wait = new["waited_ns"] / elapsed_ns
        service_ms = (new["waited_ns"] + new["spent_ns"]) / taken / 1e6
        waiting, busy = (min(100.0, 100 * new[key] / elapsed_ns) for key in ("waiting_ns", "spent_ns"))
        yield (
            f"{plain(name):<18} {new['delivered']:7d} {new['accepted']:7d} {wait:4.1f} {service_ms:6.1f} {waiting:3.0f} {busy:3.0f} "
            f"{row['open']:5d} {row['solved']:5d} {_size(row['state_bytes']):>6} {_size(row['buffer_bytes']):>6}"
        )


def _size(count: int) -> str:
    return next((f"{count / size:.1f}{unit}" for size, unit in _UNITS if count >= size), str(count))


def _values(found: Mapping[str, Statistics], *, every: bool, nonzero: bool) -> Iterator[str]:
    yield f"{'NAME':>20} {'VALUE':<16} DESCRIPTION"
    for module, rows in sorted(found.items()):
        own = dict(rows["own"]) | ({f"fmd.{key}": value for key, value in rows["fmd"].items()} if every else {})
        for name, value in sorted(own.items()):
            if value or not nonzero:
                where = plain(module) if len(found) > 1 else ""
                yield f"{plain(name):>20} {value:<16} {where}".rstrip()


def _serds(engines: list[dict[str, Any]]) -> Iterator[str]:
    yield f"{'NAME':<36} {'>N':>4} {'T':>6} {'CNT':>4} {'DELTA':>20} STAT"
    for row in engines:
        delta = "-" if row["oldest_s"] is None else f"{round(row['oldest_s'] * 1e9)}ns"
        yield f"{plain(row['name']):<36} {'>' + str(row['n']):>4} {_span(row['t_s']):>6} {row['count']:>4} {delta:>20} pend"


def _span(seconds: float) -> str:
    return next((f"{seconds / size:.0f}{unit}" for size, unit in _SPANS if seconds >= size and seconds % size == 0), f"{seconds:g}s")


def run() -> None:
    """The command `fmstat`."""
    run_and_exit(fmstat, "fmstat", trouble=FATAL)
