"""Storage that is damaged, full, failing or gone is survived: said once, and nothing lost without a word."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.desk import Desk, Probe
from support.event import ereport

from pcifma.access.clock import SimulatedClock
from pcifma.errors import LogBusyError, LogError, LogUnavailableError
from pcifma.event.case import ListEvent
from pcifma.event.ereport import Ereport
from pcifma.fmd.log import database
from pcifma.fmd.log import log as log_module
from pcifma.fmd.log.batch import Batch
from pcifma.fmd.log.log import Log
from pcifma.fmd.log.store import Store

MIB = 1 << 20


def wrote(path: Path, count: int = 1) -> list[str]:
    """Open the log, append *count* events, close it; what was reported."""
    reports: list[str] = []
    log = Log.open(path, clock=SimulatedClock(), report=reports.append)
    log.append(Batch(boot_ns=0, ereports=tuple(ereport(n) for n in range(count)))).wait()
    log.close()
    return reports


def zero_a_page(data: bytearray) -> None:
    data[4096 * 3 : 4096 * 4] = bytes(4096)


def change_the_header(data: bytearray) -> None:
    data[:16] = b"SQLite format 2\0"


def cut_in_half(data: bytearray) -> None:
    del data[len(data) // 8192 * 4096 + 100 :]


def overwrite_all(data: bytearray) -> None:
    data[:] = b"\xa5" * len(data)


@pytest.mark.parametrize("damage", [zero_a_page, change_the_header, cut_in_half, overwrite_all])
def test_damaged_log_is_moved_aside_and_said_so(tmp_path: Path, damage: Callable[[bytearray], None]) -> None:
    path = tmp_path / "log.db"
    wrote(path, 200)
    data = bytearray(path.read_bytes())
    damage(data)
    path.write_bytes(data)
    (report,) = wrote(path, 3)
    assert "damaged" in report
    assert "log.db.broken-2000-01-01T000000" in report
    assert (tmp_path / "log.db.broken-2000-01-01T000000").read_bytes() == bytes(data)
    log = Log.open(path, clock=SimulatedClock())
    assert len(log.reader().events(0, 10)) == 3
    log.close()


def test_second_damaged_log_does_not_replace_the_first(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    for content in (b"first" * 1000, b"second" * 1000):
        path.write_bytes(content)
        wrote(path)
    kept = {p.read_bytes()[:5] for p in tmp_path.iterdir() if "broken" in p.name}
    assert kept == {b"first", b"secon"}


def blame(probe: Probe, event: Ereport | ListEvent) -> None:
    assert isinstance(event, Ereport)
    probe.services.open_case("c").add_ereport(event)
    probe.services.put("seen", event.uuid.encode())


def test_log_removed_under_the_daemon_is_begun_anew_with_all_that_is_in_memory(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "log.db")
    desk.add("diag", Probe(on_recv=blame))
    desk.log_events(ereport(0))
    desk.settle()
    for name in ("log.db", "log.db-wal", "log.db-shm"):
        (tmp_path / name).unlink()
    desk.log_events(ereport(1))
    desk.settle()
    assert (desk.log.generation, ["removed or replaced" in report for report in desk.reports]) == (1, [True])
    desk.restart()
    probe = Probe()
    desk.add("diag", probe)
    desk.settle()
    assert [case.record.key for case in desk.engine.docket.of("diag")] == ["c"]
    assert (probe.services.get("seen"), probe.events) == (ereport(1).uuid.encode(), [])
    desk.close()


def test_log_found_damaged_by_a_reader_is_begun_anew(tmp_path: Path) -> None:
    reports: list[str] = []
    log = Log.open(tmp_path / "log.db", clock=SimulatedClock(), report=reports.append)
    log.append(Batch(boot_ns=0, ereports=tuple(ereport(n) for n in range(200)))).wait()

    def damage(store: Store) -> None:
        connection = store.opened().connection
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with (tmp_path / "log.db").open("r+b") as file:
            file.seek(4096)
            file.write(bytes(os.path.getsize(tmp_path / "log.db") - 4096))  # noqa: PTH202 # beside an open file
        connection.execute("PRAGMA shrink_memory").fetchall()

    log.do(damage).wait()
    log.check()
    log.do(lambda _: None).wait()
    log.append(Batch(boot_ns=0, ereports=(ereport(300),))).wait()
    assert (log.generation, len(reports)) == (1, 1)
    assert [logged.seq for logged in log.reader().events(0, 1000)] == [201], "seq goes on"
    log.close()


def fill(store: Store) -> None:
    """Let the database grow no further, as a full disk does; a new connection knows nothing of it."""
    pages = store.opened().connection.execute("PRAGMA page_count").fetchone()[0]
    store.opened().connection.execute(f"PRAGMA max_page_count={pages}")


def test_full_storage_is_said_once_and_what_waited_is_written(tmp_path: Path) -> None:
    reports: list[str] = []
    log = Log.open(tmp_path / "log.db", clock=SimulatedClock(), report=reports.append)
    log.do(fill).wait()
    ticket = log.append(Batch(boot_ns=0, ereports=tuple(ereport(n) for n in range(1000))))
    assert ticket.wait(60)
    assert (log.counters["errors"], log.trouble) == (1, "")
    assert ["database or disk is full" in reports[0], "takes the log again" in reports[1], len(reports)] == [True, True, 2]
    assert len(log.reader().events(0, 2000)) == 1000
    log.close()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], check=False).returncode:
        pytest.skip("a small file system can only be mounted as root, outside a container")
    yield tmp_path
    subprocess.run(["umount", "-l", tmp_path], check=True)


def test_full_file_system_refuses_at_last_and_loses_nothing_that_it_took(small: Path) -> None:
    reports: list[str] = []
    log = Log.open(small / "log.db", clock=SimulatedClock(), report=reports.append)
    (small / "filler").write_bytes(bytes(600 << 10))
    taken = []
    with pytest.raises(LogBusyError, match=r"queue is full: .*full"):
        for n in range(1000):
            events = tuple(ereport(n * 100 + i, device=f"{n:04x}:{i:02x}:00.0") for i in range(100))
            taken.append(log.append(Batch(boot_ns=0, ereports=events)))
    assert log.counters["refused"] == 100
    assert "free or repair it" in reports[0]
    (small / "filler").unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
    assert all(ticket.wait(60) for ticket in taken)
    assert len(log.reader().events(0, 10**6)) == 100 * len(taken)
    log.close()


def test_close_on_full_storage_says_what_was_not_stored(small: Path) -> None:
    reports: list[str] = []
    log = Log.open(small / "log.db", clock=SimulatedClock(), report=reports.append)
    (small / "filler").write_bytes(bytes(600 << 10))
    ticket = log.append(Batch(boot_ns=0, ereports=tuple(ereport(n, payload={"text": "x" * 500}) for n in range(2000))))
    log.close()
    assert "2000 events could not be stored" in reports[-1]
    with pytest.raises(LogError, match="full"):
        ticket.wait()


def test_read_only_storage_is_unavailable_not_broken(small: Path) -> None:
    wrote(small / "log.db")
    subprocess.run(["mount", "-o", "remount,ro", small], check=True)
    with pytest.raises(LogUnavailableError, match=r"Read-only file system.*free or repair the storage"):
        Log.open(small / "log.db", clock=SimulatedClock())
    subprocess.run(["mount", "-o", "remount,rw", small], check=True)
    assert wrote(small / "log.db", 2) == []


def test_missing_directory_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(LogUnavailableError, match="No such file or directory"):
        Log.open(tmp_path / "none" / "log.db", clock=SimulatedClock())


def test_batch_that_no_table_takes_is_refused_alone(tmp_path: Path) -> None:
    reports: list[str] = []
    log = Log.open(tmp_path / "log.db", clock=SimulatedClock(), report=reports.append)
    log.flush()
    ticket = log.append(Batch(boot_ns="soon", ereports=(ereport(0),)))  # type: ignore[arg-type]
    with pytest.raises(LogError, match=r"boot_ns|datatype|INT"):
        ticket.wait(60)
    assert "1 events could not be stored" in reports[0]
    log.append(Batch(boot_ns=0, ereports=(ereport(0),))).wait()
    assert [logged.seq for logged in log.reader().events(0, 10)] == [1]
    log.close()


def test_queue_waits_for_room_before_it_refuses(tmp_path: Path) -> None:
    log = Log.open(tmp_path / "log.db", clock=SimulatedClock())
    events = tuple(ereport(n, device=f"0000:{n >> 8:02x}:{n >> 3 & 31:02x}.{n & 7}") for n in range(2000))
    for n in range(2 * log_module.QUEUE_LIMIT // len(events)):
        log.append(Batch(boot_ns=n, ereports=events))
    assert log.flush(60)
    assert log.counters["refused"] == 0
    log.close()


def test_job_that_fails_is_told_and_the_log_goes_on(tmp_path: Path) -> None:
    log = Log.open(tmp_path / "log.db", clock=SimulatedClock())

    def fail(store: Store) -> None:
        raise sqlite3.OperationalError("no such table")

    with pytest.raises(LogError, match="no such table"):
        log.do(fail).wait(60)
    assert log.flush(60)
    log.close()


def test_damaged_log_that_cannot_be_moved_aside_yet_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[str] = []
    log = Log.open(tmp_path / "log.db", clock=SimulatedClock(), report=reports.append)
    moved, tries = database.move_aside, iter([True, True, False])

    def refuse(path: Path, stamp: str) -> Path:
        if next(tries):
            raise OSError(28, "No space left on device")
        return moved(path, stamp)

    monkeypatch.setattr(database, "move_aside", refuse)
    log.path.unlink()
    log.append(Batch(boot_ns=0, ereports=(ereport(),))).wait(20)
    assert [entry.seq for entry in log.reader().events(0, 10)] == [1]
    log.close()
    assert log.generation == 1
    assert any("No space left" in line for line in reports)
    assert any("a new log begins" in line for line in reports)


def test_log_whose_thread_fails_says_so_and_takes_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[str] = []
    log = Log.open(tmp_path / "log.db", clock=SimulatedClock(), report=reports.append)

    def fail(*_: object) -> None:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(Store, "commit", fail)
    ticket = log.append(Batch(boot_ns=0, ereports=(ereport(),)))
    with pytest.raises(LogError, match="a mistake of ours"):
        ticket.wait(20)
    with pytest.raises(LogError, match="closed"):
        log.append(Batch(boot_ns=0))
    log.close()
    assert any("the log's thread has failed: RuntimeError: a mistake of ours" in line for line in reports)
    assert log.trouble
