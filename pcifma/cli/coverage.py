"""`pcifma coverage`: for each Function, who would hear an error, and why not."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from pcifma.access.open import open_source
from pcifma.fabric.build import build
from pcifma.platform import waiver
from pcifma.platform.survey import Survey, survey

EPILOG = """\b
SOURCE: nothing (this machine), - (a capture on standard input), a sysfs root, a file of `lspci -xxxx` text,
a fixture directory, or a tar of one. A capture tells what its registers tell; the rest is `?`, with the reason.
\b
Exit status: 0 done; 1 with --strict, a Function that is deaf and not waived; 2 could not look;
3 not everything could be looked at (asleep: only with --strict).
"""
WAIVERS = Path("/etc/pcifma/waivers.yaml")
DEAF, INCOMPLETE = 1, 3


@click.command("coverage", epilog=EPILOG)
@click.argument("source", required=False)
@click.option("--json", "as_json", is_flag=True, help="JSON lines: one Function a line, then the trailer.")
@click.option("--strict", is_flag=True, help="Exit 1 if a Function is deaf and no waiver covers it.")
@click.option("--all", "everything", is_flag=True, help="List Functions that are heard as well, and every reason of each.")
@click.option("--waivers", "waivers", type=click.Path(path_type=Path), help=f"File of waivers (default: {WAIVERS} where there is one).")
@click.option("--host-root", type=click.Path(path_type=Path), help="Where the host's / is seen from here (in a container).")
def command(source: str | None, *, as_json: bool, strict: bool, everything: bool, waivers: Path | None, host_root: Path | None) -> int:
    """For each Function of this machine, or of a capture: would anybody hear of an error?"""
    machine = open_source(source, host_root=host_root)
    for complaint in machine.complaints:
        click.echo(f"pcifma: {complaint}", err=True)
    path = waivers or (WAIVERS if source is None and WAIVERS.exists() else None)
    found = survey(machine, build(machine), waivers=waiver.load(path) if path else ())
    if as_json:
        _write(found)
    else:
        _draw(found, machine.name, everything=everything)
    return _status(found, strict=strict)


def _write(found: Survey) -> None:
    encode = msgspec.json.Encoder().encode
    lines = [*(encode(line.coverage) for line in found.lines), encode(found.summary())]
    sys.stdout.buffer.write(b"\n".join(lines) + b"\n")
    sys.stdout.buffer.flush()


def _draw(found: Survey, name: str, *, everything: bool) -> None:
    from pcifma.cli.coverage_sheet import sheet  # noqa: PLC0415 - words for people are not needed with --json

    for line in sheet(found, name, everything=everything):
        click.echo(line)


def _status(found: Survey, *, strict: bool) -> int:
    summary = found.summary()
    if strict and summary.deaf:
        return DEAF
    return INCOMPLETE if any(strict or reason != "asleep" for reason in summary.unread) else 0
