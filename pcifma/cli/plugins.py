"""`pcifma plugins`: what is loaded or loadable, and each one's check."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pcifma.cli.severity import coloured
from pcifma.cli.text import clean
from pcifma.errors import PluginError
from pcifma.plugin.loader import Origin, builtin_directory, check_owner, from_entry_points, load, subdirectories


@click.command("plugins")
@click.option("--directory", type=click.Path(path_type=Path, file_okay=False), help="Check this plugin directory too.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines, one plugin a line.")
def command(directory: Path | None, as_json: bool) -> int:
    """What is loaded or loadable, and each one's check. Exits 2 if any cannot be loaded."""
    rows = _rows(builtin_directory(), "built-in")
    if directory is not None:
        rows += _rows(directory, "directory")
    rows += _entry_points()
    for row in rows:
        click.echo(json.dumps(row) if as_json else _line(row))
    return 2 if any(row["check"] != "ok" for row in rows) else 0


def _rows(directory: Path, origin: Origin) -> list[dict[str, str]]:
    rows = []
    for path in subdirectories(directory):
        try:
            if origin != "built-in":
                check_owner(path)
            manifest = load(path, origin).manifest
            rows.append(_row(manifest.name, manifest.kind, version=manifest.version, origin=origin, check="ok", about=manifest.about))
        except PluginError as err:
            rows.append(_row(path.name, "?", version="?", origin=origin, check=str(err)))
    return rows


def _entry_points() -> list[dict[str, str]]:
    try:
        found = [(plugin, plugin.manifest) for plugin in from_entry_points()]
        return [_row(p.name, m.kind, version=m.version, origin=p.origin, check="ok", about=m.about) for p, m in found]
    except PluginError as err:
        return [_row("?", "?", version="?", origin="entry-point", check=str(err))]


def _row(name: str, kind: str, *, version: str, origin: str, check: str, about: str = "") -> dict[str, str]:
    return {"name": name, "kind": kind, "version": version, "origin": origin, "check": check, "about": about}


def _line(row: dict[str, str]) -> str:
    head = f"{row['name']:<16} {row['kind']:<7} {row['version']:<6} {row['origin']:<12} "
    right = row["check"] == "ok"
    return head + coloured(clean(row["about"] if right else row["check"], 400), None if right else "red")
