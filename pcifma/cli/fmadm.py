"""`fmadm`, as illumos has it: its subcommands, letters, columns and exit statuses, on what `pcifma`'s verbs stand on.

0 done; 1 it could not be done; 2 wrong usage.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from pcifma.cli import fmadm_sheet as sheet
from pcifma.cli.article import articles
from pcifma.cli.daemon import connect, plain
from pcifma.cli.edge import run_and_exit
from pcifma.cli.log import cases, host_of, is_open, reader
from pcifma.cli.reset import reset
from pcifma.cli.rotate import LOGS, rotate
from pcifma.errors import DaemonError, UsageError

FATAL = 1
_INFO = ("infolog", "infolog_hival")


class Context:
    """What the options before the subcommand say."""

    def __init__(self, root: Path, *, quiet: bool) -> None:
        self.root, self.quiet = root, quiet

    def ask(self, verb: str, **arguments: object) -> Any:
        """The daemon's answer."""
        with connect(self.root) as daemon:
            return daemon.ask(verb, arguments)

    def note(self, text: str) -> int:
        """Say that it was done."""
        if not self.quiet:
            click.echo(f"fmadm: {text}")
        return 0


@click.group("fmadm", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-q", "quiet", is_flag=True, help="Do not say that something was done.")
@click.option("-P", "program", metavar="PROGRAM", help="Not here: there is one daemon a root, and -R names it.")
@click.option("-R", "root", metavar="DIR", type=click.Path(path_type=Path), default=Path("/"), help="The daemon whose files are below DIR.")
@click.pass_context
def fmadm(ctx: click.Context, *, quiet: bool, program: str | None, root: Path) -> None:
    """What the fault manager has loaded, what it holds faulty, and what became of it. The same as pcifma's verbs, by illumos's letters."""
    if program is not None:
        raise UsageError("-P: there are no RPC programs here: -R DIR names another daemon")
    ctx.obj = Context(root, quiet=quiet)


@fmadm.command()
@click.pass_obj
def config(context: Context) -> int:
    """The modules that are loaded."""
    rows = context.ask("config")
    click.echo(f"{'MODULE':<24} {'VERSION':<7} {'STATUS':<6}  DESCRIPTION")
    for row in rows:
        click.echo(plain(f"{row['name']:<24} {row['version']:<7} {row['status']:<6}  {row['about']}").rstrip())
    return 0


@fmadm.command()
@click.option("-a", "every", is_flag=True, help="Cases that are over too.")
@click.option("-f", "by_fru", is_flag=True, help="By FRU.")
@click.option("-g", "grouped", is_flag=True, help="Accepted, without effect.")
@click.option("-i", "cached", is_flag=True, help="Cache ids instead of uuids.")
@click.option("-n", "most", metavar="N", type=click.IntRange(0), default=0, help="At most N entries a list (0: all).")
@click.option("-p", "paged", is_flag=True, help="Through $PAGER.")
@click.option("-r", "by_resource", is_flag=True, help="By resource.")
@click.option("-s", "short", is_flag=True, help="One line a case.")
@click.option("-u", "uuids", metavar="UUID", multiple=True, help="Only this case (may be given again).")
@click.option("-v", "verbose", is_flag=True, help="With what the problem is in.")
@click.pass_obj
def faulty(
    context: Context,
    *,
    every: bool,
    by_fru: bool,
    grouped: bool,
    cached: bool,
    most: int,
    paged: bool,
    by_resource: bool,
    short: bool,
    uuids: tuple[str, ...],
    verbose: bool,
) -> int:
    """What is faulty."""
    del grouped
    look = sheet.Look(verbose=verbose, cached=cached, most=most)
    with reader(context.root) as log:
        known, host = cases(log), host_of(log)
    unknown = [uuid for uuid in uuids if not any(case.uuid.startswith(uuid.lower()) for case in known)]
    if unknown:
        raise DaemonError(f"no case {unknown[0]!r}: `fmadm faulty -as` lists them")
    named = [case for case in known if not uuids or any(case.uuid.startswith(uuid.lower()) for uuid in uuids)]
    found = sheet.ordered([case for case in named if every or uuids or is_open(case)])
    if by_fru:
        text = "\n".join(sheet.by_fru(found, look))
    elif by_resource:
        text = "\n".join(sheet.by_resource(found, look))
    elif short:
        text = "\n".join(sheet.summary(found, look)) if found else ""
    else:
        text = ("\f" if paged else "").join("\n".join(record) for record in sheet.records(found, articles(), look, host))
    if text:
        _show(text, paged=paged)
    return 0


def _show(text: str, *, paged: bool) -> None:
    if paged:
        os.environ.setdefault("PAGER", "/usr/bin/more")
        click.echo_via_pager(text + "\n")
    else:
        click.echo(text)


@fmadm.command()
@click.argument("fmris", nargs=-1, required=True, metavar="FMRI…")
@click.pass_obj
def flush(context: Context, fmris: tuple[str, ...]) -> int:
    """Forget what is known of a resource that is faulty no more."""
    for fmri in fmris:
        context.ask("flush", what=fmri)
        context.note(f"flushed resource history for {plain(fmri)}")
    return 0


@fmadm.command()
@click.argument("path")
@click.pass_obj
def load(context: Context, path: str) -> int:
    """Load a module: its name, or the absolute path of its directory, which must be one that the configuration has."""
    context.ask("load", name=Path(path).name, **({"path": path} if "/" in path else {}))
    return context.note(f"module '{plain(path)}' loaded into fault manager")


@fmadm.command()
@click.argument("module")
@click.pass_obj
def unload(context: Context, module: str) -> int:
    """Let a module go."""
    context.ask("unload", name=module)
    return context.note(f"module '{plain(module)}' unloaded from fault manager")


@fmadm.command("reset")
@click.option("-s", "serd", metavar="SERD", help="Only this SERD engine.")
@click.argument("module")
@click.pass_obj
def reset_(context: Context, module: str, *, serd: str | None) -> int:
    """Begin a module, or one of its SERD engines, anew."""
    return context.note(reset(context.root, module, serd))


@fmadm.command("rotate")
@click.argument("log", type=click.Choice((*LOGS, *_INFO)))
@click.pass_obj
def rotate_(context: Context, log: str) -> int:
    """Rotate a log."""
    if log in _INFO:
        raise DaemonError(f"{log}: what only informs is in the error log here: rotate errlog")
    return context.note(rotate(context.root, log))


def _mending(name: str, verb: str, note: str, *, hidden: bool = False) -> None:
    about = f"Record {'an' if note[0] == 'a' else 'a'} {note} WHAT: an FMRI, a label, an address, or a case's uuid; UUID narrows it."

    @fmadm.command(name, hidden=hidden, help=about)
    @click.argument("what")
    @click.argument("uuid", required=False)
    @click.pass_obj
    def command(context: Context, what: str, uuid: str | None) -> int:
        if uuid is not None and name != "acquit":
            raise UsageError(f"fmadm {name} takes one operand")
        _judge(context, verb, what, uuid)
        return context.note(f"recorded {note} {plain(what)}")


def _judge(context: Context, verb: str, what: str, uuid: str | None) -> None:
    if uuid is None:
        context.ask(verb, what=what)
        return
    try:  # an FMRI or label, and a uuid: in either order
        context.ask(verb, what=uuid, suspect=what)
    except DaemonError:
        context.ask(verb, what=what, suspect=uuid)


_mending("repaired", "repaired", "repair to")
_mending("replaced", "replaced", "replacement of")
_mending("acquit", "acquit", "acquittal of")
_mending("repair", "repaired", "repair to", hidden=True)



def run() -> None:
    """The command `fmadm`."""
    run_and_exit(fmadm, "fmadm", trouble=FATAL)
