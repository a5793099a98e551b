"""The outbox sends one batch at a time, keeps what the log does not take, and stops when memory and log disagree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.desk import Desk, Probe
from support.event import ereport

from pcifma.errors import LogBusyError, LogError, LogUnavailableError
from pcifma.fmd.engine import engine as engine_module
from pcifma.fmd.engine.outbox import Outbox
from pcifma.fmd.log.batch import Batch
from pcifma.fmd.log.ticket import Ticket


class Taker:
    """A log that takes batches while it is not *busy*, and makes nothing durable by itself."""

    path = Path("log.db")
    trouble = "disk full"

    def __init__(self) -> None:
        self.busy = False
        self.taken: list[tuple[Batch, Ticket]] = []

    def append(self, batch: Batch) -> Ticket:
        if self.busy:
            raise LogBusyError("full")
        self.taken.append((batch, Ticket()))
        return self.taken[-1][1]


@pytest.fixture
def log() -> Taker:
    return Taker()


@pytest.fixture
def outbox(log: Taker) -> Outbox:
    return Outbox(log)  # type: ignore[arg-type]


def batches(*numbers: int) -> Callable[[], Batch | None]:
    made = [Batch(boot_ns=n) for n in numbers]
    return lambda: made.pop(0) if made else None


def sent(log: Taker) -> list[int]:
    return [batch.boot_ns for batch, _ in log.taken]


def test_second_batch_waits_for_the_first(outbox: Outbox, log: Taker) -> None:
    collect = batches(1, 2)
    assert outbox.send(collect)
    assert not outbox.send(collect)
    log.taken[0][1].finish()
    assert outbox.send(collect)
    assert sent(log) == [1, 2]


def test_what_a_full_log_refuses_is_sent_before_anything_new(outbox: Outbox, log: Taker) -> None:
    collect = batches(1, 2)
    log.busy = True
    assert not outbox.send(collect)
    log.busy = False
    assert outbox.send(collect)
    log.taken[0][1].finish()
    outbox.send(collect)
    assert sent(log) == [1, 2]


def test_nothing_to_send_is_no_batch(outbox: Outbox, log: Taker) -> None:
    assert outbox.send(batches())
    assert sent(log) == []


def test_checkpoint_refused_for_good_stops_the_engine(outbox: Outbox, log: Taker) -> None:
    outbox.send(batches(1))
    log.taken[0][1].finish(LogError("no such column"))
    with pytest.raises(LogError, match="no such column"):
        outbox.send(batches(2))


def test_wait_gives_up_with_the_reason(outbox: Outbox, log: Taker) -> None:
    with pytest.raises(LogUnavailableError, match="last changes are not stored: disk full"):
        outbox.wait(batches(1), timeout_s=0)
    log.taken[0][1].finish()
    outbox.wait(batches(), timeout_s=0)


def test_events_gather_while_a_checkpoint_is_under_way_and_then_wait(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "log.db")
    probe = Probe()
    desk.add("diag", probe)
    for start in range(0, 6000, 1000):
        desk.log_events(*(ereport(n) for n in range(start, start + 1000)))
    desk.engine.pump()
    outbox, real = desk.engine._outbox, desk.engine._outbox._ticket
    outbox._ticket = stuck = Ticket()
    while desk.engine.pump():
        pass
    assert engine_module.AHEAD <= len(probe.events) - 500 < engine_module.AHEAD + engine_module.ROUND
    assert real is not None and real.wait(60)
    stuck.finish()
    desk.settle()
    assert probe.seqs == list(range(1, 6001))
    desk.close()
