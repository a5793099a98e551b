"""`pcifma check`: is all well, in one line and an exit status.

Found comes before not being able to look, and that before nothing: a daemon that is stuck must never look like a healthy host.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from pcifma.cli.daemon import root_option
from pcifma.cli.log import cases, is_open, reader
from pcifma.cli.outlook import Outlook, outlook
from pcifma.cli.text import clean, plural
from pcifma.errors import DaemonError, PcifmaError
from pcifma.fmd.engine.case import CaseRecord
from pcifma.fmd.log.row import wall_of
from pcifma.poll.absence import ASLEEP

NOTHING, FOUND, TROUBLE, INCOMPLETE = 0, 1, 2, 3
_NAGIOS = {NOTHING: "OK", FOUND: "WARNING", TROUBLE: "CRITICAL", INCOMPLETE: "UNKNOWN"}
# A daemon that has missed so many looks, and has not looked for so long, is stuck.
_STALE_LOOKS, _STALE_S = 3, 60.0
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class _Finding:
    urgent: bool
    cases: tuple[str, ...]
    minor: int
    gaps: tuple[str, ...]
    figures: Mapping[str, str]


class Check(click.Command):
    """With --nagios, words that are wrong are UNKNOWN: 2 would page somebody."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click's."""
        nagios = "--nagios" in args
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as err:
            if not nagios:
                raise
            click.echo(f"PCIFMA UNKNOWN: {' '.join(err.format_message().split())}")
            ctx.exit(INCOMPLETE)


@click.command("check", cls=Check)
@root_option
@click.option("--nagios", is_flag=True, help="A line and a status as Nagios wants them: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.")
def command(root: Path, *, nagios: bool) -> int:
    """One line, and an exit status: 0 nothing open and all looked at, 1 a case is open, 2 no daemon or no log, 3 nothing open, but not
    everything could be looked at. A sleeping Function is left asleep on purpose; a case of a drill is none.
    """
    try:
        found = _find(root)
    except PcifmaError as err:
        if not nagios:
            raise
        click.echo(f"PCIFMA UNKNOWN: {clean(str(err))}")
        return INCOMPLETE
    minor = [f"{plural(found.minor, 'case')} of no urgency"] if found.minor else []
    text = "; ".join([*found.cases[:_SHOWN], *_more(found.cases), *minor, *found.gaps]) or "no faults"
    status = FOUND if found.cases else INCOMPLETE if found.gaps else NOTHING
    if not nagios:
        click.echo(text)
        return FOUND if found.minor else status
    # Nagios's CRITICAL is a case that cannot wait; one of no urgency is nothing to be called for.
    status = TROUBLE if found.urgent else status
    click.echo(f"PCIFMA {_NAGIOS[status]}: {text} | {' '.join(f'{key}={value}' for key, value in found.figures.items())}")
    return status


def _more(lines: Sequence[str]) -> Iterator[str]:
    if len(lines) > _SHOWN:
        yield f"{len(lines) - _SHOWN} more"


def _find(root: Path) -> _Finding:
    with reader(root) as log:
        open_ = [case for case in cases(log) if is_open(case) and not case.injected]
        around = outlook(root, log)
    if around.status is None:
        raise DaemonError(around.silence)
    gaps = tuple(_gaps(around, around.status))
    figures = {
        "cases": str(len(open_)),
        "urgent": str(sum(case.urgency == "now" for case in open_)),
        "functions": str(around.status.get("functions", 0)),
        "unread": str(sum(around.status.get("unread", {}).values())),
        "ereports": f"{around.status.get('ereports', 0)}c",
    }
    matters = sorted((case for case in open_ if case.urgency != "never-mind"), key=lambda case: case.urgency != "now")
    urgent = any(case.urgency == "now" for case in open_)
    return _Finding(urgent, tuple(map(_text, matters)), len(open_) - len(matters), gaps, figures)


def _text(case: CaseRecord) -> str:
    first = case.first
    where = clean("  ".join(filter(None, (first.location, first.device))))
    return f"{clean(case.code)} {case.uuid[:8]} {clean(case.severity)}, {case.urgency.replace('-', ' ')}: {first.certainty}% {where}"


def _gaps(around: Outlook, status: Mapping[str, Any]) -> Iterator[str]:
    if status["waiting"]:
        yield f"nothing is looked at: {clean(status['waiting'])}"
        return
    last, patience_s = status.get("last_look"), max(_STALE_S, _STALE_LOOKS * status.get("interval_s", 0.0))
    if last is None or around.now_ns - wall_of(last) > patience_s * 1e9:
        yield f"no look since {last or 'the start'}"
    unread = {reason: n for reason, n in status["unread"].items() if reason != ASLEEP}
    if unread:
        yield f"{plural(sum(unread.values()), 'Function')} cannot be read ({', '.join(map(clean, unread))})"
    if status["log"]["trouble"]:
        yield f"the log is not written: {clean(status['log']['trouble'])}"
    if failed := status["plugins"]["failed"]:
        yield f"{plural(failed, 'plugin')} set aside: pcifma config"
