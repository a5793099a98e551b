"""`pcifma sweep`: one look at what is latched now."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pcifma.access.open import open_source
from pcifma.access.seam import Machine
from pcifma.cli.found import Outcome, write_json
from pcifma.cli.source import plugin_options
from pcifma.cli.text import clean
from pcifma.fabric.build import build
from pcifma.plugin.loader import Plugin
from pcifma.poll.poller import Look, Poller

EPILOG = """\b
SOURCE: nothing (this machine), - (a capture on standard input), a sysfs root, a file of `lspci -xxxx` text,
a fixture directory, or a tar of one.
\b
Exit status: 0 nothing found; 1 an error bit other than residue; 2 could not sweep;
3 nothing found, but not everything could be looked at.
"""


@click.command("sweep", epilog=EPILOG)
@click.argument("source", required=False)
@click.option("--json", "as_json", is_flag=True, help="JSON lines: one ereport a line, then the trailer.")
@plugin_options("source")
@click.option("--all", "everything", is_flag=True, help="List residue and unread Functions one by one.")
@click.option("--strict", is_flag=True, help="A Function that sleeps counts as not looked at (exit 3).")
@click.option("--host-root", type=click.Path(path_type=Path), help="Where the host's / is seen from here (in a container).")
def command(source: str | None, *, as_json: bool, plugins: list[Plugin], everything: bool, strict: bool, host_root: Path | None) -> int:
    """One look at this machine, or at a capture of another: what is latched now."""
    machine = open_source(source, host_root=host_root)
    for complaint in machine.complaints:
        click.echo(f"pcifma: {clean(complaint)}", err=True)
    poller = Poller(machine, build(machine), plugins)
    look = poller.look()
    outcome = Outcome.of([look])
    for failure in outcome.failed:
        click.echo(f"pcifma: {clean(failure)}", err=True)
    if as_json:
        write_json(sys.stdout.buffer, look.ereports, outcome.summary)
    else:
        _draw(poller, machine, look, outcome, everything=everything)
    return outcome.status(strict=strict)


def _draw(poller: Poller, machine: Machine, look: Look, outcome: Outcome, *, everything: bool) -> None:
    from pcifma.cli.sheet import Report, sheet  # noqa: PLC0415 - words for people are not needed with --json
    from pcifma.platform.survey import survey  # noqa: PLC0415

    report = Report(poller.fabric, machine, look, outcome, survey(machine, poller.fabric))
    for line in sheet(report, everything=everything):
        click.echo(line)
