"""`pcifma load NAME`."""

from __future__ import annotations

from pathlib import Path

import click

from pcifma.cli.daemon import connect, root_option


@click.command("load")
@click.argument("name")
@root_option
def command(name: str, root: Path) -> int:
    """Load the plugin NAME into the running daemon."""
    with connect(root) as daemon:
        daemon.ask("load", {"name": name})
    click.echo(f"module '{name}' loaded into fault manager")
    return 0
