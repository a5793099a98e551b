"""The write-ahead log stays short, and copying it loses nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.event import ereport

from pcifma.access.clock import SimulatedClock
from pcifma.fmd.log import wal
from pcifma.fmd.log.batch import Batch
from pcifma.fmd.log.log import Log
from pcifma.fmd.log.retention import Limits

PAYLOAD = {"register": "ECAP_AER+10.l", "bit": 6, "text": "x" * 4000}


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log.open(tmp_path / "log.db", clock=SimulatedClock())
    yield log
    log.close()


def size(log: Log) -> int:
    return log.path.with_name("log.db-wal").stat().st_size


def fill(log: Log, mib: int, start: int = 0) -> int:
    """Append about *mib* MiB; the largest that the WAL was meanwhile."""
    largest = 0
    for n in range(start, start + mib):
        log.append(Batch(boot_ns=0, ereports=tuple(ereport(n * 250 + i, payload=PAYLOAD) for i in range(250)))).wait(60)
        largest = max(largest, size(log))
    log.flush(60)
    return largest


def count(log: Log) -> int:
    reader = log.reader()
    found = reader.connection.execute("SELECT sum(count), max(seq) FROM error").fetchone()
    reader.close()
    assert found[0] == found[1]
    return int(found[0])


def test_idle_log_is_copied_and_its_wal_cut(log: Log) -> None:
    largest = fill(log, 10)
    assert largest < 4 * wal.MIB
    assert count(log) == 2500


def test_reader_that_holds_the_log_back_only_delays_the_copying(log: Log) -> None:
    reader = log.reader()
    reader.connection.execute("BEGIN")
    before = reader.last()
    fill(log, 5)
    assert size(log) > 4 * wal.MIB
    assert reader.last() == before == 0
    reader.connection.execute("COMMIT")
    fill(log, 2, start=5)
    assert size(log) < 4 * wal.MIB
    assert (reader.last(), count(log)) == (1750, 1750)
    reader.close()


@pytest.mark.parametrize("soft", [1, 64])
def test_busy_log_is_copied_beside_the_commits_and_between_two(tmp_path: Path, soft: int) -> None:
    sizes = wal.Sizes(idle=1 << 60, soft=soft * wal.MIB, hard=8 * wal.MIB)
    log = Log.open(tmp_path / "log.db", clock=SimulatedClock(), limits=Limits(wal=sizes))
    largest = fill(log, 30)
    assert largest < sizes.hard + 2 * wal.MIB
    assert count(log) == 7500
    log.close()
    again = Log.open(tmp_path / "log.db", clock=SimulatedClock())
    assert count(again) == 7500
    again.close()
