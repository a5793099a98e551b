"""`pcifma fmd`: the fault management daemon, in the foreground."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

EPILOG = """\b
Exit status: 0 stopped, or --check found nothing wrong; 2 could not start, or --check found mistakes.
"""


@click.command("fmd", epilog=EPILOG)
@click.option("--config", metavar="FILE", type=click.Path(path_type=Path), help="Configuration file (default: etc/pcifma/pcifma.yaml).")
@click.option("--check", is_flag=True, help="Check configuration and plugins, say every mistake, start nothing.")
@click.option("--root", metavar="DIR", type=click.Path(path_type=Path), default=Path("/"), help="All files below DIR.")
@click.option("--source", metavar="SOURCE", help="Look at this instead of this machine (as `pcifma sweep SOURCE`).")
def command(config: Path | None, check: bool, root: Path, source: str | None) -> int:
    """The daemon: keeps looking, keeps what it saw, and says which part is at fault. Runs in the foreground."""
    if check:
        return examine(root, config)
    import json  # noqa: PLC0415 - `--help` needs it not

    order = {"root": str(root.absolute()), "config": None if config is None else str(config.absolute()), "source": _absolute(source)}
    sys.stdout.flush()
    sys.stderr.flush()
    # A process of its own: isolated from environment and working directory, and without what only commands need in memory.
    os.execv(sys.executable, [sys.executable, "-I", "-m", "pcifma.fmd", json.dumps(order)])


def examine(root: Path, file: Path | None) -> int:
    """Say every mistake in the configuration and the plugins; ConfigError if there is any."""
    from pcifma.fmd import config  # noqa: PLC0415 - not needed to start the daemon
    from pcifma.fmd.path import Paths  # noqa: PLC0415
    from pcifma.fmd.roster import check  # noqa: PLC0415

    found, mistakes = config.examine(Paths(root), file)
    trusted = frozenset({0} if os.geteuid() == 0 else {0, os.geteuid()})
    config.fail([*mistakes, *check(found, Paths(root), trusted=trusted)])
    names = ", ".join(map(str, found.files)) or "no file: defaults"
    click.echo(f"configuration and plugins are in order ({names})")
    return 0


def _absolute(source: str | None) -> str | None:
    return source if source in (None, "-") else str(Path(source).absolute())
