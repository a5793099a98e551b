"""Man pages, completions and the journal's catalog: made from the program, whole, and taken by those who read them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import click
import pytest

from pcifma.cli.article import articles
from pcifma.cli.catalog import catalog, entries
from pcifma.cli.completion import PLACES, completions
from pcifma.cli.group import pcifma
from pcifma.cli.main import VERBS
from pcifma.cli.manual import pages
from pcifma.event.code import message_id
from pcifma.fmd.setting import SETTINGS
from pcifma.plugin.loader import builtin

PROGRAM = Path(sys.executable).with_name("pcifma")


def readable(page: str) -> str:
    return page.replace("\\-", "-").replace("\\&", "").replace("\\e", "\\").replace('""', '"')


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_page_with_all_its_options(verb: str) -> None:
    page = readable(pages()[f"pcifma-{verb}.1"])
    context = click.Context(pcifma, info_name="pcifma")
    command = pcifma.get_command(context, verb)
    assert command is not None
    own = click.Context(command, info_name=verb, parent=context)
    records = [param.get_help_record(own) for param in command.get_params(own) if isinstance(param, click.Option)]
    assert [record[0] for record in records if record and record[0] not in page] == []
    assert f"pcifma-{verb}(1)" in readable(pages()["pcifma.1"])


def test_every_setting_and_property_is_in_the_configurations_page() -> None:
    page = readable(pages()["pcifma.yaml.5"])
    assert [name for name in SETTINGS if f'"{name} (' not in page] == []
    named = [f"modules.{plugin.name}.{name}" for plugin in builtin() for name in plugin.manifest.properties]
    assert [name for name in named if f'"{name} (' not in page] == []


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")
def test_pages_are_well_formed(tmp_path: Path) -> None:
    for name, text in pages().items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "error", *sorted(tmp_path.iterdir())], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("shell", PLACES)
def test_completion_is_taken_by_its_shell(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "completion"
    script.write_text(completions()[PLACES[shell]])
    subprocess.run([shell, "-n", script], check=True, timeout=60)


def test_completion_asks_the_program_for_verbs_and_options() -> None:
    asked = {"_PCIFMA_COMPLETE": "bash_complete", "COMP_WORDS": "pcifma sw", "COMP_CWORD": "1"}
    done = subprocess.run([PROGRAM], env={**os.environ, **asked}, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "plain,sweep\n"
    asked |= {"COMP_WORDS": "pcifma sweep --str", "COMP_CWORD": "2"}
    done = subprocess.run([PROGRAM], env={**os.environ, **asked}, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "plain,--strict\n"


def test_catalog_has_every_code_with_its_articles() -> None:
    text = catalog()
    codes = {code for code in entries() if re.fullmatch(r"[A-Z]+-80\d\d-\w\w", code)}
    assert codes >= {"PCIEX-8000-0A", "PCIFMA-8000-0M"}
    assert set(entries()) - codes == {"started", "blind", "wrote", "drill"}
    assert re.findall(r"^-- ([0-9a-f]{32})$", text, re.MULTILINE) == [message_id(kind) for kind in entries()]
    for article in articles().values():
        assert article.what in text, article.class_
        assert article.action in text, article.class_


@pytest.mark.skipif(shutil.which("journalctl") is None, reason="journalctl is not installed")
def test_journal_takes_the_catalog(tmp_path: Path) -> None:
    place = tmp_path / "usr/lib/systemd/catalog"
    place.mkdir(parents=True)
    (place / "pcifma.catalog").write_text(catalog())
    subprocess.run(["journalctl", f"--root={tmp_path}", "--update-catalog"], check=True, capture_output=True, timeout=60)
    listed = subprocess.run(["journalctl", f"--root={tmp_path}", "--list-catalog"], check=True, capture_output=True, text=True, timeout=60)
    assert {line.split()[0] for line in listed.stdout.splitlines()} == {message_id(kind) for kind in entries()}


def test_wheel_has_them_all() -> None:
    files = [str(file) for file in metadata.files("pcifma") or ()]
    if not any(file.endswith("pcifma/cli/main.py") for file in files):
        pytest.skip("an editable install has no data files")
    shipped = {file.rpartition("share/")[2] for file in files if "/share/" in file}
    wanted = {f"man/man{name[-1]}/{name}" for name in pages()} | set(completions()) | {"pcifma/journal/pcifma.catalog"}
    assert wanted <= shipped
