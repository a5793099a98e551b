"""The edge of every command: each PcifmaError is caught here once, said on one line, and turned into an exit status."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from pcifma.errors import PcifmaError, UsageError

USAGE = 2
INTERRUPTED = 130


def run_and_exit(command: click.Command, program: str, argv: Sequence[str] | None = None, *, trouble: int = USAGE) -> NoReturn:
    """Run *command* and exit with its status: 2 for wrong usage, *trouble* for every other PcifmaError, 130 interrupted."""
    try:
        status = command.main(args=None if argv is None else list(argv), prog_name=program, standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        status = INTERRUPTED
    except click.ClickException as err:
        print(_complaint(err, program), file=sys.stderr)
        status = USAGE
    except PcifmaError as err:
        print(f"{program}: {err}", file=sys.stderr)
        status = USAGE if isinstance(err, UsageError) else trouble
    sys.exit(status if isinstance(status, int) else 0)


def _complaint(err: click.ClickException, program: str) -> str:
    # One line: what is wrong, and which help tells more. A command without words gets the help itself.
    text, context = err.format_message(), err.ctx if isinstance(err, click.UsageError) else None
    if context is not None and text == context.get_help():
        return text
    more = f": see {context.command_path} --help" if context is not None else ""
    return f"{program}: {' '.join(text.split()).rstrip('.')}{more}"
