"""`pcifma unload NAME`."""

from __future__ import annotations

from pathlib import Path

import click

from pcifma.cli.daemon import connect, root_option


@click.command("unload")
@click.argument("name")
@root_option
def command(name: str, root: Path) -> int:
    """Unload the plugin NAME from the running daemon; its cases stay."""
    with connect(root) as daemon:
        daemon.ask("unload", {"name": name})
    click.echo(f"module '{name}' unloaded from fault manager")
    return 0
