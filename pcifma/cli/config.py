"""`pcifma config`: the daemon's plugins, as `fmadm config` lists modules."""

from __future__ import annotations

from pathlib import Path

import click

from pcifma.cli.daemon import connect, json_option, plain, print_json, root_option


@click.command("config")
@root_option
@json_option
def command(root: Path, as_json: bool) -> int:
    """The plugins that the daemon has loaded, and how each one is doing."""
    with connect(root) as daemon:
        rows = daemon.ask("config")
    if as_json:
        print_json(rows)
        return 0
    click.echo(f"{'MODULE':<24} {'VERSION':<8} {'KIND':<7} {'STATUS':<8} DESCRIPTION")
    for row in rows:
        text = row["why"] or row["about"]
        click.echo(plain(f"{row['name']:<24} {row['version']:<8} {row['kind']:<7} {row['status']:<8} {text}").rstrip())
    return 0
