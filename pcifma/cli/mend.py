"""What `repaired`, `replaced` and `acquit` have in common: they tell the daemon what became of a suspect."""

from __future__ import annotations

from pathlib import Path

import click

from pcifma.cli.daemon import connect, plain, root_option
from pcifma.cli.text import plural


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
            note = f" ({plain(row['note'])})" if row.get("note") else ""
            click.echo(f"case {plain(row['case'])}: {plain(row['device'])} {plain(row['class'])} is {status}{note}")
        if latched := max((row.get("latched", 0) for row in changed), default=0):
            verbs = ("stays", "hides") if latched == 1 else ("stay", "hide")
            bits = f"{plural(latched, 'bit')} {verbs[0]} latched there and {verbs[1]} repeats"
            click.echo(f"{bits}: pcifma clear {plain(changed[0]['case'])[:8]}")
        return 0

    return command
