"""`pcifma sweep --clear`: what is latched now, logged first and then written back; by the running daemon, or with its log and lock."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import click

from pcifma.access.open import open_source
from pcifma.access.seam import Machine
from pcifma.cli.cleared import REFUSED, Cleared, consent
from pcifma.cli.daemon import connect
from pcifma.cli.found import FOUND, INCOMPLETE, NOTHING, bits
from pcifma.cli.log import reader
from pcifma.cli.severity import COLOURS, ORDER, WORDS, line
from pcifma.cli.sheet import bit_lines
from pcifma.cli.text import clean, plural
from pcifma.errors import DaemonError, LogError, PcifmaError, UsageError
from pcifma.event.ereport import Ereport, SweepSummary
from pcifma.event.line import encode
from pcifma.event.written import encode_written
from pcifma.fabric.build import build
from pcifma.fmd import config as configuration
from pcifma.fmd import privilege
from pcifma.fmd.acknowledge import Acknowledger, Cause, Outcome
from pcifma.fmd.consent import Consent
from pcifma.fmd.keeper.client import Direct
from pcifma.fmd.keeper.consent import EVERY
from pcifma.fmd.log.log import Log
from pcifma.fmd.lookout import Duty, Lookout
from pcifma.fmd.order import Answer, Order
from pcifma.fmd.path import Paths
from pcifma.fmd.recorded import RecordedWriter
from pcifma.plugin.loader import Plugin
from pcifma.poll.absence import ASLEEP
from pcifma.poll.absence import summary as unread_summary
from pcifma.poll.poller import FAST_NS, SLOW_NS

_DURABLE_S = 60.0
_WRITE_S = 60.0  # the longest that one write may take, a Function that hangs included
_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class _Swept:
    host: str
    functions: int
    unread: dict[str, str]
    cleared: Cleared

    @classmethod
    def of(cls, answer: dict[str, Any]) -> _Swept:
        return cls(str(answer["host"]), int(answer["functions"]), dict(answer["unread"]), Cleared.of(answer))


def run(source: str | None, plugins: Sequence[Plugin], root: Path | None, *, as_json: bool, strict: bool) -> int:
    """Sweep and clear: the exit status. UsageError, LogError, DaemonError where it may not be."""
    paths = Paths(root or Path("/"))
    daemon_runs = _answers(paths)
    if daemon_runs and source is not None:
        raise UsageError(f"a daemon runs with --root {paths.root} and sweeps its own machine: leave SOURCE out, or give another --root")
    swept = _by_daemon(paths) if daemon_runs else _here(source, plugins, root)
    with reader(paths.root) as log:
        events = log.errors(swept.cleared.ereports) if swept.cleared.ereports else []
        snapshots = log.snapshots(events) if events else []
    events = sorted([*snapshots, *events], key=lambda event: event.seq)
    found = _summary(swept, events)
    for text in _json(swept, events, found) if as_json else _sheet(swept, events, found):
        click.echo(text)
    for text in swept.cleared.refusals():
        click.echo(f"pcifma: {text}", err=True)
    return _status(swept, found, strict=strict)


def _answers(paths: Paths) -> bool:
    try:
        with connect(paths.root) as daemon:
            daemon.ask("status")
    except DaemonError:
        # Whoever writes the log without answering keeps us from it by its lock.
        return False
    return True


def _by_daemon(paths: Paths) -> _Swept:
    with connect(paths.root) as daemon, consent(paths.consent, [EVERY]):
        return _Swept.of(daemon.ask("sweep"))


# Without a daemon: its log, its lock, its road.


def _here(source: str | None, plugins: Sequence[Plugin], root: Path | None) -> _Swept:
    machine = open_source(source)
    if machine.kind == "capture":
        raise UsageError(f"{source}: a capture cannot be cleared: it says what the registers were")
    if source is not None and root is None:
        raise UsageError(f"{source}: say which log its errors go into before they are cleared: --root DIR")
    for complaint in machine.complaints:
        click.echo(f"pcifma: {clean(complaint)}", err=True)
    paths = Paths(root or Path("/"))
    log = _log(paths, machine)
    try:
        return _sweep(machine, plugins, log, _writer(machine, source))
    finally:
        log.close()


def _log(paths: Paths, machine: Machine) -> Log:
    # Owned as the daemon's own log is, so that the daemon can go on with it.
    if not paths.root.is_dir():
        raise UsageError(f"{paths.root}: no such directory: nothing is cleared that is not logged first")
    config = configuration.read(paths)
    who = privilege.identity(config.text("user"), config.text("group"), chosen=config.is_set("user"))
    privilege.prepare(paths, who)
    try:
        return Log.open(paths.log, clock=machine.clock, report=lambda text: click.echo(f"pcifma: {clean(text)}", err=True))
    except LogError as err:
        raise LogError(f"nothing is cleared that is not logged first: {err}") from err
    finally:
        if os.geteuid() == 0:
            for file in paths.state.glob(f"{paths.log.name}*"):
                os.chown(file, who.uid, who.gid)


def _writer(machine: Machine, source: str | None) -> Direct | RecordedWriter:
    if machine.kind == "fixture":
        return RecordedWriter(machine)
    return Direct(Path("/sys") if source is None else Path(source).resolve())


def _sweep(machine: Machine, plugins: Sequence[Plugin], log: Log, writer: Direct | RecordedWriter) -> _Swept:
    outcomes: SimpleQueue[Outcome] = SimpleQueue()
    answers: list[Answer | PcifmaError] = []
    own = Consent(machine)
    acknowledger = Acknowledger(writer.acknowledge, outcomes.put, boot=machine.boot)
    duty = Duty(FAST_NS, SLOW_NS, own.allows, automatic=False)
    lookout = Lookout(machine, build(machine), plugins, log, duty=duty, readers=None, acknowledger=acknowledger)
    cause = Cause("ordered", "", "sweep --clear", os.getuid(), os.getpid())
    lookout.order(Order(None, cause, own.refusal, then=answers.append))
    try:
        lookout.look()
        while not answers:
            lookout.outcome(_next(outcomes, log))
        if not log.flush(_DURABLE_S):
            raise LogError(f"{log.path}: what was written is not in the ledger yet: {log.trouble}")
    finally:
        acknowledger.close()
    answer = answers[0]
    if isinstance(answer, PcifmaError):
        raise answer
    count = lookout.count
    return _Swept.of({"host": machine.name, "functions": count.functions, "unread": count.unread, **asdict(answer)})


def _next(outcomes: SimpleQueue[Outcome], log: Log) -> Outcome:
    end_s = time.monotonic() + _WRITE_S
    while time.monotonic() < end_s and not log.trouble:
        with contextlib.suppress(Empty):
            return outcomes.get(timeout=_PAUSE_S)
    raise LogError(f"nothing is cleared that is not logged first: {log.path} does not take it: {log.trouble or 'it is too slow'}")


# What is said.


def _summary(swept: _Swept, events: Sequence[Ereport]) -> SweepSummary:
    return SweepSummary(
        functions=swept.functions,
        read=swept.functions - len(swept.unread),
        unread=unread_summary(swept.unread.values()),
        ereports=sum(event.is_error for event in events),
        residue=sum(event.residue for event in events),
        writes=swept.cleared.written,
    )


def _json(swept: _Swept, events: Sequence[Ereport], found: SweepSummary) -> Iterator[str]:
    yield from (encode(event).decode() for event in events)
    yield from map(encode_written, swept.cleared.lines())
    yield encode(found).decode()


def _sheet(swept: _Swept, events: Sequence[Ereport], found: SweepSummary) -> Iterator[str]:
    rest = "".join(f", {n} {reason}" for reason, n in found.unread.items())
    yield f"{clean(swept.host)}  {plural(found.functions, 'Function')}: {found.read} read{rest}"
    if not found.ereports:
        yield line("OK" if found.read == found.functions else "?", "no error is latched that probing does not leave behind")
    by_device: dict[str, list[Ereport]] = {}
    for event in bits(events):
        by_device.setdefault(event.device, []).append(event)
    rank = partial(min, key=ORDER.index)
    for device, own in sorted(by_device.items(), key=lambda item: ORDER.index(rank(event.severity for event in item[1]))):
        worst = rank(event.severity for event in own)
        yield line(WORDS[worst], clean(device), COLOURS.get(worst))
        for event in own:
            yield from bit_lines(event)
    yield from swept.cleared.sheet()


def _status(swept: _Swept, found: SweepSummary, *, strict: bool) -> int:
    if swept.cleared.status == REFUSED:
        return REFUSED
    if found.ereports:
        return FOUND
    return INCOMPLETE if any(strict or reason != ASLEEP for reason in found.unread) else NOTHING
