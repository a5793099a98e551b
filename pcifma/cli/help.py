"""`pcifma help`: the knowledge article of a message code, offline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from pcifma.cli.article import Article, about, articles, dictionaries
from pcifma.errors import UsageError
from pcifma.event.code import message_code


@click.command("help")
@click.argument("code")
def command(code: str) -> int:
    """The knowledge article of a message code (as PCIEX-8000-0A), offline."""
    classes = classes_of(code.upper(), dictionaries())
    for line in _words(code.upper(), about(classes, articles())):
        click.echo(line)
    return 0


def classes_of(code: str, known: Mapping[str, Mapping[Any, list[str]]]) -> list[str]:
    """The fault classes that *code* stands for; UsageError if no dictionary has it."""
    for dictionary, entries in known.items():
        for number, classes in entries.items():
            if message_code(dictionary, int(number)) == code:
                return classes
    raise UsageError(f"{code} is no code of this version: `pcifma faulty` prints them, as PCIEX-8000-0A")


def _words(code: str, found: list[Article]) -> Iterator[str]:
    yield f"{code}  {' + '.join(article.class_ for article in found)}"
    if len(found) > 1:
        yield "One of these is so; `pcifma faulty` says how sure that is, and where:"
    for article in found:
        yield f"\n{article.class_}"
        yield f"  {'What':<7} {article.what}"
        yield f"  {'Impact':<7} {article.impact}"
        yield f"  {'Do':<7} {article.action}"
        if article.surer:
            yield f"  {'Surer':<7} {article.surer}"
