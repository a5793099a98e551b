"""What docs/commands.md has to say of each command: a block of its options, made from the command itself, between two marks."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator

import click

from pcifma.cli.group import pcifma
from pcifma.cli.main import VERBS
from pcifma.cli.manual import PROGRAMS

_BLOCK = re.compile(r"<!-- (?P<name>[a-z ]+) -->\n.*?<!-- end -->\n", re.S)


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command by its name as it is typed, subcommands after their group."""
    top = click.Context(pcifma, info_name="pcifma")
    for verb in VERBS:
        command = pcifma.get_command(top, verb)
        assert command is not None
        yield from _with_subcommands(f"pcifma {verb}", command)
    for program in PROGRAMS:
        yield from _with_subcommands(program, getattr(importlib.import_module(f"pcifma.cli.{program}"), program))


def _with_subcommands(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=name)
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            assert found is not None
            if not found.hidden:
                yield from _with_subcommands(f"{name} {each}", found)


def block(name: str, command: click.Command) -> str:
    """The block of one command: how it is called, what it does, and its options."""
    words = [_argument(p) for p in command.params if isinstance(p, click.Argument)]
    options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    call = " ".join([name, *(["[OPTION]…"] if options else []), *(["COMMAND …"] if isinstance(command, click.Group) else []), *words])
    lines = [f"<!-- {name} -->", f"    {call}", "", " ".join(_about(command).split())]
    if options:
        lines += ["", "| option | |", "|---|---|", *(f"| {_names(option)} | {_cell(option.help or '')} |" for option in options)]
    return "\n".join([*lines, "<!-- end -->", ""])


def _about(command: click.Command) -> str:
    # The first paragraph: further ones are examples, which the command's own help has.
    return (command.help or "").split("\n\n")[0].replace("\b", "")


def _argument(argument: click.Argument) -> str:
    name = argument.metavar or (argument.name or "").upper()
    bare = name if name.startswith("[") or argument.required else f"[{name}]"
    return bare if argument.nargs == 1 or "…" in bare or "..." in bare else f"{bare}…"


def _names(option: click.Option) -> str:
    value = "" if option.is_flag else f" {option.metavar or _choices(option)}"
    return ", ".join(f"`{name}{value}`" for name in option.opts)


def _choices(option: click.Option) -> str:
    return "{" + ",".join(map(str, option.type.choices)) + "}" if isinstance(option.type, click.Choice) else (option.name or "").upper()


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def blocks(text: str) -> dict[str, str]:
    """The blocks of a document by the command that they are of."""
    return {match["name"]: match[0] for match in _BLOCK.finditer(text)}


def renewed(text: str) -> str:
    """*text* with every block as it should be; what has none yet is added at the end, what is no command any more goes."""
    wanted = {name: block(name, command) for name, command in commands()}
    new = _BLOCK.sub(lambda match: wanted.get(match["name"], ""), text)
    missing = [f"\n### {name}\n\n{made}" for name, made in wanted.items() if name not in blocks(text)]
    return new + "".join(missing)
