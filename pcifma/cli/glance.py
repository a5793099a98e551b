"""What `pcifma sweep` does once its words are understood; and the way around the parser for the words that most sweeps have.

A sweep of a thousand Functions takes a tenth of a second: what it does not need is not imported, and what it makes is not collected.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from pcifma.access.open import open_source
from pcifma.access.seam import Machine
from pcifma.cli.found import Outcome, write_json
from pcifma.cli.text import clean
from pcifma.fabric.build import build
from pcifma.plugin.loader import Plugin, sources
from pcifma.poll.look import Look
from pcifma.poll.poller import Poller

_FLAGS = ("--json", "--all", "--strict")


class Request(NamedTuple):
    """The words of a sweep, as docs/contracts.md has them. *plugins*: those that look."""

    source: str | None = None
    as_json: bool = False
    everything: bool = False
    strict: bool = False
    host_root: Path | None = None
    plugins: Callable[[], Sequence[Plugin]] = sources


def plain(words: Sequence[str]) -> Request | None:
    """The sweep that *words* ask for, if they are whole flags and at most one SOURCE; None where it takes a parser."""
    as_json, everything, strict = (flag in words for flag in _FLAGS)
    others = [word for word in words if word not in _FLAGS]
    if len(others) > 1 or any(word.startswith("-") and word != "-" for word in others):
        return None
    return Request(others[0] if others else None, as_json, everything, strict)


def glance(request: Request) -> int:
    """One look; the exit status. PcifmaError."""
    machine = open_source(request.source, host_root=request.host_root)
    for complaint in machine.complaints:
        _warn(complaint)
    poller = Poller(machine, build(machine), request.plugins(), once=True)
    look = poller.look()
    outcome = Outcome.of([look])
    for failure in outcome.failed:
        _warn(failure)
    try:
        if request.as_json:
            write_json(sys.stdout.buffer, look.ereports, outcome.summary)
        else:
            _draw(poller, machine, look, outcome, everything=request.everything)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has read enough
    return outcome.status(strict=request.strict)


def _warn(text: str) -> None:
    print(f"pcifma: {clean(text)}", file=sys.stderr)


def _draw(poller: Poller, machine: Machine, look: Look, outcome: Outcome, *, everything: bool) -> None:
    import click  # noqa: PLC0415 - words for people are not needed with --json

    from pcifma.cli.sheet import Report, sheet  # noqa: PLC0415
    from pcifma.platform.survey import survey  # noqa: PLC0415

    report = Report(poller.fabric, machine, look, outcome, survey(machine, poller.fabric))
    for line in sheet(report, everything=everything):
        click.echo(line)
