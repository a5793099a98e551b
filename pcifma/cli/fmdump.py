"""`fmdump`, as illumos has it: its letters, columns and exit statuses, on what `pcifma dump` stands on.

0 done; 1 the log cannot be read; 2 wrong usage; 3 some events could not be read.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click

from pcifma.cli import dump
from pcifma.cli.edge import run_and_exit
from pcifma.cli.fmdump_sheet import layout
from pcifma.cli.log import host_of, reader
from pcifma.cli.moment import moment
from pcifma.cli.query import Named, Query, Which
from pcifma.cli.text import clean
from pcifma.errors import UsageError
from pcifma.fmd.log.reader import Reader
from pcifma.fmd.log.readonly import open_readonly
from pcifma.fmd.path import Paths

FATAL = 1
_LABELS: dict[Which, str] = {"fault": "fltlog", "error": "errlog", "info": "infolog", "own": "infolog_hival"}


@click.command("fmdump", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-e", "errors", is_flag=True, help="The error log; without -e, -i, -I or -A the fault log.")
@click.option("-i", "informative", is_flag=True, help="What only informs.")
@click.option("-I", "high", is_flag=True, help="What pcifma says of itself: changes made, plugins set aside, drills, planned work.")
@click.option("-A", "both", is_flag=True, help="Both logs by time.")
@click.option("-a", "every", is_flag=True, help="Accepted, without effect: no case here is not for people.")
@click.option("-f", "follow", is_flag=True, help="Go on as events come.")
@click.option("-H", "header", is_flag=True, help="Only who wrote the log: host and version.")
@click.option("-m", "message", is_flag=True, help="The message of each case.")
@click.option("-v", "verbose", is_flag=True, help="More of each event.")
@click.option("-V", "whole", is_flag=True, help="All of each event.")
@click.option("-p", "pretty", is_flag=True, help="With -V: lists within lists indented.")
@click.option("-j", "as_json", is_flag=True, help="With -V: a JSON object a line.")
@click.option("-c", "classes", metavar="CLASS", multiple=True, help="Only this class (a glob).")
@click.option("-R", "root", metavar="DIR", type=click.Path(path_type=Path), help="The daemon whose files are below DIR.")
@click.option("-t", "since", metavar="TIME", multiple=True, help="Only at or after TIME.")
@click.option("-T", "until", metavar="TIME", multiple=True, help="Only at or before TIME.")
@click.option("-u", "uuids", metavar="UUID", multiple=True, help="Only this case; with -e, its ereports.")
@click.option("-n", "names", metavar="NAME[.NAME]*[=VALUE]", multiple=True, help="Only with this member; VALUE: a regular expression.")
@click.argument("files", nargs=-1, metavar="[FILE]…", type=click.Path(path_type=Path))
def fmdump(
    *,
    errors: bool,
    informative: bool,
    high: bool,
    both: bool,
    every: bool,
    follow: bool,
    header: bool,
    message: bool,
    verbose: bool,
    whole: bool,
    pretty: bool,
    as_json: bool,
    classes: tuple[str, ...],
    root: Path | None,
    since: tuple[str, ...],
    until: tuple[str, ...],
    uuids: tuple[str, ...],
    names: tuple[str, ...],
    files: tuple[Path, ...],
) -> int:
    """The fault log, or the error log, or of FILE (a log that was rotated out). Filters of one kind are joined by or, kinds by and."""
    del every
    which = dump.which(error=errors, info=informative, own=high, all=both)
    _refuse(
        {
            "-A and -m": both and message,
            "-A and -H": both and header,
            "-A and -u": both and bool(uuids),
            "-m without the fault log": message and which != "fault",
            "-p without -V": pretty and not whole,
            "-j without -V": as_json and not whole,
            "-j and -p": as_json and pretty,
            "-R and FILE": root is not None and bool(files),
        }
    )
    dump.refuse_following_files(follow=follow, files=files)
    log = Paths(root or Path("/")).log
    if header:
        for line in _header(files[-1] if files else log, which):
            print(line)
        return 0
    query = Query(
        which=which,
        classes=classes,
        since=min(map(moment, since), default=""),
        until=max(map(moment, until), default="~"),
        uuids=uuids,
        names=tuple(map(Named.parse, names)),
    )
    _say_if_empty(root or Path("/"), files)
    form = layout(errors=which != "fault", message=message, depth=2 if whole else int(verbose), pretty=pretty, as_json=as_json)
    return dump.run(log, query, form, follow=follow, files=files)


def _header(log: Path, which: Which) -> Iterator[str]:
    # illumos's names; what a log does not hold of its host is left out.
    with closing(Reader(open_readonly(log))) as found:
        yield "EXD_CREATOR = pcifma"
        yield f"EXD_HOSTNAME = {clean(host_of(found))}"
        yield f"EXD_FMA_LABEL = {_LABELS[which]}"
        yield f"EXD_FMA_VERSION = {clean(found.written_by())}"


def _refuse(wrong: dict[str, bool]) -> None:
    for what, is_so in wrong.items():
        if is_so:
            raise UsageError(f"{what}: that does not go together")


def _say_if_empty(root: Path, files: tuple[Path, ...]) -> None:
    if not files and sys.stdout.isatty():
        with reader(root) as log:
            if log.last() == 0:
                print(f"fmdump: {Paths(root).log} is empty", file=sys.stderr)


def run() -> None:
    """The command `fmdump`."""
    run_and_exit(fmdump, "fmdump", trouble=FATAL)
