"""`pcifma faulty`: what is broken, where, how sure that is, and what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import msgspec

from pcifma.cli.article import articles
from pcifma.cli.daemon import root_option
from pcifma.cli.faulty_sheet import Page, drilled, quiet, short, words
from pcifma.cli.log import cases, find, is_open, reader
from pcifma.cli.main import VERBS
from pcifma.cli.outlook import Outlook, outlook
from pcifma.fmd.engine.case import CaseRecord
from pcifma.fmd.log.reader import Reader

_ORDER = {"now": 0, "working-hours": 1, "never-mind": 2}


@click.command("faulty")
@root_option
@click.option("--json", "as_json", is_flag=True, help="JSON lines: one case a line, as its newest list event.")
@click.option("-a", "--all", "everything", is_flag=True, help="Repaired and resolved cases too.")
@click.option("-s", "brief", is_flag=True, help="One line a case.")
@click.option("-v", "verbose", is_flag=True, help="With the FMRIs of the suspects.")
@click.option("-u", "uuids", metavar="UUID", multiple=True, help="Only this case, open or not (its first characters; may be given again).")
@click.option("--check", is_flag=True, help="Exit 1 if a case is open; one of a drill is none.")
def command(
    root: Path, *, as_json: bool, everything: bool, brief: bool, verbose: bool, uuids: tuple[str, ...], check: bool
) -> int:
    """What is broken, where, how sure that is, and what to do. Reads the log; the daemon need not run, but knows more."""
    with reader(root) as log:
        every = cases(log)
        shown = [find(log, uuid) for uuid in uuids] if uuids else every if everything else [case for case in every if is_open(case)]
        shown.sort(key=lambda case: (_ORDER.get(case.urgency, 9), case.diag_time))
        around = outlook(root, log)
        page = Page(log, around, articles(), frozenset(VERBS), verbose)
        for line in _json(log, shown, around) if as_json else _words(shown, page, brief=brief):
            click.echo(line)
    return 1 if check and any(is_open(case) and not case.injected for case in every) else 0


def _json(log: Reader, shown: Sequence[CaseRecord], around: Outlook) -> Iterator[str]:
    for case in shown:
        newest = list(log.lists(case.uuid))[-1]
        yield msgspec.json.encode(newest).decode()
    status = around.status or {}
    watching = {"daemon": around.status is not None, "functions": status.get("functions"), "since": status.get("started")}
    known = {"last_look": status.get("last_look"), "last_drill": around.drill}
    yield json.dumps({"class": "faulty.summary", "version": 1, "cases": len(shown), **watching, **known})


def _words(shown: Sequence[CaseRecord], page: Page, *, brief: bool) -> Iterator[str]:
    if not shown:
        yield from quiet(page.outlook)
    for n, case in enumerate(shown):
        if brief:
            yield short(case, page)
            continue
        if n:
            yield ""
        yield from words(case, page)
    if shown and not brief:
        yield ""
        yield drilled(page.outlook) if page.outlook.status is not None else "The daemon does not answer: nothing is watched now."
