"""`pcifma faulty`: what is broken, where, how sure that is, and what to do."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from pcifma.cli.daemon import root_option
from pcifma.cli.log import cases, reader
from pcifma.cli.text import clean, plural
from pcifma.fmd.engine.case import CaseRecord
from pcifma.fmd.log.reader import Reader

_CLOSED = ("REPAIRED", "RESOLVED", "DISCARDED")
_ORDER = {"now": 0, "working-hours": 1, "never-mind": 2}
_DO = {
    "now": "the part is failing: move what runs on it, then replace the first suspect",
    "working-hours": "plan it: reseat or replace the first suspect",
    "never-mind": "nothing: it is kept as evidence",
}


@click.command("faulty")
@root_option
@click.option("--json", "as_json", is_flag=True, help="JSON lines: one case a line, as its newest list event.")
@click.option("--all", "everything", is_flag=True, help="Repaired and resolved cases too.")
@click.option("--check", is_flag=True, help="Exit 1 if a case is open.")
def command(root: Path, *, as_json: bool, everything: bool, check: bool) -> int:
    """What is broken, where, how sure that is, and what to do. Reads the log; the daemon need not run."""
    with reader(root) as log:
        every = cases(log)
        open_ = [case for case in every if case.state not in _CLOSED and case.faulty]
        shown = every if everything else open_
        shown.sort(key=lambda case: (_ORDER.get(case.urgency, 9), case.diag_time))
        lines = _json(log, shown) if as_json else _words(log, shown)
        for line in lines:
            click.echo(line)
    return 1 if check and open_ else 0


def _json(log: Reader, shown: list[CaseRecord]) -> Iterator[str]:
    for case in shown:
        newest = list(log.lists(case.uuid))[-1]
        yield msgspec.json.encode(newest).decode()
    yield json.dumps({"class": "faulty.summary", "version": 1, "cases": len(shown)})


def _words(log: Reader, shown: list[CaseRecord]) -> Iterator[str]:
    if not shown:
        yield "No faults."
    for case in shown:
        yield from _case(log, case)


def _case(log: Reader, case: CaseRecord) -> Iterator[str]:
    colour = "red" if case.urgency == "now" else "yellow"
    state = "" if case.state == "SOLVED" else f"  {case.state.lower()}"
    injected = "  INJECTED" if case.injected else ""
    yield click.style(case.severity.upper(), fg=colour) + f"  {case.code}  case {case.uuid}  since {case.diag_time[:19]}Z{state}{injected}"
    for n, suspect in enumerate(case.suspects):
        where = clean("  ".join(filter(None, (suspect.device, suspect.location))))
        head = "Suspects" if n == 0 else ""
        yield f" {head:<9} {suspect.certainty:3d}%  {clean(suspect.class_)}  {where}  {suspect.status}"
    counted = Counter(f"{e.class_.removeprefix('ereport.')} at {e.device}" for e in log.errors(list(log.evidence(case.id))))
    reasons = [f"{name} ({plural(n, 'ereport')})" for name, n in counted.most_common(4)]
    yield f" {'Because':<9} {clean('; '.join(reasons)) or 'its evidence is no longer kept'}"
    yield f" {'Urgency':<9} {case.urgency.replace('-', ' ')}"
    yield f" {'Do':<9} {_DO[case.urgency]}; then pcifma repaired {case.uuid[:8]}; why: pcifma explain {case.uuid[:8]}"
