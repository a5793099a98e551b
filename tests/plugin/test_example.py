"""The example of docs/plugins.md: word for word, from a directory, and installed from a wheel."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.board import END, board
from support.image import capture

from pcifma.access.fixture import Fixture
from pcifma.access.open import open_source
from pcifma.plugin.loader import Plugin, load
from pcifma.poll.replay import play

HERE = Path(__file__).parent / "example" / "stuck_pair"
DOCUMENT = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
STEPS = """
about: Transactions Pending for more than a minute
steps:
  - {at: 0s}
  - {at: 5s, store: {"0000:04:00.0": {"CAP_EXP+a.w": 0x0020}}}
  - {at: 90s}
"""


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "pending"
    path.mkdir()
    (path / "case.yaml").write_text(STEPS)
    (path / "config.lspci").write_text(capture(*board()))
    return path


def events(recording: Path, plugin: Plugin) -> list[tuple[str, str, str]]:
    fixture = open_source(str(recording))
    assert isinstance(fixture, Fixture)
    return [(e.class_, e.device, e.time) for look in play(fixture, [plugin]) for e in look.ereports]


def test_document_shows_the_example_word_for_word() -> None:
    assert (HERE / "plugin.yaml").read_text() == block("yaml")
    assert (HERE / "plugin.py").read_text() == block("python")


def test_example_speaks_after_its_minute_and_once(recording: Path) -> None:
    time = "2000-01-01T00:01:05.000000000Z"
    expected = [("ereport.io.pci.fabric", END, time), ("ereport.io.pciex.tl.pending", END, time)]
    assert events(recording, load(HERE, "directory")) == expected


def test_example_is_silent_in_maintenance(recording: Path) -> None:
    (recording / "host" / "run").mkdir(parents=True)
    (recording / "host" / "run" / "maintenance").write_text("since noon\n")
    assert events(recording, load(HERE, "directory")) == []


def test_example_imports_the_plugin_api_only() -> None:
    assert re.findall(r"^(?:from|import) (\S+)", block("python"), re.MULTILINE) == ["pcifma.plugin"]


def test_example_installed_from_a_wheel_is_found_and_runs(recording: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    package = project / "pcifma_stuck_pair"
    package.mkdir(parents=True)
    for name in ("plugin.yaml", "plugin.py"):
        (package / name).write_bytes((HERE / name).read_bytes())
    (package / "__init__.py").touch()
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n\n' + block("toml")
    )
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(project)]
    subprocess.run(install, check=True, capture_output=True, timeout=300)
    code = f"import sys; sys.path.append({str(site)!r}); from pcifma.cli.main import run; run()"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, "replay", "--json", "--plugin", "stuck_pair", str(recording)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert [json.loads(line)["class"] for line in done.stdout.splitlines()][1:] == ["ereport.io.pciex.tl.pending", "sweep.summary"]
