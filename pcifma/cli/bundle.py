"""`pcifma bundle`: one case as a tar that a vendor can judge by itself: what was seen, where, when, on which machine, and the registers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from pcifma.access.open import open_live
from pcifma.cli.bundle_file import members
from pcifma.cli.daemon import connect, root_option
from pcifma.cli.log import find, reader
from pcifma.cli.tar import write
from pcifma.cli.text import plural
from pcifma.errors import DaemonError
from pcifma.fmd.machine_fact import facts

EPILOG = """\b
Reads the log; where a daemon runs, root also gets the registers of the Functions concerned and of the ports above them as they are now:
what the specifications name, and with --whole every byte, which some devices do not bear. Nothing is written to hardware.
--redact replaces guest and host names, serial numbers and the host's uuids by made-up ones, the same by the same throughout.
The tar holds the same bytes whenever it is made of the same facts; SHA256SUMS in it lists them.
"""


@click.command("bundle", epilog=EPILOG)
@root_option
@click.argument("uuid", metavar="CASE")
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Default: pcifma-case-….tar here.")
@click.option("--redact", is_flag=True, help="Leave out what tells which host, guest or unit it is.")
@click.option("--whole", is_flag=True, help="Every byte of configuration space (root, and a daemon that runs).")
def command(root: Path, uuid: str, *, output: Path | None, redact: bool, whole: bool) -> int:
    """The case (its uuid's beginning) for a vendor, as a tar that only you can read."""
    with reader(root) as log:
        case = find(log, uuid)
        shown, why = _exhibit(root, case.uuid, whole=whole)
        if shown is None:
            shown = _of_this_host({event.host for event in log.lists(case.uuid)})
        found = members(log, case, shown, why, redact=redact)
    target = output or Path(f"pcifma-case-{case.uuid[:8]}.tar")
    write(target, f"pcifma-case-{case.uuid[:8]}", found.files, found.mtime)
    click.echo(f"{target}: {plural(found.files, 'file')}{', redacted' if redact else ''}")
    if why:
        click.echo(f"pcifma: {why}", err=True)
    return 0


def _exhibit(root: Path, uuid: str, *, whole: bool) -> tuple[dict[str, Any] | None, str]:
    try:
        with connect(root) as daemon:
            found: dict[str, Any] = daemon.ask("exhibit", {"case": uuid, "whole": whole})
    except DaemonError as err:
        if whole:
            raise
        return None, f"the registers as they are now are not in it: {err}"
    return found, "" if found["registers"] else "the registers as they are now are not in it: only root may have them read"


def _of_this_host(hosts: set[str]) -> dict[str, Any]:
    # Without a daemon: what this machine says of itself, if it is the one that the log is of.
    return {"facts": facts(open_live(udev=False).host, ()) if hosts == {os.uname().nodename} else {}}
