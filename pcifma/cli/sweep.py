"""`pcifma sweep`: one look at what is latched now."""

from __future__ import annotations

from pathlib import Path

import click

from pcifma.cli.glance import Request, glance
from pcifma.cli.source import plugin_options
from pcifma.errors import UsageError
from pcifma.plugin.loader import Plugin

EPILOG = """\b
SOURCE: nothing (this machine), - (a capture on standard input), a sysfs root, a file of `lspci -xxxx` text,
a fixture directory, or a tar of one.
\b
--clear writes ones to the status bits that it has logged, and nothing else, where nobody else keeps the registers: docs/clearing.md.
It uses the daemon's log; where a daemon runs, the daemon does it.
\b
Exit status: 0 nothing found; 1 an error bit other than residue; 2 could not sweep, or a bit could not be cleared;
3 nothing found, but not everything could be looked at.
"""


@click.command("sweep", epilog=EPILOG)
@click.argument("source", required=False)
@click.option("--json", "as_json", is_flag=True, help="JSON lines: one ereport a line, then the trailer.")
@plugin_options("source")
@click.option("--all", "everything", is_flag=True, help="List residue and unread Functions one by one.")
@click.option("--strict", is_flag=True, help="A Function that sleeps counts as not looked at (exit 3).")
@click.option("--host-root", type=click.Path(path_type=Path), help="Where the host's / is seen from here (in a container).")
@click.option("--clear", is_flag=True, help="Write back what is logged, where nobody else keeps the registers (root).")
@click.option("--root", metavar="DIR", type=click.Path(path_type=Path), help="With --clear: the daemon or the log below DIR.")
def command(
    source: str | None,
    *,
    as_json: bool,
    plugins: list[Plugin],
    everything: bool,
    strict: bool,
    host_root: Path | None,
    clear: bool,
    root: Path | None,
) -> int:
    """One look at this machine, or at a capture of another: what is latched now."""
    if clear:
        from pcifma.cli.sweep_clear import run  # noqa: PLC0415 - what only looks needs neither log nor daemon

        if host_root is not None:
            raise UsageError("--clear writes to this machine: it goes with no --host-root")
        return run(source, plugins, root, as_json=as_json, strict=strict)
    if root is not None:
        raise UsageError("--root names the log that --clear needs: give both, or none")
    return glance(Request(source, as_json, everything, strict, host_root, lambda: plugins))
