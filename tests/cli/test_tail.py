"""A log that is read while it is rotated, replaced and damaged gives each event once, in order."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.event import ereport, list_event

from pcifma.access.clock import SimulatedClock
from pcifma.cli.tail import Found, Tail
from pcifma.errors import LogError
from pcifma.fmd.log.batch import Batch
from pcifma.fmd.log.log import Log
from pcifma.fmd.log.reader import Damaged

S = 10**9


class Bench:
    def __init__(self, path: Path) -> None:
        self.path, self.clock, self.n = path, SimulatedClock(), 0
        self.log = Log.open(path, clock=self.clock)

    def add(self, errors: int, lists: int = 0) -> None:
        batch = Batch(
            boot_ns=1,
            ereports=tuple(ereport(self.n + n) for n in range(errors)),
            lists=tuple(list_event(self.n + n) for n in range(lists)),
        )
        self.n += errors + lists
        self.log.append(batch).wait()

    def rotate(self) -> None:
        self.log.rotate("error")
        self.log.rotate("fault")
        self.clock.advance_to(self.clock.boot_ns() + S)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "log.db")
    yield bench
    bench.log.close()


def seqs(found: Iterator[Found]) -> list[int]:
    return [each.seq for each in found]


def test_rotated_logs_come_first_and_each_event_once(bench: Bench) -> None:
    for _ in range(3):
        bench.add(3, 1)
        bench.rotate()
    bench.add(2)
    assert seqs(Tail(bench.path).news()) == list(range(1, 15))


@pytest.mark.parametrize("rotations", [0, 1, 2])
def test_what_comes_is_followed_over_rotation(bench: Bench, rotations: int) -> None:
    tail = Tail(bench.path)
    bench.add(1500, 2)
    assert len(seqs(tail.news())) == 1502
    assert seqs(tail.news()) == []
    for _ in range(rotations):
        bench.add(2, 1)
        bench.rotate()
    bench.add(1)
    assert seqs(tail.news()) == list(range(1503, 1504 + 3 * rotations))


def test_rotation_between_two_rounds_loses_nothing(bench: Bench) -> None:
    bench.add(2500)
    news = Tail(bench.path).news()
    first = [next(news).seq for _ in range(10)]
    bench.rotate()
    bench.add(1)
    assert first + seqs(news) == list(range(1, 2502))


def test_file_alone_is_read_where_one_is_named(bench: Bench) -> None:
    bench.add(3)
    made = bench.log.rotate("error")
    assert made is not None
    bench.add(1)
    assert seqs(Tail(bench.path, [made]).news()) == [1, 2, 3]
    with pytest.raises(LogError, match="no log is here"):
        list(Tail(bench.path, [bench.path.with_name("nowhere.db")]).news())


def test_row_that_cannot_be_made_out_is_said_and_the_rest_is_read(bench: Bench) -> None:
    bench.add(3, 1)
    bench.log.close()
    with sqlite3.connect(bench.path) as connection:
        connection.execute("UPDATE error SET payload = ? WHERE seq = 2", (b"{",))
        connection.execute("UPDATE fault SET body = ? WHERE seq = 4", (b'{"class": 7}',))
    connection.close()
    found = list(Tail(bench.path).news())
    assert [(each.seq, isinstance(each, Damaged)) for each in found] == [(1, False), (2, True), (3, False), (4, True)]
    bench.log = Log.open(bench.path, clock=bench.clock)


def test_log_that_was_replaced_is_followed(bench: Bench) -> None:
    tail = Tail(bench.path)
    bench.add(2)
    assert seqs(tail.news()) == [1, 2]
    bench.path.rename(bench.path.with_name("away"))
    bench.add(1)
    assert seqs(tail.news()) == [3]
