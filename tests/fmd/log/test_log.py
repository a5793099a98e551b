"""The log keeps what it is given, in order, once, and says when it is durable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from support.event import BOOT, ereport, list_event

from pcifma.access.clock import SimulatedClock
from pcifma.errors import LogError
from pcifma.fmd.log.batch import Batch, FabricSnapshot, Position, RegisterWrite
from pcifma.fmd.log.log import Log
from pcifma.fmd.log.schema import has_strict
from pcifma.poll.latched import Baseline, Standing


@pytest.fixture(params=[True, False] if has_strict() else [False], ids=lambda strict: "strict" if strict else "checked")
def strict(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def log(tmp_path: Path, strict: bool) -> Iterator[Log]:
    log = Log.open(tmp_path / "log.db", clock=SimulatedClock(), strict=strict)
    yield log
    log.close()


def commit(log: Log, **parts: object) -> None:
    assert log.append(Batch(boot_ns=7, **parts)).wait(60)  # type: ignore[arg-type]


def test_events_come_back_as_given_in_log_order(log: Log) -> None:
    first, second = ereport(1), ereport(2, payload={"bit": 6, "pcie_ue_hdr0": 5, "wide": "0" * 16, "none": None})
    commit(log, ereports=(first, second), lists=(list_event(),))
    logged = log.reader().events(after=0, limit=10)
    assert [entry.event for entry in logged] == [
        msgspec.structs.replace(event, seq=seq) for seq, event in enumerate((first, second, list_event()), 1)
    ]
    assert {entry.boot_ns for entry in logged} == {7}


def test_optional_members_survive(log: Log) -> None:
    event = ereport(not_before=None, count=3, first=ereport(0).time, last=ereport(2).time, injected=True, first_look=True, residue=True)
    commit(log, ereports=(event,))
    assert log.reader().events(0, 1)[0].event == msgspec.structs.replace(event, seq=1)


def test_repeat_after_a_crash_is_recognised_and_leaves_no_gap(log: Log) -> None:
    commit(log, ereports=(ereport(1),))
    commit(log, ereports=(ereport(0), ereport(1), ereport(2)), lists=(list_event(),))
    assert [(e.seq, e.event.time[17:19]) for e in log.reader().events(0, 10)] == [(1, "01"), (2, "00"), (3, "02"), (4, "00")]
    assert log.counters["repeated"] == 1


def test_error_seen_a_second_way_gains_the_source(log: Log) -> None:
    commit(log, ereports=(ereport(1),))
    commit(log, ereports=(ereport(1, sources=["aer_event"]),))
    assert [e.event.sources for e in log.reader().events(0, 10)] == [["poll", "aer_event"]]  # type: ignore[union-attr]


def test_cursor_and_limit_bound_what_is_read(log: Log) -> None:
    commit(log, ereports=tuple(ereport(n) for n in range(5)), lists=(list_event(),))
    reader = log.reader()
    assert [e.seq for e in reader.events(after=1, limit=3)] == [2, 3, 4]
    assert [e.seq for e in reader.events(after=4, limit=10, upto=5)] == [5]
    assert log.committed == reader.last() == 6


def test_state_of_a_look_is_committed_with_its_ereports(log: Log) -> None:
    rise = Standing("card", "ECAP_AER+10.l", 6, BOOT, 0, 5, True)
    fabric = FabricSnapshot("f" * 16, 9, b"{}")
    baseline = Baseline("card", BOOT, 11, (("sys/aer_dev_correctable", 3),))
    commit(log, ereports=(ereport(),), latched=(rise,), fabrics=(fabric,), baselines=(baseline,), position=Position(4, 9))
    reader = log.reader()
    assert (reader.latched(), reader.baselines(), reader.position()) == ([rise], [baseline], Position(4, 9))
    assert reader.fabric(fabric.id) == fabric


def test_forgotten_target_keeps_its_occurrences_and_nothing_of_it_stands(log: Log) -> None:
    fall = Standing("card", "ECAP_AER+10.l", 6, BOOT, 0, 5, False)
    rise = Standing("card", "ECAP_AER+10.l", 7, BOOT, 3, 5, True)
    other = Standing("port", "ECAP_AER+10.l", 6, BOOT, 0, 5, True)
    commit(log, latched=(fall, rise, other), baselines=(Baseline("card", BOOT, 1),))
    assert log.reader().latched() == [fall, rise, other]
    commit(log, forgotten=("card",))
    assert (log.reader().latched(), log.reader().baselines()) == ([fall, rise._replace(standing=False), other], [])


def test_forgetting_and_seeing_again_in_one_group_keeps_the_new_row(log: Log) -> None:
    before, after = (Standing("card", "ECAP_AER+10.l", 6, BOOT, n, 5, True) for n in (0, 1))
    commit(log, latched=(before,))
    log.append(Batch(boot_ns=0, latched=(before,), forgotten=("card",)))
    log.append(Batch(boot_ns=0, forgotten=("card",), latched=(after,)))
    log.flush()
    assert log.reader().latched() == [after]


def test_ledger_keeps_intent_and_outcome_of_a_write(log: Log) -> None:
    intent = RegisterWrite("w1", 1, BOOT, "0000:04:00.0", "ECAP_AER+10.l", 4, 0x40, 0x40, None, "acknowledge ereport 1")
    commit(log, writes=(intent,))
    assert list(log.reader().writes()) == [intent]
    outcome = RegisterWrite("w1", 2, BOOT, "0000:04:00.0", "ECAP_AER+10.l", 4, 0x40, 0x40, 0, "acknowledge ereport 1")
    commit(log, writes=(outcome,))
    assert [(w.wall_ns, w.after) for w in log.reader().writes()] == [(1, 0)]


@pytest.mark.parametrize("change", [{"time": "yesterday"}, {"uuid": "17"}, {"count": 0}, {"tick": 1 << 63}, {"ena": "xy"}])
def test_bad_ereport_is_refused_with_its_whole_batch(log: Log, change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        log.append(Batch(boot_ns=0, ereports=(ereport(1), ereport(2, **change)), lists=(list_event(),)))
    log.flush()
    assert log.reader().events(0, 10) == []


def test_seq_goes_on_after_reopening(tmp_path: Path) -> None:
    for n in range(2):
        log = Log.open(tmp_path / "log.db", clock=SimulatedClock())
        commit(log, ereports=(ereport(n),))
        assert log.committed == n + 1
        log.close()


def test_close_commits_what_is_queued(tmp_path: Path) -> None:
    log = Log.open(tmp_path / "log.db", clock=SimulatedClock())
    ticket = log.append(Batch(boot_ns=0, ereports=(ereport(),)))
    log.close()
    assert ticket.durable
    with pytest.raises(LogError, match="is closed"):
        log.append(Batch(boot_ns=0))


def test_second_daemon_on_one_log_is_refused_by_process(log: Log) -> None:
    with pytest.raises(LogError, match=r"another daemon \(process \d+\) writes this log"):
        Log.open(log.path, clock=SimulatedClock())


def test_ticket_calls_back_once_when_durable(log: Log) -> None:
    calls: list[bool] = []
    ticket = log.append(Batch(boot_ns=0, ereports=(ereport(),)))
    ticket.then(lambda done: calls.append(done.durable))
    assert ticket.wait(60)
    ticket.then(lambda done: calls.append(done.durable))
    log.flush()
    assert calls == [True, True]
