"""`pcifma drill`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click

from pcifma.cli.daemon import connect, json_option, plain, print_json, root_option
from pcifma.cli.text import plural
from pcifma.event.case import Urgency

_STAGES = {
    "logged": "the ereport is on disk",
    "diagnosed": "a case was made of it, list.suspect is on disk",
    "announced": "every agent has the fault",
    "closed": "the case has closed itself",
    "passed": "every agent has its end",
}
# Beyond what the drill itself may take.
_PATIENCE_S = 15.0


@click.command("drill")
@root_option
@json_option
@click.option("--urgency", type=click.Choice(get_args(Urgency)), default="now", help="How urgent the fault says it is (default: now).")
@click.option("--timeout", "timeout_s", metavar="SECONDS", type=click.FloatRange(0.1, 600), default=30.0, help="Failed after so long.")
@click.option("--purge", is_flag=True, help="No drill: take what drills have left out of the logs.")
def command(root: Path, *, as_json: bool, urgency: str, timeout_s: float, purge: bool) -> int:
    """A synthetic fault through the running daemon to everybody who is told of real ones: log, diagnosis, case, agents. It says that
    it is injected everywhere, accuses no part, and closes itself. Exit status 0 only if all of them have answered in time, else 1.
    """
    if purge:
        return _purge(root, as_json=as_json)
    with connect(root, timeout_s=timeout_s + _PATIENCE_S) as daemon:
        outcome: dict[str, Any] = daemon.ask("drill", {"urgency": urgency, "timeout_s": timeout_s})
    if as_json:
        print_json(outcome)
    else:
        for line in _words(outcome):
            click.echo(line)
    return 0 if outcome["passed"] else 1


def _words(outcome: dict[str, Any]) -> Iterator[str]:
    for stage, what in _STAGES.items():
        at_s = outcome["stages"].get(stage)
        yield f"{stage:<10} {'  --   ' if at_s is None else f'{at_s:6.2f}s'}  {what}"
    agents = ", ".join(map(plain, outcome["agents"]))
    yield f"agents     {agents or 'none is loaded: a fault is logged, and nobody is told'}"
    if outcome["passed"]:
        yield f"PASSED  case {outcome['case']}, INJECTED, is closed"
    else:
        yield f"FAILED  {outcome['missing']}: {plain(outcome['why'])}"


def _purge(root: Path, *, as_json: bool) -> int:
    with connect(root) as daemon:
        gone = daemon.ask("purge")
    if as_json:
        print_json(gone)
    else:
        click.echo(f"{plural(gone['ereports'], 'ereport')} and {plural(gone['lists'], 'list event')} of drills were taken out of the logs")
    return 0
