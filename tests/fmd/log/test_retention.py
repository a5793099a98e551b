"""The log stays within its size, and what leaves it is counted."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.desk import Desk, Probe
from support.event import ereport, list_event, suspect

from pcifma.access.clock import SimulatedClock
from pcifma.event.ereport import Ereport
from pcifma.fmd.log.batch import Batch, CaseRow, Checkpoint, FabricSnapshot, RegisterWrite
from pcifma.fmd.log.group import Group, Rows
from pcifma.fmd.log.log import Log
from pcifma.fmd.log.reader import Reader
from pcifma.fmd.log.retention import Limits, Retention
from pcifma.fmd.log.schema import MIGRATIONS, has_strict
from pcifma.fmd.log.store import Store
from pcifma.fmd.log.ticket import Ticket

KIB = 1 << 10
SMALL = Limits(database_bytes=700 * KIB, newest=100, fault_bytes=20 * KIB, cases=3, writes=5, fabrics=2)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log.open(tmp_path / "log.db", clock=SimulatedClock(), limits=SMALL)
    yield log
    log.close()


def fill(log: Log, count: int, origins: int, start: int = 0) -> None:
    """Append *count* ereports of *origins* origins, and let retention do what it will."""
    for n in range(start, start + count, 500):
        events = (ereport(i, device=f"0000:{i % origins // 32:02x}:{i % origins % 32:02x}.0") for i in range(n, n + 500))
        log.append(Batch(boot_ns=n, ereports=tuple(events))).wait(60)
    log.flush(60)
    log.do(lambda store: None).wait(60)


def rows(reader: Reader) -> tuple[int, int, int]:
    """How many ereports there are, the sum of their counts, and of what was retired."""
    count, total = reader.connection.execute("SELECT count(*), coalesce(sum(count), 0) FROM error").fetchone()
    return count, total, sum(n for _, n in reader.retired().values())


def used(log: Log) -> int:
    found: list[int] = []
    log.do(lambda store: found.append(store.opened().retention.used_bytes)).wait(60)
    return found[0]


def test_log_within_its_size_keeps_every_ereport(log: Log) -> None:
    fill(log, 2000, origins=4)
    assert rows(log.reader()) == (2000, 2000, 0)


def test_too_many_ereports_are_folded_by_origin_and_the_sum_stays(log: Log) -> None:
    fill(log, 30000, origins=4)
    count, total, retired = rows(log.reader())
    assert (total, retired) == (30000, 0)
    assert count < 15000
    assert used(log) <= SMALL.database_bytes


def test_room_is_made_inside_commits_that_follow_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, inside = [], Retention.slice

    def full_once(self: Retention, upto: int) -> bool:
        made.append(upto)
        if len(made) == 1:
            raise sqlite3.OperationalError("database or disk is full")
        return inside(self, upto)

    monkeypatch.setattr(Retention, "slice", full_once)
    store = Store(tmp_path / "log.db", SimulatedClock(), print, strict=has_strict(), migrations=MIGRATIONS, limits=SMALL)
    failed = 0
    for n in range(0, 30000, 500):
        group = Group()
        batch = Batch(boot_ns=n, ereports=tuple(ereport(i, device=f"0000:00:{i % 8:02x}.0") for i in range(n, n + 500)))
        group.add(batch, Rows.of(batch), Ticket())
        try:
            store.commit(group, None)
        except sqlite3.OperationalError as err:
            failed += 1
            store.recover(err)
            store.commit(group, None)  # room that cannot be made now keeps nothing from being stored
    opened = store.opened()
    total, size = opened.connection.execute("SELECT sum(count) FROM error").fetchone()[0], opened.retention.used_bytes
    store.close()

    assert (total, failed) == (30000, 1)
    assert len(made) > 2
    assert size <= 2 * SMALL.database_bytes


def test_folded_rows_keep_their_bounds_and_their_origin(log: Log) -> None:
    fill(log, 30000, origins=3)
    events = [logged.event for logged in log.reader().events(0, 10**6)]
    by_device: dict[str, int] = {}
    for event in events:
        assert isinstance(event, Ereport)
        by_device[event.device] = by_device.get(event.device, 0) + event.count
        if event.count > 1:
            assert isinstance(event.first, str) and isinstance(event.last, str)
            assert event.time == event.first < event.last
    assert by_device == {f"0000:00:{n:02x}.0": 10000 for n in range(3)}


def test_what_cannot_be_folded_is_retired_by_age_and_counted_by_class(log: Log) -> None:
    fill(log, 20000, origins=10**6)
    count, total, retired = rows(log.reader())
    assert total + retired == 20000
    assert 0 < count == total < 20000
    assert log.reader().retired() == {ereport().class_: (retired, retired)}
    assert used(log) <= SMALL.database_bytes
    assert log.reader().events(0, 10**6)[-1].seq == 20000


def test_newest_ereports_stay_as_they_are(log: Log) -> None:
    fill(log, 30000, origins=2)
    newest = [logged for logged in log.reader().events(0, 10**6) if logged.seq > 30000 - SMALL.newest]
    assert len(newest) == SMALL.newest
    assert {logged.event.count for logged in newest if isinstance(logged.event, Ereport)} == {1}


def test_ereports_that_a_module_has_not_taken_stay(log: Log) -> None:
    log.append(Batch(boot_ns=0, checkpoints=(Checkpoint("slow", 50, "b", 0),))).wait()
    fill(log, 20000, origins=2)
    seqs = [logged.seq for logged in log.reader().events(0, 10**6)]
    assert seqs[-19950:] == list(range(51, 20001))
    log.subscribers = frozenset()
    fill(log, 500, origins=2, start=20000)
    assert len(log.reader().events(0, 10**6)) < 20000


def test_evidence_of_an_open_case_stays_until_it_is_released(log: Log) -> None:
    evidence = tuple((7, seq) for seq in (3, 5, 900))
    fill(log, 1000, origins=2)
    log.append(Batch(boot_ns=0, evidence=evidence)).wait()
    fill(log, 20000, origins=2, start=1000)
    kept = {logged.seq: logged.event for logged in log.reader().events(0, 10**6)}
    assert [kept[seq].tick for _, seq in evidence if isinstance(kept[seq], Ereport)] == [2, 4, 899]  # type: ignore[union-attr]
    assert log.reader().evidence(7) == {ereport(seq - 1).uuid: seq for _, seq in evidence}
    log.append(Batch(boot_ns=0, released=(7,))).wait()
    fill(log, 20000, origins=2, start=21000)
    assert 900 not in {logged.seq for logged in log.reader().events(0, 10**6)}


def test_smaller_tables_are_bounded(log: Log) -> None:
    for n in range(40):
        case = f"00000000-0000-0000-0000-{n:012d}"
        log.append(
            Batch(
                boot_ns=n,
                lists=(list_event(n, uuid=case, fault_list=[suspect(location="x" * 1000)]),),
                cases=(CaseRow(n + 1, case, "diag", "k", "SOLVED" if n == 2 else "RESOLVED", b"{}"),),
                fabrics=(FabricSnapshot(f"f{n}", n, b"{}"),),
                writes=(RegisterWrite(f"w{n}", n, "b", "d", "r", 4, 0, 1, 0, "why"),),
            )
        ).wait()
    log.do(Store.tidy).wait()
    reader = log.reader()
    assert [row.id for row in reader.cases()] == [3, 38, 39, 40]
    assert [write.id for write in reader.writes()] == [f"w{n}" for n in range(35, 40)]
    assert reader.writes_ever() == 40
    assert [fabric for n in range(40) if (fabric := reader.fabric(f"f{n}"))] == [FabricSnapshot(f"f{n}", n, b"{}") for n in (38, 39)]
    lists = [event.uuid[-2:] for event in reader.lists()]
    assert lists[0] == "02"
    assert 5 < len(lists) < 20


def test_origins_without_ereports_go_and_are_not_used_again(log: Log) -> None:
    fill(log, 20000, origins=10**6)
    log.do(Store.tidy).wait()
    origins, used_origins = (
        log.reader().connection.execute(query).fetchone()[0]
        for query in ("SELECT count(*) FROM origin", "SELECT count(DISTINCT origin) FROM error")
    )
    assert origins == used_origins
    log.append(Batch(boot_ns=0, ereports=(ereport(50000, device="0000:00:00.0"),))).wait()
    last = log.reader().events(20000, 10)[0].event
    assert isinstance(last, Ereport) and last.device == "0000:00:00.0"


def test_storm_faster_than_its_modules_is_folded_before_they_take_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "log.db")
    probe = Probe()
    desk.add("diag", probe)
    desk.engine.pump()
    for n in range(0, 40000, 1000):
        events = tuple(ereport(i, device=f"0000:00:{i % 5:02x}.0") for i in range(n, n + 1000))
        assert desk.log.append(Batch(boot_ns=n, ereports=events)).wait(60)
    desk.settle()
    counts = [event.count for event in probe.events if isinstance(event, Ereport)]
    assert sum(counts) == 40000
    assert len(counts) < 3 * 4096
    assert rows(desk.log.reader()) == (len(counts), 40000, 0)
    desk.close()


def test_event_that_was_handed_out_does_not_change_any_more(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "log.db")
    probe = Probe()
    desk.add("diag", probe)
    for n in range(0, 30000, 1000):
        desk.log_events(*(ereport(i) for i in range(n, n + 1000)))
        desk.engine.pump(limit=300)
    desk.settle()
    kept = {logged.seq: logged.event for logged in desk.log.reader().events(0, 10**6)}
    assert sum(event.count for event in probe.events if isinstance(event, Ereport)) == 30000
    assert probe.events == [kept[event.seq] for event in probe.events]
    desk.close()
