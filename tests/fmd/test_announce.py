"""The same case is announced once: not again after a restart, a crash, a reboot, an upgrade of the log, or when the fault goes on."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from support.daemon import Daemon, configure, daemon
from support.sysfs import CARD, DEVICE_STATUS, UNCORRECTABLE_STATUS, Sysfs

from pcifma.cli.edge import run_and_exit
from pcifma.cli.group import pcifma
from pcifma.event.case import ListEvent

MALFORMED, FATAL = 1 << 18, 4
NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def root(root: Path) -> Path:
    configure(root, "poll: {interval: 100ms, slow_interval: 300ms}\nmodules: {pcie_diagnosis: {window: 300ms}}\n")
    return root


def latch(tree: Sysfs, *, on: bool = True) -> None:
    tree.put(tree.card, UNCORRECTABLE_STATUS, MALFORMED if on else 0, 4)
    tree.put(tree.card, DEVICE_STATUS, FATAL if on else 0, 2)


def lists(fmd: Daemon) -> list[ListEvent]:
    with closing(fmd.log()) as reader:
        return list(reader.lists())


def announced(fmd: Daemon) -> int:
    return [event.class_ for event in lists(fmd)].count("list.suspect")


def ereports(fmd: Daemon) -> int:
    return fmd.classes().count("ereport.io.pciex.tl.mtlp")


def open_case(root: Path, tree: Sysfs, number: int = signal.SIGTERM) -> None:
    with daemon(root, "--source", str(tree.root)) as fmd:
        latch(tree)
        fmd.until(lambda: announced(fmd) == 1, "the case")
        fmd.stop(number)


def repeat(fmd: Daemon, tree: Sysfs) -> None:
    """Let the fault happen again, and wait until the daemon has judged it."""
    before = ereports(fmd)
    latch(tree, on=False)
    fmd.until_looks(2)
    latch(tree)
    fmd.until(lambda: ereports(fmd) == before + 1, "the ereport")
    delivered = fmd.ask("stat")["pcie_diagnosis"]["timeouts"]
    fmd.until(lambda: fmd.ask("stat")["pcie_diagnosis"]["timeouts"] > delivered, "its judgement")
    fmd.until_looks(2)


def reboot(root: Path, tree: Sysfs) -> None:
    """Another boot of the same machine: a source's boot id follows from its path."""
    tree.root.rename(root / "again")
    tree.root, tree.card = root / "again", root / "again" / tree.card.relative_to(tree.root)


def downgrade(log: Path) -> None:
    """Make the log one of the first schema again."""
    with closing(sqlite3.connect(log)) as connection:
        for column in ("ereports", "case_uuid", "command", "uid", "pid"):
            connection.execute(f"ALTER TABLE written DROP COLUMN {column}")
        connection.execute("PRAGMA user_version=1")
        connection.commit()


def test_case_is_announced_once_over_crash_restart_reboot_and_upgrade(root: Path) -> None:
    tree, log = Sysfs(root / "sys"), root / "var/lib/pcifma/log.db"
    open_case(root, tree, signal.SIGKILL)
    with daemon(root, "--source", str(tree.root)) as fmd:
        fmd.until_looks(3)
        assert (announced(fmd), ereports(fmd)) == (1, 1)
        repeat(fmd, tree)
        assert (announced(fmd), ereports(fmd)) == (1, 2)
        fmd.stop()
    if sqlite3.sqlite_version_info >= (3, 35):  # older ones cannot drop columns
        downgrade(log)
    reboot(root, tree)
    with daemon(root, "--source", str(tree.root)) as fmd:
        fmd.until_looks(3)
        assert announced(fmd) == 1
        repeat(fmd, tree)
        assert announced(fmd) == 1
        assert log.with_name("log.db.schema-1").exists() is (sqlite3.sqlite_version_info >= (3, 35))


# Who may read, whether the daemon runs or not.


READS = (["dump"], ["dump", "-e", "-V"], ["dump", "-e", "--json"], ["faulty"], ["explain"], ["writes"])
ASKS = (["status"], ["maintain", "--list"], ["check"])
CHANGES = (["repaired", CARD], ["drill"], ["maintain", "1h", "--why", "x"], ["rotate"], ["reset", "pcie_diagnosis"])


def call(fmd: Daemon, words: list[str]) -> tuple[int, str, str]:
    """A command in this process: status, output, errors."""
    said, complained = StringIO(), StringIO()
    with redirect_stdout(said), redirect_stderr(complained), pytest.raises(SystemExit) as end:
        run_and_exit(pcifma, "pcifma", [*words, "--root", str(fmd.paths.root)])
    return int(str(end.value.code)), said.getvalue(), complained.getvalue()


def as_nobody(fmd: Daemon, *commands: list[str]) -> list[tuple[int, str, str]]:
    """The commands as a user who is nobody but a member of the daemon's group. They were called before: all is imported."""
    group = fmd.paths.state.stat().st_gid
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setresgid(group, group, group)
            os.setresuid(NOBODY - 1, NOBODY - 1, NOBODY - 1)
            os.write(writing, json.dumps([call(fmd, words) for words in commands]).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        answer = file.read()
    os.waitpid(pid, 0)
    return [(status, out, err) for status, out, err in json.loads(answer)]


@needs_root
def test_member_of_the_group_reads_everything_and_changes_nothing(root: Path) -> None:
    tree = Sysfs(root / "sys")
    with daemon(root, "--source", str(tree.root)) as fmd:
        latch(tree)
        fmd.until(lambda: announced(fmd) == 1, "the case")
        reads = [[*words, lists(fmd)[0].uuid] if words == ["explain"] else words for words in READS]
        for words in (*reads, *ASKS, ["repaired", "nothing"]):
            call(fmd, words)
        for (status, _, err), words in zip(as_nobody(fmd, *reads, *ASKS), [*reads, *ASKS], strict=True):
            assert (status, err) == (1 if words == ["check"] else 0, ""), words
        for (status, out, err), words in zip(as_nobody(fmd, *CHANGES), CHANGES, strict=True):
            assert (status, out) == (2, ""), words
            assert "only root may" in err
        assert fmd.classes().count("ereport.pcifma.change") <= 1, "the one that root made"
        fmd.stop()
        answers = as_nobody(fmd, *reads)
    assert [status for status, _, _ in answers] == [0] * len(reads)
    assert answers[2][1].count("tl.mtlp") == 1


def test_dump_follows_over_rotation_and_restart(root: Path) -> None:
    tree = Sysfs(root / "sys")
    configure(root, "poll: {interval: 100ms}\n")
    code = "from pcifma.cli.main import run; run()"
    with daemon(root, "--source", str(tree.root)) as fmd:
        words = ["dump", "-A", "-f", "--json", "-c", "ereport.pcifma.drill", "--root", str(root)]
        with subprocess.Popen([sys.executable, "-I", "-c", code, *words], stdout=subprocess.PIPE, text=True) as tail:
            assert tail.stdout is not None
            try:
                fmd.ask("drill", urgency="now", timeout_s=30)
                assert "ereport.pcifma.drill" in tail.stdout.readline()
                fmd.ask("drill", urgency="now", timeout_s=30)
                fmd.ask("rotate", log="errlog")
                assert "ereport.pcifma.drill" in tail.stdout.readline()
                fmd.stop()
                with daemon(root, "--source", str(tree.root)) as again:
                    again.ask("drill", urgency="now", timeout_s=30)
                    assert "ereport.pcifma.drill" in tail.stdout.readline()
            finally:
                tail.send_signal(signal.SIGINT)
            assert tail.wait(30) == 130
