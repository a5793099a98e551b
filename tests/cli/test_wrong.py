"""Wrong words: one line that names the place and the remedy, exit 2, no traceback, no control bytes, and no waiting."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.host_tree import images
from support.image import capture


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def case(path: Path) -> Path:
    path.mkdir()
    (path / "config.lspci").write_text(capture(*images()))
    (path / "case.yaml").write_text("about: x\nplatform: {msi: maybe}\nsteps:\n- {at: 999999999h}\n")
    return path


def dump(path: Path) -> Path:
    path.write_text(capture(*images()))
    return path


@pytest.mark.parametrize(
    ("words", "make", "said"),
    [
        (["sweep"], pipe, "a pipe that nobody writes to: give nothing, -, a sysfs root"),
        (["replay"], pipe, "a pipe that nobody writes to"),
        (["decode", "--log"], pipe, "a pipe that nobody writes to: give a file of kernel"),
        (["sweep", "--plugin-dir", "/no/such/place"], dump, "/no/such/place: no such plugin directory"),
        (["sweep", "--host-root", "/no/such/place"], dump, "/no/such/place: no such directory: --host-root names"),
        (["sweep"], case, "$.platform.msi: 'maybe' is none of on, off, intx, absent, broken"),
        (["replay"], case, "$.steps[0].at: '999999999h' is later than 100 years"),
    ],
    ids=["sweep-pipe", "replay-pipe", "log-pipe", "plugin-dir", "host-root", "platform", "time"],
)
def test_wrong_input_is_named_and_never_waited_for(words: list[str], make: Callable[[Path], Path], said: str, tmp_path: Path) -> None:
    done = pcifma(*words, str(make(tmp_path / "input")))
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["a\x1b[31mb", "a\x07", "a\u202eb"])
def test_control_bytes_of_a_name_reach_no_terminal(name: str) -> None:
    done = pcifma("sweep", f"/nowhere/{name}")
    assert (done.returncode, [c for c in name if not c.isprintable() and c in done.stderr]) == (2, [])


def test_empty_source_says_so() -> None:
    assert pcifma("sweep", "").stderr.startswith("pcifma: SOURCE is empty: give nothing")


def pcifma(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-c", "from pcifma.cli.main import run; run()", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, stdin=subprocess.DEVNULL)
