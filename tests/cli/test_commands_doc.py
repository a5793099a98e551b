"""docs/commands.md says of each command, each option what the command itself says."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from support.commands import block, blocks, commands, renewed

from pcifma.cli.main import VERBS

DOCUMENT = Path(__file__).parents[2] / "docs/commands.md"
COMMANDS = dict(commands())


@pytest.fixture(scope="module")
def text(update_expected: bool) -> str:
    if update_expected:
        DOCUMENT.write_text(renewed(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
    return DOCUMENT.read_text(encoding="utf-8")


def test_document_has_every_command_and_no_other(text: str) -> None:
    assert set(blocks(text)) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_command_is_described_as_it_is(text: str, name: str) -> None:
    assert blocks(text).get(name) == block(name, COMMANDS[name]), "pytest --update-expected writes it anew; read the diff"


@pytest.mark.parametrize("name", COMMANDS)
def test_command_and_its_options_say_what_they_are_for(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    assert [p.name for p in command.params if isinstance(p, click.Option) and not p.help] == []


def test_commands_of_the_document_are_headings_in_the_order_of_the_help(text: str) -> None:
    assert list(blocks(text)) == list(COMMANDS)


@pytest.mark.parametrize("name", ["operations.md", "commands.md", "log.md", "monitoring.md", "clearing.md"])
def test_verbs_that_the_documents_name_are_there(name: str) -> None:
    text = (DOCUMENT.parent / name).read_text(encoding="utf-8")
    assert set(re.findall(r"(?:`|^ {4}(?:\$ )?)pcifma ([a-z]+)", text, re.M)) - set(VERBS) == set()


def test_renewing_adds_what_is_missing_and_drops_what_is_gone(text: str) -> None:
    first = next(iter(COMMANDS))
    broken = text.replace(block(first, COMMANDS[first]), "<!-- pcifma gone -->\nx\n<!-- end -->\n")
    assert first not in blocks(broken)
    assert set(blocks(renewed(broken))) == set(COMMANDS)
