"""`pcifma reset`."""

from __future__ import annotations

from pathlib import Path

import click

from pcifma.cli.daemon import connect, plain, root_option


@click.command("reset")
@click.argument("module")
@click.option("-s", "--serd", metavar="SERD", help="Only this SERD engine of the module (`pcifma stat -s -m MODULE` lists them).")
@root_option
def command(module: str, serd: str | None, root: Path) -> int:
    """Begin MODULE anew: its state and its unsolved cases are forgotten; cases that were told stay, with their reasons.

    A module that was set aside gets its next chance so.
    """
    click.echo(reset(root, module, serd))
    return 0


def reset(root: Path, module: str, serd: str | None) -> str:
    """Do it, and say so as fmadm does."""
    with connect(root) as daemon:
        daemon.ask("reset", {"name": module} | ({} if serd is None else {"serd": serd}))
    return f"{plain(module)} module has been reset" if serd is None else f"{plain(module)} serd engine '{plain(serd)}' has been reset"
