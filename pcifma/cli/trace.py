"""`pcifma trace`: the xpv provider. list, run, replay and check."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TypeVar

import click

# The provider's own modules are imported by the verb that needs them: `--help` answers at once.
if TYPE_CHECKING:
    from collections.abc import Callable

    from pcifma.xpv.report import Report, Style

Command = TypeVar("Command", bound="Callable[..., object]")
EXIT_DONE, EXIT_DEVIATES, EXIT_INCOMPLETE, EXIT_INTERRUPTED = 0, 1, 3, 130


@click.group("trace", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def command() -> None:
    """Watch which hypercalls the Xen control tools make: the 'xpv' provider.

    Probes are named provider:module:function:name, as in DTrace; an empty field matches all, and *, ? and [] work in each. `xpv:::` is
    everything.
    """


def _warn(line: str) -> None:
    click.echo(f"pcifma: {line}", err=True)


@command.command("list")
@click.argument("globs", metavar="[GLOB]…", nargs=-1)
@click.option("-v", "--verbose", is_flag=True, help="Stability, argument types and notes below each probe, as dtrace -lv.")
@click.option("--original", is_flag=True, help="Only the 35 probes that Sun's provider had.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: names, arguments, stability, origin, note.")
def list_probes(globs: tuple[str, ...], *, verbose: bool, original: bool, as_json: bool) -> None:
    """List probes, in the columns of `dtrace -l`.

    The 35 original ones come first. Probes marked [extension] are ours: a -start and an -end for every hypercall operation and privcmd
    ioctl known.

    \b
    Examples:
      pcifma trace list                      everything
      pcifma trace list --original -v        Sun's, with arguments and stability
      pcifma trace list 'xpv:::dom-*'        by name
      pcifma trace list 'xpv::*sysctl:'      by function
    """
    from pcifma.xpv.output import LIST_HEADER, dump, list_details, list_json, list_row  # noqa: PLC0415
    from pcifma.xpv.probe import matching, provider  # noqa: PLC0415

    chosen = {probe.id for glob in globs for probe in matching(glob)} if globs else None
    probes = [
        probe for probe in provider().probes if (chosen is None or probe.id in chosen) and (not original or probe.origin == "original")
    ]
    lines = [] if as_json else [LIST_HEADER]
    for probe in probes:
        lines.append(dump(list_json(probe)) if as_json else list_row(probe))
        lines += list_details(probe) if verbose and not as_json else ()
    if as_json:
        lines.append(dump({"class": "trace.summary", "version": 1, "probes": len(probes)}))
    click.echo("\n".join(lines))


def _shown(function: Command) -> Command:
    # The options that run and replay share.
    for option in (
        click.option(
            "-n", "--probe", "patterns", metavar="PROBE", multiple=True, help="Enable these probes (repeatable); all if none is given."
        ),
        click.option(
            "--args", "arguments", is_flag=True, help="Show who called, the probe's arguments, and at an end the result and time."
        ),
        click.option("-F", "--flow", is_flag=True, help="Indent: -> at a start, <- at an end, by thread."),
        click.option("--errors", is_flag=True, help="Only calls that failed, with their arguments."),
        click.option(
            "--count", "sums", flag_value="count", multiple=True, help="Instead of the stream: how often each probe fired, by process."
        ),
        click.option(
            "--latency", "sums", flag_value="latency", multiple=True, help="Instead of the stream: time in each call, powers of two."
        ),
        click.option("--memory", "sums", flag_value="memory", multiple=True, help="Instead of the stream: memory given to each domain."),
        click.option("--domains", "sums", flag_value="domains", multiple=True, help="Instead of the stream: each domain's life."),
        click.option("--all", "everything", is_flag=True, help="Also calls of xenstored, xenconsoled and device models."),
        click.option("--json", "as_json", is_flag=True, help="JSON lines; the last one is the trailer (class trace.summary)."),
    ):
        function = option(function)
    return function


def _report(patterns: tuple[str, ...], style: Style, *, everything: bool) -> Report:
    from pcifma.xpv.firing import Filter  # noqa: PLC0415
    from pcifma.xpv.probe import select  # noqa: PLC0415
    from pcifma.xpv.report import Report  # noqa: PLC0415

    return Report(style, Filter(select(patterns), everything), click.echo, _warn)


@command.command("run")
@_shown
@click.option("-c", "command_line", metavar="COMMAND", help="Run COMMAND (no shell) and trace it and what it starts, until it ends.")
@click.option("-p", "pid", metavar="PID", type=click.IntRange(min=1), help="Trace process PID and what it starts, until it ends.")
@click.option(
    "-o", "--output", metavar="FILE", help="Also record to FILE, hidden calls included; `trace replay` and `trace check` read it."
)
@click.option("-q", "--quiet", is_flag=True, help="No stream (with -o).")
@click.option(
    "--buffer", "buffer_kb", metavar="KB", type=click.IntRange(64, 1 << 20), default=4096, help="Kernel buffer of each CPU [4096]."
)
@click.option(
    "--via", type=click.Choice(["auto", "kernel", "library"]), default="auto", help="Probe the kernel, or ioctl in the C library."
)
def run(
    patterns: tuple[str, ...],
    sums: tuple[str, ...],
    command_line: str | None,
    pid: int | None,
    output: str | None,
    *,
    arguments: bool,
    flow: bool,
    errors: bool,
    everything: bool,
    as_json: bool,
    quiet: bool,
    buffer_kb: int,
    via: str,
) -> int:
    """Trace live: CPU ID FUNCTION:NAME, a line a probe, until Ctrl-C.

    Without -c and -p every control tool of this dom0 is seen. With one of them, only that process and those it creates (with --all:
    everything). Needs root. Leaves nothing behind in tracefs, whatever ends it.

    \b
    Examples:
      pcifma trace run -c 'xl create guest.cfg' --args
      pcifma trace run -n 'xpv:::dom-*' --json
      pcifma trace run --latency -c 'xl list'
      pcifma trace run -q -o create.trace -c 'xl create guest.cfg'

    Exit status: 0 the command or process ended; 2 not possible here (said why); 3 events were lost; 130 interrupted (sums and trailer are
    still printed).
    """
    from pcifma.xpv.live import Request, trace  # noqa: PLC0415
    from pcifma.xpv.report import Style  # noqa: PLC0415

    style = Style(as_json, arguments, flow, errors, sums, quiet)
    report = _report(patterns, style, everything=everything)
    try:
        outcome = trace(Request(command_line, pid, output, buffer_kb, via, everything), report, _warn)
    except BrokenPipeError:  # the reader of our output went away; everything is cleaned up by now
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE
    if outcome.interrupted:
        return EXIT_INTERRUPTED
    return EXIT_INCOMPLETE if outcome.gaps else EXIT_DONE


@command.command("replay")
@click.argument("file")
@_shown
@click.option(
    "-o", "--output", metavar="OUT", help="Also write our own recording to OUT: only words that mean something, no kernel addresses."
)
@click.option("-q", "--quiet", is_flag=True, help="No stream (with -o).")
def replay(
    file: str,
    patterns: tuple[str, ...],
    sums: tuple[str, ...],
    *,
    arguments: bool,
    flow: bool,
    errors: bool,
    everything: bool,
    as_json: bool,
    quiet: bool,
    output: str | None,
) -> int:
    """Show a recorded trace as if it ran now.

    FILE is tracefs text (`cat trace > FILE`, gzipped or not), a recording of `pcifma trace run -o`, or - for standard input.
    Exit status: 0 shown; 2 not a trace, or damaged (said with file and line, after what came before); 3 events were lost or the end is
    missing.
    """
    from pcifma.xpv.decode import Decoder  # noqa: PLC0415
    from pcifma.xpv.recording import Copy, opened  # noqa: PLC0415
    from pcifma.xpv.report import Style  # noqa: PLC0415

    style = Style(as_json, arguments, flow, errors, sums, quiet)
    report = _report(patterns, style, everything=everything)
    with opened(file) as recording, Copy(recording, output) as copy:
        decoder = Decoder(*recording.survey())
        report.begin()
        try:
            for record in copy.records(decoder):
                report.feed(decoder.feed(record))
        finally:  # what came before damage is shown
            report.flush()
        report.finish(decoder, foreign=recording.foreign, incomplete=recording.incomplete or None)
        if recording.incomplete:
            _warn(recording.incomplete)
        return EXIT_INCOMPLETE if recording.incomplete or decoder.gaps else EXIT_DONE


@command.command("check")
@click.argument("file")
@click.option("--expect", "names", metavar="NAME", multiple=True, help="This operation must be in the trace (repeatable); see below.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines; the last one is the trailer (class trace.summary).")
def check(file: str, names: tuple[str, ...], *, as_json: bool) -> int:
    """Hold a recorded trace against what the control tools should have done.

    Finds each create, restore, destroy, pause, unpause, save, migration and pci-attach in FILE (as for replay), and says which steps are
    missing or out of order, what is extra, what failed, and which sums do not come out. Any release of the tools will do: only the order
    of what matters counts.

    Names: create-pv, create-pvh, create-hvm, restore, migrate, save, pci-attach, pci-detach, destroy, pause, unpause.

    Exit status: 0 as expected; 1 it deviates; 2 not a trace, or damaged; 3 events were lost or the end is missing, so nothing can be said
    for sure.
    """
    from pcifma.xpv import verdict as told  # noqa: PLC0415
    from pcifma.xpv.check import examine, expect  # noqa: PLC0415
    from pcifma.xpv.decode import Decoder  # noqa: PLC0415
    from pcifma.xpv.life import Lives  # noqa: PLC0415
    from pcifma.xpv.output import dump  # noqa: PLC0415
    from pcifma.xpv.recording import opened  # noqa: PLC0415

    _known(names)
    lives = Lives()
    with opened(file) as recording:
        decoder = Decoder(*recording.survey())
        for record in recording.records():
            lives.feed(decoder.feed(record))
    decoder.close()
    verdict = examine(lives, decoder)
    for name in names:
        expect(verdict, name)
    for line in map(dump, told.json(verdict)) if as_json else told.text(verdict):
        click.echo(line)
    incomplete = recording.incomplete or (f"{file}: {decoder.lost or 'some'} events were lost" if decoder.gaps else "")
    if incomplete:
        _warn(f"{incomplete}: what is said to be missing may only not have been seen")
    if as_json:
        counts = {"sequences": len(verdict.findings), "calls": lives.calls, "deviations": verdict.deviations, "lost": decoder.lost}
        click.echo(dump({"class": "trace.summary", "version": 1, **counts, "incomplete": incomplete or None}))
    return EXIT_INCOMPLETE if incomplete else EXIT_DEVIATES if verdict.deviations else EXIT_DONE


def _known(names: tuple[str, ...]) -> None:
    from pcifma.errors import UsageError  # noqa: PLC0415
    from pcifma.xpv.sequence import SEQUENCES  # noqa: PLC0415

    for name in names:
        if name not in SEQUENCES:
            raise UsageError(f"--expect {name}: no such operation: one of {', '.join(SEQUENCES)}")
