"""How a daemon starts: as nobody in particular, beside another one, on a newer log, in an environment of somebody else's."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
from support.daemon import configure, daemon
from support.sysfs import CARD, CORRECTABLE_STATUS, DEVICE_STATUS, Sysfs

from pcifma.fmd.path import Paths

FAST = "poll: {interval: 100ms, slow_interval: 300ms}\n"
USER = ["unshare", "-U", "--map-user=1000", "--map-group=1000"]


def plain_user() -> list[str] | None:
    """The words that run a program as a plain user; None where that cannot be had."""
    if os.geteuid() != 0:
        return []
    found = shutil.which("unshare") is not None and subprocess.run([*USER, "true"], capture_output=True, check=False).returncode == 0
    return USER if found else None


needs_user = pytest.mark.skipif(plain_user() is None, reason="needs a plain user, or a user namespace to be one in")


@needs_user
def test_plain_user_has_a_daemon_of_what_can_be_read_and_is_told_so(root: Path, tree: Sysfs) -> None:
    configure(root, FAST + "clear: true\n")
    tree.put(tree.card, CORRECTABLE_STATUS, 0x40, 4)
    tree.put(tree.card, DEVICE_STATUS, 1, 2)
    with daemon(root, "--source", str(tree.root), prefix=plain_user() or ()) as running:
        running.until(lambda: "ereport.io.pciex.dl.btlp" in running.classes(), "the ereport")
        status = running.status()
        assert (status["keeper"], status["writes"], status["uid"]) == ("none", 0, 1000 if os.geteuid() == 0 else os.geteuid())
        assert running.stop() == 0

    assert "not root: only 64 bytes of each Function can be read, and nothing is written back" in running.said
    assert "clear: true has no effect" in running.said
    assert Paths(root).log.exists()


@needs_user
def test_plain_user_is_told_what_only_64_bytes_mean(root: Path, tree: Sysfs) -> None:
    # As the kernel gives them to whoever is not root.
    for directory in (tree.card, tree.port):
        (directory / "config").write_bytes((directory / "config").read_bytes()[:64])
    with daemon(root, "--source", str(tree.root), prefix=plain_user() or ()) as running:
        assert running.status()["unread_functions"][CARD] == "short"
        assert running.stop() == 0


def test_two_daemons_on_one_root_refuse_and_the_first_goes_on(root: Path, tree: Sysfs) -> None:
    configure(root, FAST)
    with daemon(root, "--source", str(tree.root)) as first:
        for _ in range(3):
            with daemon(root, "--source", str(tree.root), wait=False) as second:
                assert second.process.wait(30) == 2
        first.until_looks(2)
        assert first.said.count(f"another pcifma fmd (process {first.process.pid}) runs here: stop it") == 3


def test_log_of_a_newer_version_is_refused_by_its_name_and_left_alone(root: Path, tree: Sysfs) -> None:
    configure(root, FAST)
    with daemon(root, "--source", str(tree.root)) as running:
        assert running.stop() == 0
    log = Paths(root).log
    with sqlite3.connect(log) as connection:
        connection.execute("PRAGMA user_version=999")
        connection.execute("UPDATE meta SET value = '9.9.9' WHERE key = 'written_by'")
    connection.close()
    before = log.read_bytes()
    with daemon(root, "--source", str(tree.root), wait=False) as running:
        assert running.process.wait(30) == 2

    assert "written by pcifma 9.9.9 (schema 999)" in running.said
    assert log.read_bytes() == before


def test_environment_and_working_directory_decide_nothing_in_daemon_and_keeper(
    root: Path, tree: Sysfs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = root / "note"
    note.touch()
    note.chmod(0o666)
    evil = f"import sys\nopen({str(note)!r}, 'a').write(' '.join(sys.orig_argv) + '\\n')\n"
    for name in ("sitecustomize.py", "usercustomize.py", "sqlite3.py", "yaml.py", "selectors.py", "pcifma_evil.py"):
        (tmp_path / name).write_text(evil)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "pcifma_evil.py"))
    monkeypatch.chdir(tmp_path)
    with daemon(root, "--source", str(tree.root)) as running:
        assert running.stop() == 0

    # The command itself is its caller's; what it becomes is not.
    assert [line for line in note.read_text().splitlines() if "pcifma.fmd" in line] == []
    assert note.read_text() != "", "the trap would not notice anything"
