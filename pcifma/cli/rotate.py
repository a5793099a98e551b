"""`pcifma rotate`."""

from __future__ import annotations

from pathlib import Path

import click

from pcifma.cli.daemon import connect, plain, root_option

LOGS = ("errlog", "fltlog")


@click.command("rotate")
@click.argument("logs", nargs=-1, metavar="[errlog|fltlog]…", type=click.Choice(LOGS))
@root_option
def command(logs: tuple[str, ...], root: Path) -> int:
    """Move what of a log (of both, if none is named) is done with into a file beside it, which `pcifma dump` goes on reading."""
    for name in logs or LOGS:
        click.echo(rotate(root, name))
    return 0


def rotate(root: Path, name: str) -> str:
    """Do it, and say so as fmadm does, with the file that was made."""
    with connect(root) as daemon:
        made = daemon.ask("rotate", {"log": name})["file"]
    return f"{name}: nothing to rotate" if made is None else f"{name} has been rotated out and can now be archived: {plain(made)}"
