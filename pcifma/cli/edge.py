"""The edge of every command: each PcifmaError is caught here once, said on one line, and turned into an exit status."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn, TextIO

from pcifma.cli.text import clean
from pcifma.errors import PcifmaError, UsageError

if TYPE_CHECKING:
    import click

USAGE = 2
INTERRUPTED = 130
CLOSED = 141  # as a shell says it of a program that SIGPIPE has ended: whoever read the output has read enough
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
_LONGEST = 2000  # characters of one line: names of files and of what is in them are anybody's text


def run_and_exit(command: click.Command, program: str, argv: Sequence[str] | None = None, *, trouble: int = USAGE) -> NoReturn:
    """Run *command* and exit with its status: 2 for wrong usage, *trouble* for every other PcifmaError and for output that
    cannot be written, 130 interrupted, 141 where nobody reads the output any more.
    """
    exit_with(lambda: _run(command, program, argv), program, trouble=trouble)


def exit_with(work: Callable[[], int], program: str, *, trouble: int = USAGE) -> NoReturn:
    """Do *work* and exit with the status that it gives; as run_and_exit, for what needs no click."""
    for stream in (sys.stdout, sys.stderr):
        _spell_out(stream)
    try:
        status = work()
        if sys.stdout is not None:  # None: closed before Python began
            sys.stdout.flush()
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BrokenPipeError:
        status = CLOSED
        _give_up_output()
    except OSError as err:
        if err.filename is not None or err.errno not in _NO_ROOM:
            raise
        status = trouble
        _give_up_output()
        print(f"{program}: standard output: {err.strerror or err}: what was printed is not whole", file=sys.stderr)
    except PcifmaError as err:
        print("\n".join(clean(line, _LONGEST) for line in f"{program}: {err}".split("\n")), file=sys.stderr)
        status = USAGE if isinstance(err, UsageError) else trouble
    sys.exit(status)


def _spell_out(stream: TextIO) -> None:
    # A name may have letters that the user's locale lacks; a question mark is better than no output.
    if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
        stream.reconfigure(errors="replace")


def _give_up_output() -> None:
    # What is still in its buffer cannot be written when Python ends either.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(command: click.Command, program: str, argv: Sequence[str] | None) -> int:
    import click  # noqa: PLC0415 - see exit_with

    try:
        status = command.main(args=None if argv is None else list(argv), prog_name=program, standalone_mode=False)
    except click.exceptions.Abort:
        return INTERRUPTED
    except SystemExit:
        return CLOSED  # no command of ours does this; click and rich do where a pipe is closed
    except click.ClickException as err:
        print(_complaint(err, program), file=sys.stderr)
        return USAGE
    return status if isinstance(status, int) else 0


def _complaint(err: click.ClickException, program: str) -> str:
    import click  # noqa: PLC0415 - see exit_with

    # One line: what is wrong, and which help tells more. A command without words gets the help itself.
    text, context = err.format_message(), err.ctx if isinstance(err, click.UsageError) else None
    if context is not None and text == context.get_help():
        return text
    more = f": see {context.command_path} --help" if context is not None else ""
    return f"{program}: {' '.join(text.split()).rstrip('.')}{more}"
