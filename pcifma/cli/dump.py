"""`pcifma dump`: the fault log and the error log, those that were rotated out of them too. The daemon need not run."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import click

from pcifma.cli.daemon import root_option
from pcifma.cli.dump_sheet import Layout, layout
from pcifma.cli.moment import moment
from pcifma.cli.query import Named, Query, Which
from pcifma.cli.tail import Found, Tail
from pcifma.cli.text import clean
from pcifma.errors import LogError, UsageError
from pcifma.fmd.log.reader import Damaged, Reader
from pcifma.fmd.log.readonly import open_readonly
from pcifma.fmd.path import Paths

FOLLOW_S = 0.5
# So long a log that is being followed may be away: the daemon replaces a damaged one.
_AWAY_S = 20.0
_UNREADABLE = 3


@click.command("dump")
@root_option
@click.option("-e", "errors", is_flag=True, help="The error log (ereports) instead of the fault log (cases).")
@click.option("-i", "informative", is_flag=True, help="Ereports that only inform.")
@click.option("-I", "own", is_flag=True, help="What pcifma says of itself: changes made, plugins set aside, drills, planned work.")
@click.option("-A", "both", is_flag=True, help="Both logs.")
@click.option("-v", "verbose", is_flag=True, help="Each event with its members that matter.")
@click.option("-V", "whole", is_flag=True, help="Each event whole.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines.")
@click.option("-c", "classes", metavar="CLASS", multiple=True, help="Only this class (a glob; may be given again, as -u and -n may).")
@click.option("-t", "since", metavar="TIME", help="Only events at or after TIME (2h, 2026-11-22T20:15:00, 11/22/26 20:15:00, 20:15).")
@click.option("-T", "until", metavar="TIME", help="Only events at or before TIME.")
@click.option("-u", "uuids", metavar="UUID", multiple=True, help="Only this case or event; with -e, the ereports of that case.")
@click.option("-n", "names", metavar="NAME[=VALUE]", multiple=True, help="Only events with this member; VALUE: a regular expression.")
@click.option("--no-injected", is_flag=True, help="Without synthetic events.")
@click.option("-f", "follow", is_flag=True, help="Go on as events come, until interrupted.")
@click.argument("files", nargs=-1, metavar="[FILE]…", type=click.Path(path_type=Path))
def command(
    root: Path,
    *,
    errors: bool,
    informative: bool,
    own: bool,
    both: bool,
    verbose: bool,
    whole: bool,
    as_json: bool,
    classes: tuple[str, ...],
    since: str | None,
    until: str | None,
    uuids: tuple[str, ...],
    names: tuple[str, ...],
    no_injected: bool,
    follow: bool,
    files: tuple[Path, ...],
) -> int:
    """The fault log, or with -e the error log; of FILE alone, if one is given (a log that was rotated out). The daemon need not run."""
    query = Query(
        which=which(error=errors, info=informative, own=own, all=both),
        classes=classes,
        since=moment(since) if since else "",
        until=moment(until) if until else "~",
        uuids=uuids,
        names=tuple(map(Named.parse, names)),
        injected=not no_injected,
    )
    refuse_following_files(follow=follow, files=files)
    form = layout(errors=query.which != "fault", verbose=verbose, whole=whole, as_json=as_json)
    return run(Paths(root).log, query, form, follow=follow, files=files)


def which(**chosen: bool) -> Which:
    """The one log that the options name; UsageError for more than one."""
    named: list[Which] = [name for name in ("error", "info", "own", "all") if chosen[name]]
    if len(named) > 1:
        raise UsageError("-e, -i, -I and -A exclude each other")
    return named[0] if named else "fault"


def refuse_following_files(*, follow: bool, files: Sequence[Path]) -> None:
    """UsageError: nothing is added to a log that was rotated out."""
    if follow and files:
        raise UsageError("-f follows the daemon's log, and no file beside it")


def run(log: Path, query: Query, form: Layout, *, follow: bool = False, files: Sequence[Path] = ()) -> int:
    """Print what *query* keeps; 0, or 3 if some events could not be read."""
    tail, damaged = Tail(log, files), 0
    rounds = _followed(tail) if follow else iter((tail.news(),))
    tail.ready()
    if form.title:
        click.echo(form.title)
    for found in rounds:
        wanted = _with_evidence(query, files[-1] if files else log)
        for event in found:
            if isinstance(event, Damaged):
                damaged += 1
                print(f"event {event.seq} cannot be read: {clean(event.why)}", file=sys.stderr)
            elif wanted.keeps(event):
                click.echo(form.show(event))
    return _UNREADABLE if damaged else 0


def _with_evidence(query: Query, log: Path) -> Query:
    if not query.uuids or query.which == "fault":
        return query
    with closing(Reader(open_readonly(log))) as reader:
        return query.with_evidence(reader)


def _followed(tail: Tail) -> Iterator[Iterator[Found]]:
    yield tail.news()  # a log that is not there is said at once
    while True:
        time.sleep(FOLLOW_S)
        yield _patiently(tail)


def _patiently(tail: Tail) -> Iterator[Found]:
    end_s = time.monotonic() + _AWAY_S
    while True:
        try:
            yield from tail.news()
            return
        except LogError:
            if time.monotonic() > end_s:
                raise
            time.sleep(FOLLOW_S)
