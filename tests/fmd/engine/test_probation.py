"""Probation: quiet, it ends in list.resolved; what comes up at the same place meanwhile follows the repair, over restarts too."""

from __future__ import annotations

import pytest
from support.event import HOST, suspect

from pcifma.access.clock import SimulatedClock
from pcifma.event.case import ListEvent
from pcifma.fmd.engine.case import CaseRecord
from pcifma.fmd.engine.docket import Docket
from pcifma.fmd.engine.handle import Case
from pcifma.fmd.engine.probation import DAY_NS, Probation

CARD, OTHER, PORT = "0000:04:00.0", "0000:05:00.0", "0000:00:03.0"
TARGETS = {
    CARD: "0000-00/03.0/00.0/7/15b3:1017:15b3:0016/-",
    OTHER: "0000-00/04.0/00.0/8/15b3:1017:15b3:0016/-",
    PORT: "0000-00/03.0/-/8086:3420:0000:0000/-",
}


class SteppedClock:
    """Boot time that goes on, and a wall clock that somebody moves."""

    def __init__(self) -> None:
        self.inner = SimulatedClock()
        self.step_ns = 0

    def wall_ns(self) -> int:
        return self.inner.wall_ns() + self.step_ns

    def boot_ns(self) -> int:
        return self.inner.boot_ns()

    def wait_until(self, boot_ns: int) -> None:
        self.inner.wait_until(boot_ns)


class Ward:
    """A docket, and all that it stored; `restart` begins anew from that."""

    def __init__(self, boot: str = "boot") -> None:
        self.clock = SteppedClock()
        self.events: list[ListEvent] = []
        self.cases: dict[int, CaseRecord] = {}
        self.targets = dict(TARGETS)
        self.docket = self._docket(boot)

    def _docket(self, boot: str) -> Docket:
        probation = Probation(self.clock, boot)
        return Docket(host=HOST, clock=self.clock, committed=lambda: 1, target_of=lambda d: self.targets.get(d, d), probation=probation)

    def restart(self, boot: str = "boot") -> None:
        self.stored()
        resources = [entry.row() for entry in self.docket.cache.entries.values()]
        self.docket = self._docket(boot)
        self.docket.restore([record.row() for record in self.cases.values()], resources, lambda number: {})

    def solved(self, *devices: str, certainties: tuple[int, ...] = (100,)) -> Case:
        case = self.docket.open("diag", f"{devices}{len(self.cases)}", cause="x", de={}, rules="1")
        for device, certainty in zip(devices, certainties, strict=True):
            case.add_suspect(suspect(device, certainty=certainty))
        case.solve("PCIEX-8000-0A", severity="Major", urgency="now")
        self.stored()
        return case

    def repaired(self, case: Case) -> None:
        found = self.docket.cases[case.uuid]
        self.docket.set_status(found, dict.fromkeys(range(len(found.record.suspects)), "repaired"))
        self.docket.settle(lambda module: 1)
        self.stored()

    def wait(self, ns: int) -> list[str]:
        """Let time go on; the classes of what is published by then."""
        self.clock.wait_until(self.clock.boot_ns() + ns)
        self.docket.resolve_due()
        return self.stored()

    def stored(self) -> list[str]:
        changes = self.docket.take()
        self.cases |= changes.cases
        self.events += changes.lists
        return [event.class_ for event in changes.lists]


@pytest.fixture
def ward() -> Ward:
    return Ward()


@pytest.mark.parametrize("restart", [False, True])
def test_quiet_probation_of_a_day_ends_in_list_resolved(ward: Ward, restart: bool) -> None:
    case = ward.solved(CARD)
    ward.repaired(case)
    if restart:
        ward.restart()

    assert ward.wait(DAY_NS - 1) == []
    assert ward.docket.next_left_ns() == 1
    assert ward.wait(1) == ["list.resolved"]
    assert ward.docket.next_left_ns() is None


@pytest.mark.parametrize("restart", [False, True])
def test_case_at_a_repaired_place_says_that_it_follows_the_repair(ward: Ward, restart: bool) -> None:
    old = ward.solved(CARD, PORT, certainties=(90, 10))
    ward.repaired(old)
    if restart:
        ward.restart()
    ward.wait(DAY_NS // 2)

    new = ward.solved(CARD)

    assert new.uuid != old.uuid
    assert [(event.class_, event.follows) for event in ward.events[-1:]] == [("list.suspect", old.uuid)]
    assert not isinstance(ward.events[0].follows, str)


def test_replaced_card_that_fails_in_the_same_slot_follows_the_repair(ward: Ward) -> None:
    old = ward.solved(CARD)
    ward.repaired(old)
    ward.targets[CARD] = "0000-00/03.0/00.0/7/10de:2330:10de:0000/0123456789abcdef"

    assert ward.solved(CARD).record.follows == old.uuid


def test_probation_that_was_not_quiet_ends_with_the_case_that_followed(ward: Ward) -> None:
    old = ward.solved(CARD)
    ward.repaired(old)
    new = ward.solved(CARD)
    ward.restart()

    assert ward.wait(10 * DAY_NS) == []
    assert ward.docket.next_left_ns() is None  # nothing to wake up for
    ward.repaired(new)
    assert ward.wait(DAY_NS) == ["list.resolved", "list.resolved"]
    assert {event.uuid for event in ward.events[-2:]} == {old.uuid, new.uuid}


@pytest.mark.parametrize("devices", [(OTHER,), (OTHER, PORT), ("cpu3",)])
def test_case_elsewhere_follows_nothing(ward: Ward, devices: tuple[str, ...]) -> None:
    ward.repaired(ward.solved(CARD, PORT, certainties=(90, 10)))

    new = ward.solved(*devices, certainties=(90, 10)[: len(devices)])

    assert new.record.follows == ""


def test_case_after_the_probation_follows_nothing(ward: Ward) -> None:
    ward.repaired(ward.solved(CARD))
    ward.wait(DAY_NS)

    assert ward.solved(CARD).record.follows == ""


@pytest.mark.parametrize("step_ns", [-30 * DAY_NS, 30 * DAY_NS])
def test_step_of_the_wall_clock_neither_ends_nor_prolongs_it(ward: Ward, step_ns: int) -> None:
    ward.repaired(ward.solved(CARD))
    ward.clock.step_ns = step_ns
    ward.restart()

    assert ward.wait(DAY_NS - 1) == []
    assert ward.wait(1) == ["list.resolved"]


def test_after_a_reboot_it_runs_on_by_the_wall_clock(ward: Ward) -> None:
    ward.repaired(ward.solved(CARD))
    ward.restart("the next boot")
    ward.clock.step_ns = DAY_NS // 2

    assert ward.wait(DAY_NS // 2 - 1) == []
    assert ward.wait(1) == ["list.resolved"]


def test_what_was_said_of_a_case_is_kept_with_its_time_and_bounded(ward: Ward) -> None:
    case = ward.solved(CARD)
    for number in range(70):
        ward.docket.remark(case.record.id, f"repaired {number}")
    ward.restart()

    remarks = ward.docket.cases[case.uuid].record.remarks
    assert (len(remarks), remarks[-1]) == (64, "2000-01-01T00:00:00.000000000Z repaired 69")
