"""What the commands that talk to the daemon share: `--root`, `--json`, and the connection."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from pcifma.fmd.client import Client
from pcifma.fmd.path import Paths

F = TypeVar("F", bound=Callable[..., Any])


def root_option(function: F) -> F:
    """`--root DIR`: the daemon whose files are below DIR."""
    text = "The daemon whose files are below DIR."
    return click.option("--root", metavar="DIR", type=click.Path(path_type=Path), default=Path("/"), help=text)(function)


def json_option(function: F) -> F:
    """`--json`: the daemon's answer as JSON."""
    return click.option("--json", "as_json", is_flag=True, help="The daemon's answer as one JSON value.")(function)


def connect(root: Path, *, timeout_s: float = 30.0) -> Client:
    """A connection to the daemon of *root*, which has so long for each answer; DaemonError if there is none."""
    return Client(Paths(root).socket, timeout_s=timeout_s)


def plain(value: object) -> str:
    """Text from a daemon that got it from devices and plugins: no control bytes reach a terminal."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(value))


def print_json(value: object) -> None:
    """*value* as one line of JSON."""
    import json  # noqa: PLC0415 - only with --json

    click.echo(json.dumps(value, sort_keys=True))
