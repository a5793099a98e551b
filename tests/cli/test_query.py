"""fmdump's filters: several of one kind mean any, several kinds mean all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.event import ereport, list_event

from pcifma.access.clock import SimulatedClock
from pcifma.cli.query import Named, Query
from pcifma.errors import UsageError
from pcifma.event.case import ListEvent
from pcifma.event.ereport import Ereport
from pcifma.fmd.log.batch import Batch, CaseRow
from pcifma.fmd.log.log import Log
from pcifma.fmd.log.reader import Logged, Reader


def keeps(event: Ereport | ListEvent, **query: object) -> bool:
    which = "fault" if isinstance(event, ListEvent) else "error"
    return Query(**{"which": which, **query}).keeps(Logged(event, 0))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("which", "kept"),
    [("error", [0, 1, 2]), ("info", [1, 2]), ("own", [2]), ("fault", [3]), ("all", [0, 1, 2, 3])],
)
def test_each_log_has_its_events(which: str, kept: list[int]) -> None:
    own = ereport(class_="ereport.pcifma.change", severity="info")
    events: list[Ereport | ListEvent] = [ereport(), ereport(severity="info"), own, list_event()]
    assert [n for n, event in enumerate(events) if keeps(event, which=which)] == kept


def test_kinds_are_joined_by_and_their_members_by_or() -> None:
    event = ereport(3)
    assert keeps(event, classes=("ereport.x", "*.btlp"), uuids=("ffff", event.uuid[:6]))
    assert not keeps(event, classes=("ereport.x", "*.btlp"), uuids=("ffff",))
    assert keeps(event, since=event.time, until=event.time)
    assert not keeps(event, since=event.time + "x")


@pytest.mark.parametrize("text", ["payload.bit=6", "bit=^6$", "bit", "detector.scheme=dev", "value=0x40", "severity=^corr", "masked"])
def test_member_is_found_by_its_path_and_value(text: str) -> None:
    assert keeps(ereport(), names=(Named.parse(text),)) is (text != "masked")


def test_member_of_a_suspect_is_found_in_the_list() -> None:
    assert keeps(list_event(), names=(Named.parse("fault-list.location=Slot 3"),))
    assert not keeps(list_event(), names=(Named.parse("fault-list.location=Slot 4"),))


@pytest.mark.parametrize("text", ["", ".", "a..b", "bit=("])
def test_filter_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="-n "):
        Named.parse(text)


def test_synthetic_events_can_be_left_out() -> None:
    assert keeps(ereport(injected=True))
    assert not keeps(ereport(injected=True), injected=False)
    assert keeps(ereport(), injected=False)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log.open(tmp_path / "log.db", clock=SimulatedClock())
    case = CaseRow(1, list_event().uuid, "diag", "k", "SOLVED", CASE)
    log.append(
        Batch(
            1,
            ereports=tuple(map(ereport, range(3))),
            lists=(list_event(ereports=[ereport(2).uuid]),),
            cases=(case,),
            evidence=((1, 1),),
        )
    ).wait()
    yield log
    log.close()


CASE = b'{"id":1,"uuid":"' + list_event().uuid.encode() + b'","module":"diag","key":"k","opened_wall_ns":0}'


def test_case_keeps_the_ereports_that_it_stands_on_and_that_it_named(log: Log) -> None:
    reader: Reader = log.reader()
    query = Query(which="error", uuids=(list_event().uuid[:13],)).with_evidence(reader)
    assert [found.seq for found in reader.events(0, 10) if query.keeps(found)] == [1, 3]
