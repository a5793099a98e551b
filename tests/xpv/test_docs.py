"""docs/xpv.md has every option, every JSON class with its keys, and every operation that check knows."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from support.trace import DATA

from pcifma.cli.main import run
from pcifma.cli.trace import command
from pcifma.xpv.sequence import SEQUENCES

DOCUMENT = Path(__file__).parents[2] / "docs" / "xpv.md"
OPTIONS = sorted(
    {option for verb in command.commands.values() for given in verb.params if isinstance(given, click.Option) for option in given.opts}
)


@pytest.fixture(scope="module")
def document() -> str:
    if not DOCUMENT.exists():
        pytest.skip("docs/ is not beside these tests")
    return DOCUMENT.read_text()


@pytest.mark.parametrize("option", OPTIONS)
def test_option_is_in_the_document(document: str, option: str) -> None:
    short = {given.opts[0]: given.opts for verb in command.commands.values() for given in verb.params if isinstance(given, click.Option)}
    names = next(opts for opts in short.values() if option in opts)
    assert any(f"`{name}" in document or f" {name} " in document for name in names)


@pytest.mark.parametrize("option", OPTIONS)
def test_option_has_a_help_text(option: str) -> None:
    for verb in command.commands.values():
        for given in verb.params:
            if isinstance(given, click.Option) and option in given.opts:
                assert given.help


@pytest.mark.parametrize(
    "words",
    [
        ["list", "--json", "dom-pause-*"],
        ["replay", "--json", str(DATA / "direct-memory-op.trace")],
        ["replay", "--json", "--count", "--latency", "--memory", "--domains", str(DATA / "direct-memory-op.trace")],
        ["check", "--json", str(DATA / "direct-memory-op.trace")],
    ],
    ids=lambda words: " ".join(words[:3]),
)
def test_classes_of_json_are_in_the_document(document: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(["trace", *words])
    for line in capsys.readouterr().out.splitlines():
        assert json.loads(line)["class"] in document


def test_help_names_every_operation_that_check_knows(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(["trace", "check", "--help"])
    text = capsys.readouterr().out
    assert [name for name in SEQUENCES if name not in text] == []
