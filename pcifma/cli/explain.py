"""`pcifma explain`: the chain from a fault to each of its ereports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from pcifma.cli.daemon import root_option
from pcifma.cli.explain_sheet import words
from pcifma.cli.log import find, reader
from pcifma.fmd.engine.case import CaseRecord
from pcifma.fmd.log.reader import Reader


@click.command("explain")
@root_option
@click.argument("uuid")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(root: Path, uuid: str, *, as_json: bool) -> int:
    """The chain from a fault to each of its ereports, what was looked for and not seen. UUID may be cut to its first characters."""
    with reader(root) as log:
        case = find(log, uuid)
        found = chain(log, case)
        events = log.errors(list(log.evidence(case.id)))
    if as_json:
        click.echo(json.dumps({**found, "case": case.uuid, "ereports": [event.uuid for event in events]}, sort_keys=True))
    else:
        for line in words(case, found, events):
            click.echo(line)
    return 0


def chain(log: Reader, case: CaseRecord) -> dict[str, Any]:
    """What the module that diagnosed *case* kept of its reasons: rule, what it explains, what it missed; empty if nothing.

    A module keeps it in a buffer `why:<uuid>`, or many together in `why:<first two digits>`, by uuid.
    """
    state = log.state(case.module)
    own, shared = (state.get(("buffer", f"why:{name}")) for name in (case.uuid, case.uuid[:2]))
    found: dict[str, Any] = json.loads(own) if own else json.loads(shared).get(case.uuid, {}) if shared else {}
    return found
