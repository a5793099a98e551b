"""The command line as click sees it: one group, whose verbs are imported when they are used."""

from __future__ import annotations

import importlib

import click

from pcifma import __version__
from pcifma.cli.main import VERBS


class Verbs(click.Group):
    """A group whose commands are the rows of VERBS; `pcifma/cli/<verb>.py` has the click command `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Verbs in the order of the table."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command, imported now."""
        if cmd_name not in VERBS:
            return None
        command = importlib.import_module(f"pcifma.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs from the table, without importing any."""
        if VERBS:
            with formatter.section("Commands"):
                formatter.write_dl(list(VERBS.items()))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="pcifma")
def pcifma() -> None:
    """Find PCIe errors that no interrupt will ever report, and say which part is at fault."""
