"""What `repaired`, `replaced` and `acquit` have in common: they tell the daemon what became of a suspect."""

from __future__ import annotations

from pathlib import Path

import click

from pcifma.cli.daemon import connect, plain, root_option


def mending(verb: str, status: str, about: str) -> click.Command:
    """The command of *verb*, which gives its suspects *status*."""

    @click.command(verb, help=f"{about} CASE is a uuid or its first characters; DEVICE an address, an FMRI or a slot's label.")
    @root_option
    @click.argument("what", metavar="CASE|DEVICE")
    @click.option("--suspect", metavar="DEVICE", default="", help="Of that case only this suspect.")
    def command(root: Path, what: str, *, suspect: str) -> int:
        with connect(root) as daemon:
            changed = daemon.ask(verb, {"what": what, "suspect": suspect})
        if not changed:
            click.echo(f"{plain(what)}: nothing of it is faulty any more; nothing was changed")
        for row in changed:
            click.echo(f"case {plain(row['case'])}: {plain(row['device'])} {plain(row['class'])} is {status}")
        return 0

    return command
