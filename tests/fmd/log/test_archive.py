"""Rotation moves what is done with into a file that reads like a log, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.event import ereport, list_event

from pcifma.access.clock import SimulatedClock
from pcifma.errors import LogError
from pcifma.fmd.log import archive
from pcifma.fmd.log.batch import Batch, CaseRow, Checkpoint
from pcifma.fmd.log.log import Log
from pcifma.fmd.log.reader import Reader
from pcifma.fmd.log.readonly import open_readonly


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture
def log(tmp_path: Path, clock: SimulatedClock) -> Iterator[Log]:
    log = Log.open(tmp_path / "log.db", clock=clock)
    log.append(Batch(boot_ns=1, ereports=tuple(ereport(n) for n in range(5)), lists=(list_event(0),))).wait()
    yield log
    log.close()


def seqs(reader: Reader) -> list[int]:
    return [logged.seq for logged in reader.events(0, 100)]


def test_rotated_ereports_read_as_before_from_their_own_file(log: Log) -> None:
    before = log.reader().events(0, 100)
    made = log.rotate("error")
    assert made is not None and made.name == "log-error-2000-01-01T000000.db"
    assert Reader(open_readonly(made)).events(0, 100) == before[:5]
    assert log.reader().events(0, 100) == before[5:]


def test_seq_goes_on_after_everything_was_rotated(log: Log, tmp_path: Path, clock: SimulatedClock) -> None:
    log.rotate("error")
    log.rotate("fault")
    assert seqs(log.reader()) == []
    log.close()
    again = Log.open(tmp_path / "log.db", clock=clock)
    again.append(Batch(boot_ns=0, ereports=(ereport(9),))).wait()
    assert seqs(again.reader()) == [7]
    again.close()


def test_what_is_still_needed_stays(log: Log) -> None:
    open_case = CaseRow(1, list_event().uuid, "diag", "k", "SOLVED", b"{}")
    log.append(Batch(boot_ns=0, checkpoints=(Checkpoint("diag", 3, "b", 0),), evidence=((1, 2),), cases=(open_case,))).wait()
    log.rotate("error")
    assert log.rotate("fault") is None
    assert seqs(log.reader()) == [2, 4, 5, 6]


def test_nothing_to_rotate_makes_no_file(log: Log, tmp_path: Path, clock: SimulatedClock) -> None:
    log.rotate("error")
    clock.advance_to(10**9)
    assert log.rotate("error") is None
    assert len(list(tmp_path.glob("log-*"))) == 1


def test_second_rotation_within_a_second_is_refused(log: Log) -> None:
    log.rotate("error")
    log.append(Batch(boot_ns=0, ereports=(ereport(9),))).wait()
    with pytest.raises(LogError, match="is there already"):
        log.rotate("error")
    assert 7 in seqs(log.reader())


def test_unfinished_archive_of_a_crash_is_begun_anew(log: Log, tmp_path: Path) -> None:
    (tmp_path / "log-error-2000-01-01T000000.db+").write_bytes(b"half of it")
    made = log.rotate("error")
    assert made is not None and seqs(Reader(open_readonly(made))) == [1, 2, 3, 4, 5]
    assert not list(tmp_path.glob("*+*"))


def test_oldest_archives_go(log: Log, tmp_path: Path, clock: SimulatedClock) -> None:
    for n in range(archive.KEEP + 2):
        clock.advance_to(n * 10**9)
        log.append(Batch(boot_ns=0, ereports=(ereport(10 + n),))).wait()
        log.rotate("error")
    kept = sorted(path.name for path in tmp_path.glob("log-error-*"))
    assert kept == [f"log-error-2000-01-01T00000{n}.db" for n in range(2, archive.KEEP + 2)]
