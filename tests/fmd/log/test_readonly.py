"""The log is read by whoever may read it, whatever the daemon is doing or has come to."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.event import ereport

from pcifma.access.clock import SimulatedClock
from pcifma.errors import LogError
from pcifma.fmd.log.batch import Batch
from pcifma.fmd.log.log import Log
from pcifma.fmd.log.reader import Reader
from pcifma.fmd.log.readonly import open_readonly

GROUP, NOBODY = 4242, 65534

# What a member of the group sees: seqs of the events, or the error. Modules are imported before root is given up.
READ = """
import os, shutil, sys, tempfile
from pathlib import Path
from pcifma.errors import LogError
from pcifma.fmd.log.reader import Reader
from pcifma.fmd.log.readonly import open_readonly
group = int(sys.argv[2])
os.setgroups([group]); os.setgid(65534); os.setuid(65534)
try:
    print([logged.seq for logged in Reader(open_readonly(Path(sys.argv[1]))).events(0, 100)])
except LogError as err:
    print(err)
"""
# A daemon that dies: everything is durable, nothing is closed.
DIE = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from support.event import ereport
from pcifma.access.clock import SimulatedClock
from pcifma.fmd.log.batch import Batch
from pcifma.fmd.log.log import Log
log = Log.open(Path(sys.argv[1]), clock=SimulatedClock())
log.append(Batch(boot_ns=0, ereports=(ereport(0), ereport(1)))).wait()
os._exit(9)
"""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a member of the log's group")


@pytest.fixture
def path() -> Iterator[Path]:
    """A log's place as the daemon makes it: directory 0750, group GROUP."""
    directory = Path(tempfile.mkdtemp(prefix="pcifma-test-"))
    if os.geteuid() == 0:
        os.chown(directory, 0, GROUP)
        directory.chmod(0o2750)
    yield directory / "log.db"
    shutil.rmtree(directory)


def read_as_member(path: Path, group: int = GROUP) -> str:
    return subprocess.run([sys.executable, "-c", READ, path, str(group)], capture_output=True, text=True, check=True).stdout.strip()


def die(path: Path) -> None:
    status = subprocess.run([sys.executable, "-c", DIE, path, Path(__file__).parents[2]], check=False).returncode
    assert status == 9
    assert path.with_name("log.db-wal").stat().st_size > 0


@needs_root
def test_who_needs_what_is_written_later_gets_no_copy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    die(path)
    path.with_name("log.db-shm").unlink()
    assert read_as_member(path) == "[1, 2]"
    monkeypatch.setattr(f"{__name__}.READ", READ.replace("(Path(sys.argv[1]))", "(Path(sys.argv[1]), copied=False)"))
    assert "the log cannot be read" in read_as_member(path)


@needs_root
def test_member_of_the_group_reads_while_the_daemon_runs_and_after(path: Path) -> None:
    log = Log.open(path, clock=SimulatedClock())
    log.append(Batch(boot_ns=0, ereports=(ereport(0),))).wait()
    assert read_as_member(path) == "[1]"
    log.append(Batch(boot_ns=0, ereports=(ereport(1),))).wait()
    assert read_as_member(path) == "[1, 2]"
    log.close()
    assert sorted(p.name for p in path.parent.iterdir()) == ["log.db", "log.db.lock"]
    assert read_as_member(path) == "[1, 2]"


@needs_root
@pytest.mark.parametrize("lost", [(), ("log.db-shm",)], ids=["killed", "rebooted"])
def test_member_of_the_group_reads_after_the_daemon_died(path: Path, lost: tuple[str, ...]) -> None:
    die(path)
    for name in lost:
        path.with_name(name).unlink()
    assert read_as_member(path) == "[1, 2]"


@needs_root
def test_reader_who_held_the_log_open_leaves_it_readable(path: Path) -> None:
    log = Log.open(path, clock=SimulatedClock())
    log.append(Batch(boot_ns=0, ereports=(ereport(0),))).wait()
    reader = log.reader()
    log.close()
    assert read_as_member(path) == "[1]"
    reader.close()
    assert read_as_member(path) == "[1]"


@needs_root
def test_others_are_refused_with_what_to_do(path: Path) -> None:
    Log.open(path, clock=SimulatedClock()).close()
    assert "read it as root, or as a member of its group" in read_as_member(path, group=NOBODY)


def test_daemon_that_died_leaves_everything_durable(path: Path) -> None:
    die(path)
    log = Log.open(path, clock=SimulatedClock())
    assert [logged.seq for logged in log.reader().events(0, 10)] == [1, 2]
    log.close()


def test_reader_cannot_write(path: Path) -> None:
    log = Log.open(path, clock=SimulatedClock())
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        log.reader().connection.execute("DELETE FROM error")
    log.close()
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        open_readonly(path).execute("DELETE FROM error")


@pytest.mark.parametrize(
    ("content", "match"),
    [(None, "has the daemon run"), (b"", "schema 0"), (b"not a database, but long enough to be read as one" * 99, "cannot")],
)
def test_what_is_no_log_is_refused(path: Path, content: bytes | None, match: str) -> None:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LogError, match=match):
        open_readonly(path)


def test_reader_sees_one_state_while_the_log_grows(path: Path) -> None:
    log = Log.open(path, clock=SimulatedClock())
    reader = Reader(open_readonly(path))
    for n in range(3):
        log.append(Batch(boot_ns=0, ereports=(ereport(n),))).wait()
        assert [logged.seq for logged in reader.events(0, 10)] == list(range(1, n + 2))
    reader.close()
    log.close()
