"""`pcifma maintain`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from pcifma.cli.daemon import connect, json_option, plain, print_json, root_option
from pcifma.errors import UsageError
from pcifma.fmd.property import time_of


@click.command("maintain")
@click.argument("duration", required=False)
@click.argument("where", required=False, metavar="[BDF|SLOT]")
@click.option("--why", metavar="TEXT", help="The reason; it is logged with who gave it.")
@click.option("--list", "listing", is_flag=True, help="What goes on now.")
@click.option("--end", metavar="ID", help="End this work now.")
@root_option
@json_option
def command(
    duration: str | None, where: str | None, *, why: str | None, listing: bool, end: str | None, root: Path, as_json: bool
) -> int:
    """Planned work for DURATION (30m, 2h, 1d) on a Function, a slot (its label), or the whole host: errors of what is named, of the port
    above it and of all below it are logged with the work's id, and nobody makes a case of them. It ends by itself.
    """
    if sum((duration is not None, listing, end is not None)) != 1:
        raise UsageError("write DURATION [BDF|SLOT] --why TEXT, or --list, or --end ID")
    with connect(root) as daemon:
        if listing:
            found = daemon.ask("maintain-list")
        elif end is not None:
            found = [daemon.ask("maintain-end", {"id": end})]
        else:
            found = [daemon.ask("maintain", {"for_s": _seconds(str(duration)), "what": where or "", "why": _reason(why)})]
    if as_json:
        print_json(found if listing else found[0])
    else:
        for line in _words(found, "has ended" if end is not None else "goes on"):
            click.echo(line)
    return 0


def _seconds(duration: str) -> float:
    try:
        return time_of(duration)
    except ValueError as err:
        raise UsageError(str(err)) from None


def _reason(why: str | None) -> str:
    if not why or not why.strip():
        raise UsageError("--why TEXT is wanted: planned work without a reason is a fault that nobody sees")
    return why


def _words(found: list[dict[str, Any]], state: str) -> Iterator[str]:
    if not found:
        yield "No planned work."
    for work in found:
        below = f" ({', '.join(work['below'])} and all below)" if work["below"] else ""
        yield f"planned work {work['id']} on {plain(work['what']) or 'the whole host'}{below} {state}"
        yield f"  from {work['began'][:19]}Z until {work['until'][:19]}Z, by uid {work['uid']} pid {work['pid']}: {plain(work['why'])}"
