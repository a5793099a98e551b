"""Response agents: off, dry, acting, refused, undone, limited; and never where they must not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.agent import TestHouse, case, load
from support.desk import Desk
from support.event import suspect

from pcifma.event.case import Suspect
from pcifma.event.ereport import Ereport
from pcifma.plugin import Response

PAGE = suspect("cpu0", class_="fault.memory.page", asru="mem:///motherboard=0/frame=0x60000")
CORE = suspect("cpu3", class_="fault.cpu.intel.l1dcache", asru="cpu:///cpuid=3")
CARD = suspect()
PARTS = [
    ("cpu_retire", CORE, Response("cpu", "3")),
    ("page_retire", PAGE, Response("page", "0x60000")),
    ("io_retire", CARD, Response("io", "0000:04:00.0")),
]


@pytest.fixture
def desk(tmp_path: Path, house: TestHouse) -> Iterator[Desk]:
    desk = Desk(tmp_path / "log.db", house=house)
    yield desk
    desk.close()


def outcomes(desk: Desk) -> list[str]:
    reader = desk.log.reader()
    events = [logged.event for logged in reader.events(0, 1000, desk.log.committed)]
    reader.close()
    return [str(e.payload["outcome"]) for e in events if isinstance(e, Ereport) and e.class_ == "ereport.pcifma.retire"]


def mark(desk: Desk, uuid: str, status: str) -> None:
    found = desk.engine.docket.cases[uuid]
    desk.engine.docket.set_status(found, dict.fromkeys(range(len(found.record.suspects)), status))  # type: ignore[arg-type]
    desk.settle()


@pytest.mark.parametrize(("name", "part", "response"), PARTS)
def test_an_agent_is_off_until_it_is_switched_on(desk: Desk, house: TestHouse, name: str, part: Suspect, response: Response) -> None:
    load(desk, name)
    case(desk, part)
    assert (house.responses, outcomes(desk)) == ([], [])


@pytest.mark.parametrize(("name", "part", "response"), PARTS)
def test_switched_on_it_only_says_what_it_would_do(desk: Desk, house: TestHouse, name: str, part: Suspect, response: Response) -> None:
    load(desk, name, enabled=True)
    case(desk, part)
    assert (house.responses, outcomes(desk)) == ([], ["dry-run"])


@pytest.mark.parametrize(("name", "part", "response"), PARTS)
def test_it_acts_isolates_and_gives_back(desk: Desk, house: TestHouse, name: str, part: Suspect, response: Response) -> None:
    load(desk, name, enabled=True, dry_run=False)
    uuid = case(desk, part)
    assert house.responses == [response]
    assert [s.status for s in desk.engine.docket.cases[uuid].record.suspects] == ["unusable"]
    mark(desk, uuid, "repaired")
    assert house.responses == [response, Response(response.kind, response.name, restore=True)]
    assert outcomes(desk) == ["retired", "given back"]


def test_a_refusal_changes_nothing_and_is_not_undone(desk: Desk, house: TestHouse) -> None:
    house.answer = "refused cpu3 is the last that is online"
    load(desk, "cpu_retire", enabled=True, dry_run=False)
    uuid = case(desk, CORE)
    mark(desk, uuid, "repaired")
    assert (len(house.responses), outcomes(desk)) == (1, ["refused"])


def test_several_suspects_are_left_alone(desk: Desk, house: TestHouse) -> None:
    load(desk, "io_retire", enabled=True, dry_run=False)
    case(desk, suspect(certainty=90), suspect("0000:05:00.0", 10))
    assert (house.responses, outcomes(desk)) == ([], [])


def test_not_more_than_so_many_within_an_hour(desk: Desk, house: TestHouse) -> None:
    load(desk, "cpu_retire", enabled=True, dry_run=False, per_hour=1)
    case(desk, CORE)
    case(desk, suspect("cpu4", class_="fault.cpu.intel.l1dcache"))
    assert (len(house.responses), outcomes(desk)) == (1, ["retired", "limited"])
    desk.clock.advance_to(desk.clock.boot_ns() + 3_600_000_000_001)
    case(desk, suspect("cpu5", class_="fault.cpu.intel.l1dcache"))
    assert len(house.responses) == 2


def test_what_it_took_outlives_a_restart(desk: Desk, house: TestHouse) -> None:
    load(desk, "cpu_retire", enabled=True, dry_run=False)
    uuid = case(desk, CORE)
    desk.restart()
    load(desk, "cpu_retire", enabled=True, dry_run=False)
    mark(desk, uuid, "acquitted")
    assert house.responses[-1] == Response("cpu", "3", restore=True)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("cpu_retire", PAGE),
        ("cpu_retire", suspect("cpu3", class_="fault.cpu.intel.l3cache")),
        ("cpu_retire", suspect("cpu3", class_="fault.cpu.intel.bus_interconnect")),
        ("cpu_retire", suspect("chip0", class_="fault.cpu.intel.l1dcache")),
        ("page_retire", suspect("cpu0", class_="fault.memory.dimm", asru="mem:///motherboard=0/dimm=1")),
        ("page_retire", suspect("cpu0", class_="fault.memory.page", asru="mem:///frame=0xzz")),
        ("io_retire", suspect(class_="fault.io.pciex.bus-linkerr-corr")),
        ("io_retire", suspect(class_="fault.io.pciex.device-invreq")),
        ("io_retire", suspect("cpu3")),
    ],
)
def test_what_is_not_its_part_it_leaves(desk: Desk, house: TestHouse, name: str, part: Suspect) -> None:
    load(desk, name, enabled=True, dry_run=False)
    case(desk, part)
    assert house.responses == []
