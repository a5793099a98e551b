"""`pcifma clear`: one-time consent to writing back what is logged of one Function, or of those that a case concerns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from pcifma.cli.cleared import DONE, REFUSED, Cleared, consent
from pcifma.cli.daemon import connect, root_option
from pcifma.cli.text import clean
from pcifma.event.written import ClearSummary, encode_written
from pcifma.fmd.path import Paths

EPILOG = """\b
Writes ones to status bits that are logged and still set, and nothing else: AER first, then PCI and Secondary Status, Device
Status, Root Error Status last. Refused where the kernel, firmware or a guest keeps the registers. Works whatever `clear:` in
the configuration says; needs root. A cleared bit shows repeats again, and takes its evidence from whoever reads the register
after us: the log has it. docs/clearing.md.
\b
Exit status: 0 done, or nothing to do; 2 refused (all or in part), or no daemon.
"""


@click.command("clear", epilog=EPILOG)
@root_option
@click.argument("what", metavar="CASE|FUNCTION")
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines: one write a line, then the trailer.")
def command(root: Path, what: str, *, dry_run: bool, as_json: bool) -> int:
    """Clear the logged status bits of a Function (0000:04:00.0), or of those that a case (its uuid's beginning) concerns."""
    with connect(root) as daemon:
        planned = daemon.ask("clear.plan", {"what": what})
        if dry_run:
            return _plan(planned, as_json=as_json)
        with consent(Paths(root).consent, sorted({write["device"] for write in planned["writes"]}) or [what]):
            answer = daemon.ask("clear", {"what": what})
    found = Cleared.of(answer)
    if as_json:
        for one in (*found.lines(), ClearSummary(case=answer["case"], writes=found.written)):
            click.echo(encode_written(one))
    else:
        for text in found.sheet():
            click.echo(text)
    for text in found.refusals():
        click.echo(f"pcifma: {text}", err=True)
    if not (found.writes or found.refused or as_json):
        click.echo("nothing that is logged of it can be cleared: no bit is set that may be written")
    return found.status


def _plan(planned: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps({"class": "clear.plan", "version": 1, **planned}))
    else:
        for write in planned["writes"]:
            click.echo(f"would write {write['bits']:x} to {clean(write['device'])} {clean(write['register'])}")
        for device, why in planned["refused"]:
            click.echo(f"would refuse {clean(device)}: {clean(why)}")
        if not (planned["writes"] or planned["refused"]):
            click.echo("nothing that is logged can be cleared")
    return REFUSED if planned["refused"] else DONE
