"""The edge of the commands: output that nobody reads, has no room, or whose letters the locale lacks; colour where it is wanted."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from support.host_tree import images
from support.image import capture

PROGRAM = [sys.executable, "-I", "-c", "from pcifma.cli.main import run; run()"]
CLOSED = 141


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    path = tmp_path / "dump.txt"
    path.write_text(capture(*images()))
    return path


def closed(*words: str | Path) -> subprocess.CompletedProcess[bytes]:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return subprocess.run([*PROGRAM, *map(str, words)], stdout=writing, stderr=subprocess.PIPE, check=False, timeout=120)
    finally:
        os.close(writing)


@pytest.mark.parametrize("verb", ["coverage", "topology"])
def test_a_reader_that_went_away_is_no_error_found(dump: Path, verb: str) -> None:
    done = closed(verb, dump)
    assert (done.returncode, done.stderr) == (CLOSED, b"")


def test_help_may_be_read_in_part() -> None:
    assert closed("--help").returncode == CLOSED


@pytest.mark.parametrize("words", [["sweep"], ["sweep", "--json"], ["coverage"], ["topology", "--json"]])
def test_output_that_has_no_room_is_trouble(dump: Path, words: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*PROGRAM, *words, str(dump)], stdout=full, stderr=subprocess.PIPE, check=False, timeout=120)
    assert done.returncode == 2
    assert done.stderr == b"pcifma: standard output: No space left on device: what was printed is not whole\n"


def test_letters_that_the_locale_lacks_are_no_trouble(dump: Path) -> None:
    script = f"import io, sys; sys.stdout = io.TextIOWrapper(sys.stdout.buffer, 'latin-1'); {PROGRAM[-1]}"
    done = subprocess.run([sys.executable, "-I", "-c", script, "help", "PCIEX-8000-KP"], capture_output=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")
    script = script.replace("latin-1", "ascii")
    done = subprocess.run([sys.executable, "-I", "-c", script, "coverage", str(dump)], capture_output=True, check=False, timeout=120)
    assert b"Traceback" not in done.stderr
    assert done.stdout.isascii()


def test_closed_output_is_no_traceback(dump: Path) -> None:
    shell = ["sh", "-c", '"$@" >&-', "sh", *PROGRAM, "sweep", str(dump)]
    done = subprocess.run(shell, stderr=subprocess.PIPE, check=False, timeout=120)
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("environment", "coloured"), [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colour_is_for_terminals_that_want_it(environment: dict[str, str], coloured: bool) -> None:
    ours, theirs = pty.openpty()
    words = [*PROGRAM, "decode", "UESta", "40000"]
    plain = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "TERM")}
    subprocess.run(words, stdout=theirs, env=plain | environment, check=False, timeout=120)
    os.close(theirs)
    text = os.read(ours, 1 << 16)
    os.close(ours)
    assert b"Malformed TLP" in text
    assert (b"\x1b" in text) is coloured
