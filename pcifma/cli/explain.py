"""`pcifma explain`: the chain from a fault to each of its ereports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from pcifma.cli.daemon import root_option
from pcifma.cli.log import find, reader
from pcifma.cli.text import clean
from pcifma.event.ereport import Ereport
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


def words(case: CaseRecord, chain: dict[str, Any], events: list[Ereport]) -> Iterator[str]:
    """The chain for people."""
    yield f"case {case.uuid}  {case.code}  {case.state.lower()}  by {clean(case.rules)}"
    for suspect in case.suspects:
        yield f"  {suspect.certainty:3d}%  {clean(suspect.class_)}  {clean(suspect.device)}  {clean(suspect.location)}"
    if chain:
        yield f"rule {clean(str(chain.get('rule')))} (rules {clean(str(chain.get('rules')))}) on {clean(str(chain.get('device')))} explains"
    explained = set(chain.get("explains", ()))
    for event in events:
        mark = "by this rule" if event.uuid in explained else "as further evidence"
        since = f" after {event.not_before}" if event.not_before else ", age unknown" if event.first_look else ""
        yield f"  {event.time}{since}  {clean(event.class_)}  {clean(event.device)}  x{event.count}  {mark}"
        if "tlp" in event.payload:
            yield f"      header: {clean(str(event.payload['tlp']))}"
    yield from (f"looked for and not seen: {clean(missing)}" for missing in chain.get("not-seen", ()))
    if case.more:
        yield f"and {case.more} more ereports that were counted and not kept"
