"""Which plugins a run uses: the built-in ones, installed ones, those of a directory; or those that are named."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Literal, TypeVar

import click

from pcifma.errors import UsageError
from pcifma.plugin.loader import Plugin, from_directory, installed

R = TypeVar("R")
Kind = Literal["source", "module"]


def plugin_options(*kinds: Kind) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Options --plugin and --plugin-dir for a command, which takes the plugins of *kinds* that they select as `plugins`."""
    return lambda command: _with_options(command, kinds)


def _with_options(command: Callable[..., R], kinds: tuple[Kind, ...]) -> Callable[..., R]:
    @click.option("--plugin", "names", multiple=True, metavar="NAME", help="Only this plugin (may be given again).")
    @click.option(
        "--plugin-dir",
        "directories",
        multiple=True,
        type=click.Path(path_type=Path),
        help="Plugins of this directory too (may be given again).",
    )
    @wraps(command)
    def with_plugins(*args: object, names: tuple[str, ...], directories: tuple[Path, ...], **options: object) -> R:
        return command(*args, plugins=selected(kinds, names, directories), **options)

    return with_plugins


def selected(kinds: tuple[Kind, ...], names: tuple[str, ...] = (), directories: tuple[Path, ...] = ()) -> list[Plugin]:
    """The plugins of *kinds* there are, or those named; UsageError for a name that is none, PluginError for one that does not load."""
    found = {plugin.name: plugin for plugin in installed() if plugin.manifest.kind in kinds}
    for directory in directories:
        found |= {plugin.name: plugin for plugin in from_directory(directory) if plugin.manifest.kind in kinds}
    wrong = [name for name in names if name not in found]
    if wrong:
        raise UsageError(f"no {' or '.join(kinds)} plugin is called {wrong[0]!r}: there are {', '.join(sorted(found))}")
    return [plugin for name, plugin in found.items() if not names or name in names]
