"""`pcifma status`: how the daemon is doing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from pcifma.cli.daemon import connect, json_option, plain, print_json, root_option
from pcifma.cli.text import plural

_UNREAD_SHOWN = 10


@click.command("status")
@root_option
@json_option
def command(root: Path, as_json: bool) -> int:
    """How the daemon is doing: what it looks at, what it cannot, what it has written."""
    with connect(root) as daemon:
        status = daemon.ask("status")
    if as_json:
        print_json(status)
    else:
        for line in lines(status):
            click.echo(line)
    return 0


def lines(status: dict[str, Any]) -> Iterator[str]:
    """The status for people, a line each."""
    yield f"pcifma {status['version']} on {plain(status['host'])}, process {status['pid']} (uid {status['uid']}), since {status['started']}"
    if status["waiting"]:
        yield f"waiting   {plain(status['waiting'])}: nothing is looked at"
        return
    unread = ", ".join(f"{count} {plain(reason)}" for reason, count in status["unread"].items())
    read = status["functions"] - sum(status["unread"].values())
    yield f"looking   {read} of {status['functions']} Functions read{f' ({unread})' if unread else ''}, last {status['last_look']}"
    for device, reason in list(status["unread_functions"].items())[:_UNREAD_SHOWN]:
        yield f"          {plain(device)} {plain(reason)}"
    yield f"found     {plural(status['ereports'], 'ereport')} in {plural(status['looks'], 'look')} since the start"
    yield f"written   {status['writes']} registers, {status['writes_refused']} refused ({_clearing(status)})"
    log = status["log"]
    trouble = f": {plain(log['trouble'])}" if log["trouble"] else ""
    yield f"log       {plain(log['path'])}, {log['seq']} events{trouble}"
    for work in status.get("maintenance", ()):
        yield f"planned   {plain(work['id'])} {plain(work['what']) or 'the whole host'} until {work['until'][:19]}Z: {plain(work['why'])}"
    if "drill" in status:  # a daemon from before an upgrade has none
        yield f"drill     {_drill(status)}"
    failed = status["plugins"]["failed"]
    yield f"plugins   {status['plugins']['active']} active{f', {failed} failed: pcifma config' if failed else ''}"
    children = status.get("children")
    if children is not None and children["running"]:
        user = f"as uid {children['uid']}" if children["apart"] else "as the daemon's own user, whose log they can change"
        note = f" ({plain(children['note'])})" if children["note"] else ""
        yield f"          {children['running']} by others, {user}{note}"


def _drill(status: dict[str, Any]) -> str:
    last = status["drill"]["last_passed"]
    if last is None:
        return "none has ever passed: pcifma drill"
    agents = ", ".join(map(plain, last["agents"])) or "no agent is loaded"
    return f"last passed {last['time'][:19]}Z in {last['took_s']:.1f} s ({agents})"


def _clearing(status: dict[str, Any]) -> str:
    if status["keeper"] == "gone":
        return "the keeper is gone: restart pcifma fmd"
    return "clearing is on" if status["clear"] else "read-only"
