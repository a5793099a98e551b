"""Man pages, made from the commands themselves and the table of settings, so that they say what the program does.

`pages()` gives each page's file name and roff text: pcifma.1, pcifma-VERB.1, fmadm.1, fmdump.1, fmstat.1, pcifma.yaml.5.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

import click

from pcifma import __version__
from pcifma.cli.group import pcifma
from pcifma.fmd.setting import SETTINGS
from pcifma.plugin.loader import builtin_directory, read_manifest, subdirectories

PROGRAMS = ("fmadm", "fmdump", "fmstat")  # beside pcifma, in files of their own
_FILES = (
    ("/etc/pcifma/pcifma.yaml, /etc/pcifma/conf.d/*.yaml", "configuration, see pcifma.yaml(5)"),
    ("/etc/pcifma/plugins", "the site's plugins, a directory each"),
    ("/var/lib/pcifma/log.db", "the log"),
    ("/run/pcifma/fmd.sock", "the daemon's control socket"),
)
_STATUS = (
    ("0", "done, nothing found"),
    ("1", "found: an error bit other than residue, a deaf Function (coverage --strict), an open case (faulty --check)"),
    ("2", "wrong usage, unreadable input, refused, or no daemon"),
    ("3", "nothing found, but not everything could be looked at"),
    ("130", "interrupted"),
)


@dataclass(frozen=True, slots=True)
class _Topic:
    # A command with the words that call it.
    command: click.Command
    context: click.Context

    @property
    def words(self) -> str:
        return self.context.command_path

    @property
    def page(self) -> str:
        return self.words.replace(" ", "-")

    def below(self) -> list[_Topic]:
        if not isinstance(self.command, click.Group):
            return []
        names = self.command.list_commands(self.context)
        found = ((name, self.command.get_command(self.context, name)) for name in names)
        return [_Topic(one, click.Context(one, info_name=name, parent=self.context)) for name, one in found if one is not None]


def topics() -> list[_Topic]:
    """pcifma, and what else is installed as a command."""
    commands = [pcifma, *(getattr(importlib.import_module(f"pcifma.cli.{name}"), name) for name in PROGRAMS)]
    return [_Topic(command, click.Context(command, info_name=command.name)) for command in commands]


def pages() -> dict[str, str]:
    """Every page by its file name."""
    first, *others = topics()
    verbs = first.below()
    found = {f"{topic.page}.1": "\n".join(_page(topic, verbs)) + "\n" for topic in (first, *verbs, *others)}
    return {**found, "pcifma.yaml.5": "\n".join(_settings()) + "\n"}


def _page(topic: _Topic, verbs: list[_Topic]) -> Iterator[str]:
    top = topic.words == "pcifma"
    yield from _head(topic.page, 1, _about(topic))
    yield ".SH SYNOPSIS"
    yield from _usage(topic)
    yield ".SH DESCRIPTION"
    yield from _text(topic.command.help or "")
    if top:
        yield ".SH COMMANDS"
        yield from (line for verb in verbs for line in _row(f"pcifma-{verb.command.name}(1)", _about(verb)))
    yield from _options(topic, ".SH OPTIONS")
    for one in () if top else topic.below():
        yield f".SH {_plain(one.words.upper())}"
        yield from _usage(one)
        yield ".PP"
        yield from _text(one.command.help or "")
        yield from _options(one, "")
    if topic.command.epilog:
        yield ".SH NOTES"
        yield from _text(topic.command.epilog)
    if top:
        yield from _table(".SH FILES", _FILES)
        yield from _table(".SH EXIT STATUS", _STATUS)
    yield ".SH SEE ALSO"
    yield r"pcifma.yaml(5), fmadm(1), fmdump(1), fmstat(1), lspci(8), setpci(8)" if top else "pcifma(1), pcifma.yaml(5)"


def _head(name: str, section: int, about: str) -> Iterator[str]:
    yield '.\\" Generated from the program: change that instead.'
    yield f'.TH {name.upper()} {section} "" "pcifma {__version__}" "pcifma"'
    yield ".SH NAME"
    yield f"{_plain(name)} \\- {_plain(about)}"


def _about(topic: _Topic) -> str:
    first = (topic.command.help or "").strip().split("\n\n")[0]
    return " ".join(first.split()).rstrip(".")


def _usage(topic: _Topic) -> Iterator[str]:
    pieces = topic.command.collect_usage_pieces(topic.context)
    yield f".B {_plain(topic.words)}"
    if pieces:
        yield f".RI {_quoted(' '.join(pieces))}"


def _options(topic: _Topic, heading: str) -> Iterator[str]:
    records = [record for param in topic.command.get_params(topic.context) if (record := param.get_help_record(topic.context))]
    yield from _table(heading, [(name, about) for name, about in records if name.startswith("-")])


def _table(heading: str, rows: tuple[tuple[str, str], ...] | list[tuple[str, str]]) -> Iterator[str]:
    if rows:
        yield from [heading] if heading else []
        yield from (line for name, about in rows for line in _row(name, about))


def _row(name: str, about: str) -> Iterator[str]:
    yield ".TP"
    yield f".B {_quoted(name)}"
    yield _plain(about) or "\\&"


def _settings() -> Iterator[str]:
    yield from _head("pcifma.yaml", 5, "configuration of pcifma's daemon")
    yield ".SH DESCRIPTION"
    yield from _text(
        "/etc/pcifma/pcifma.yaml, then every *.yaml of /etc/pcifma/conf.d in the order of their names, later ones before earlier ones.\n\n"
        "A dotted name is a section and a key in it: poll.interval is interval in the mapping poll. Sizes are written as 64MiB, times as "
        "500ms, 10s, 5m, 2h or 30d. `pcifma fmd --check` names every mistake; `systemctl reload pcifma` checks, then reads them again."
    )
    yield ".SH SETTINGS"
    for name, setting in SETTINGS.items():
        default = list(setting.default) if isinstance(setting.default, tuple) else setting.default
        yield from _row(f"{name} ({setting.type})", f"{setting.about}. Default: {default}")
    yield ".SH MODULES"
    yield from _text("What a plugin can be told stands below modules, under the plugin's name.")
    for path in subdirectories(builtin_directory()):
        manifest = read_manifest(path)
        for name, one in manifest.properties.items():
            yield from _row(f"modules.{manifest.name}.{name} ({one.type})", f"{one.about}. Default: {one.default!r}")
    yield ".SH SEE ALSO"
    yield "pcifma(1), pcifma-fmd(1)"


def _text(text: str) -> Iterator[str]:
    # Paragraphs; after click's mark \b a paragraph keeps its lines.
    for number, paragraph in enumerate(re.split("\n\\s*\n|\n(?=\b)", text.strip())):
        kept = "\b" in paragraph
        if number:
            yield ".PP"
        lines = [line.strip() for line in paragraph.replace("\b", "").strip().splitlines()]
        for place, line in enumerate(lines if kept else [" ".join(lines)]):
            if place:
                yield ".br"
            yield _plain(line)


def _plain(text: str) -> str:
    # Roff takes a backslash anywhere, and a dot or an apostrophe at the start of a line; a hyphen is written as a minus to be copied.
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...")
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped


def _quoted(text: str) -> str:
    return '"' + _plain(text).replace('"', '""') + '"'
