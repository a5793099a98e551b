"""Cases go through the states drawn in pcifma/fmd/engine/case.py, each transition with its action, and through no others."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.event import HOST, ereport, suspect

from pcifma.access.clock import SimulatedClock
from pcifma.errors import PluginError
from pcifma.event.case import SuspectStatus
from pcifma.fmd.engine.case import TRANSITIONS, CaseRecord, normalise
from pcifma.fmd.engine.docket import Docket
from pcifma.fmd.engine.handle import EVIDENCE_LIMIT, SUSPECT_LIMIT, Case
from pcifma.fmd.engine.probation import Probation

PROBATION_NS = 1000


class Court:
    """A docket whose log has got as far as *committed*."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.committed = 10
        probation = Probation(self.clock, "", PROBATION_NS)
        self.docket = Docket(
            host=HOST, clock=self.clock, committed=lambda: self.committed, target_of=lambda device: device, probation=probation
        )

    def case(self, key: str = "link", module: str = "diag") -> Case:
        return self.docket.open(module, key, cause=key, de={"scheme": "fmd", "mod-name": module}, rules="diag 1")

    def solved(self, *devices: str, key: str = "link", module: str = "diag") -> Case:
        case = self.case(key, module)
        for device in devices or ("0000:04:00.0",):
            case.add_suspect(suspect(device))
        case.solve("PCIEX-8000-0A", severity="Major", urgency="now")
        return case

    def mark(self, case: Case, status: SuspectStatus) -> None:
        self.docket.set_status(case, dict.fromkeys(range(len(case.record.suspects)), status))

    def settle(self, cursor: int | None = 10) -> None:
        self.docket.settle(lambda module: cursor)

    @property
    def classes(self) -> list[str]:
        """Classes of the list events posted since the last call."""
        return [event.class_ for event in self.docket.take().lists]


@pytest.fixture
def court() -> Court:
    return Court()


def test_transition_1_solve_publishes_and_fills_the_cache(court: Court) -> None:
    case = court.solved()
    assert (case.state, court.docket.cache.state("0000:04:00.0")) == ("SOLVED", "faulty")
    assert court.classes == ["list.suspect"]


def test_transition_2_and_9_close_of_an_unsolved_case_discards_it_silently(court: Court) -> None:
    case = court.case()
    case.close()
    assert case.state == "CLOSE_WAIT"
    court.settle()
    changes = court.docket.take()
    assert (changes.lists, [record.state for record in changes.cases.values()], changes.released) == ([], ["DISCARDED"], [1])
    assert court.docket.cases == {}


def test_transition_3_and_5_close_of_a_solved_case_says_nothing(court: Court) -> None:
    case = court.solved()
    case.close()
    assert case.state == "CLOSE_WAIT"
    court.settle()
    assert (case.state, court.classes) == ("CLOSED", ["list.suspect"])
    assert court.docket.cache.state("0000:04:00.0") == "faulty"


def test_transition_3_and_5_isolation_makes_suspects_unusable_and_says_so(court: Court) -> None:
    case = court.solved("0000:04:00.0", "0000:05:00.0")
    court.docket.isolate(case)
    assert case.state == "CLOSE_WAIT"
    court.settle()
    assert (case.state, court.classes) == ("CLOSED", ["list.suspect", "list.isolated"])
    assert [s.status for s in case.record.suspects] == ["unusable", "unusable"]
    assert court.docket.cache.state("0000:05:00.0") == "unusable"


@pytest.mark.parametrize("status", ["repaired", "replaced", "acquitted"])
def test_transition_4_and_7_repair_of_the_last_suspect_repairs_the_case(court: Court, status: SuspectStatus) -> None:
    case = court.solved()
    court.mark(case, status)
    assert case.state == "CLOSE_WAIT"
    court.settle()
    assert (case.state, court.classes) == ("REPAIRED", ["list.suspect", "list.repaired"])
    assert court.docket.cache.state("0000:04:00.0") == status


def test_nothing_is_isolated_for_an_injected_case(court: Court) -> None:
    case = court.case()
    case.add_ereport(ereport(injected=True))
    case.add_suspect(suspect("0000:04:00.0"))
    case.solve("PCIEX-8000-0A", severity="Major", urgency="now")
    with pytest.raises(PluginError, match="is injected: nothing is ever taken out of service"):
        court.docket.isolate(case)
    assert case.state == "SOLVED"


def test_transition_6_repair_of_a_closed_case(court: Court) -> None:
    case = court.solved()
    case.close()
    court.settle()
    court.mark(case, "replaced")
    assert (case.state, court.classes) == ("REPAIRED", ["list.suspect", "list.repaired"])


def test_transition_8_case_is_resolved_when_probation_is_over(court: Court) -> None:
    case = court.solved()
    court.mark(case, "repaired")
    court.settle()
    court.clock.advance_to(PROBATION_NS - 1)
    court.docket.resolve_due()
    assert case.state == "REPAIRED"
    court.clock.advance_to(PROBATION_NS)
    court.docket.resolve_due()
    changes = court.docket.take()
    assert (case.state, changes.lists[-1].class_, changes.released) == ("RESOLVED", "list.resolved", [1])
    assert court.docket.cases == {}


def test_repair_while_closing_repairs_instead(court: Court) -> None:
    case = court.solved()
    court.docket.isolate(case)
    court.mark(case, "repaired")
    court.settle()
    assert (case.state, court.classes) == ("REPAIRED", ["list.suspect", "list.repaired"])


def test_no_other_transition_exists() -> None:
    states = {state for pair in TRANSITIONS for state in pair}
    for before, after in itertools.product(states, states):
        record = CaseRecord(id=1, uuid="u", module="m", key="k", opened_wall_ns=0, state=before)
        if (before, after) in TRANSITIONS:
            record.move(after)
            assert record.state == after
        else:
            with pytest.raises(PluginError, match=f"is {before}: it cannot become {after}"):
                record.move(after)


def test_closing_waits_until_its_owner_has_taken_what_was_logged_before(court: Court) -> None:
    case = court.solved()
    court.mark(case, "repaired")
    court.settle(cursor=9)
    assert case.state == "CLOSE_WAIT"
    assert court.case() is case, "late evidence belongs to the old case"
    court.settle(cursor=10)
    assert case.state == "REPAIRED"
    assert court.case() is not case


def test_closing_does_not_wait_for_an_owner_that_is_gone(court: Court) -> None:
    case = court.solved()
    court.mark(case, "repaired")
    court.settle(cursor=None)
    assert case.state == "REPAIRED"


def test_partial_repair_updates_the_list_and_keeps_the_state(court: Court) -> None:
    case = court.solved("0000:04:00.0", "0000:05:00.0")
    court.docket.set_status(case, {0: "acquitted"})
    changes = court.docket.take()
    assert (case.state, [event.class_ for event in changes.lists]) == ("SOLVED", ["list.suspect", "list.updated"])
    assert [s.status for s in changes.lists[-1].fault_list] == ["acquitted", "faulty"]


def test_same_diagnosis_again_is_not_announced_but_adds_its_evidence(court: Court) -> None:
    old = court.solved()
    old.add_ereport(ereport(0, seq=1))
    new = court.case("other")
    new.add_ereport(ereport(1, seq=2))
    new.add_suspect(suspect())
    new.solve("PCIEX-8000-0A", severity="Major", urgency="now")
    assert (court.classes, new.state) == (["list.suspect"], "CLOSED")
    assert sorted(old.ereports.values()) == [1, 2]
    assert list(court.docket.cases) == [old.uuid]


def test_narrower_diagnosis_of_the_same_module_acquits_the_others(court: Court) -> None:
    old = court.solved("0000:04:00.0", "0000:00:03.0")
    court.solved("0000:00:03.0", "0000:07:00.0", key="other")
    assert [s.status for s in old.record.suspects] == ["acquitted", "faulty"]
    assert [s.certainty for s in old.record.suspects] == [0, 50]
    assert old.record.first.device == "0000:00:03.0"
    assert court.classes == ["list.suspect", "list.updated"]


def test_revised_case_blames_others_under_the_same_uuid(court: Court) -> None:
    case = court.solved("0000:04:00.0", "0000:00:03.0")
    case.revise([suspect("0000:00:03.0", 60), suspect("0000:09:00.0", 30)], code="X-1", severity="Minor", urgency="never-mind", rest=10)
    told = [(s.device, s.certainty, s.status) for s in case.record.suspects]
    assert told == [("0000:04:00.0", 0, "acquitted"), ("0000:00:03.0", 60, "faulty"), ("0000:09:00.0", 30, "faulty")]
    assert (court.classes, case.record.code, case.record.urgency) == (["list.suspect", "list.updated"], "X-1", "now")
    court.solved("0000:09:00.0", key="again")
    assert court.classes == ["list.updated"]


def test_only_a_published_case_is_revised_and_never_to_nobody(court: Court) -> None:
    case = court.case()
    with pytest.raises(PluginError, match="UNSOLVED"):
        case.revise([suspect()], code="X-1", severity="Minor", urgency="now")
    with pytest.raises(PluginError, match="cannot be revised"):
        court.solved("0000:04:00.0").revise([], code="X-1", severity="Minor", urgency="now")


@pytest.mark.parametrize("rest", [-1, 100, "much"])
def test_rest_is_a_percent(court: Court, rest: Any) -> None:
    case = court.case()
    case.add_suspect(suspect())
    with pytest.raises(PluginError, match="rest"):
        case.solve("X-1", severity="Minor", urgency="now", rest=rest)


def test_diagnosis_of_another_module_acquits_nobody(court: Court) -> None:
    old = court.solved("0000:04:00.0", "0000:00:03.0")
    court.solved("0000:00:03.0", module="other")
    assert [s.status for s in old.record.suspects] == ["faulty", "faulty"]


def test_fault_that_returns_after_repair_is_announced_anew(court: Court) -> None:
    old = court.solved()
    court.mark(old, "repaired")
    court.settle()
    assert court.solved() is not old
    assert court.classes == ["list.suspect", "list.repaired", "list.suspect"]


def test_list_event_carries_the_case_as_it_stands(court: Court) -> None:
    case = court.case()
    case.add_ereport(ereport(3, seq=7, injected=True))
    case.add_suspect(suspect("0000:00:03.0", certainty=1))
    case.add_suspect(suspect("0000:04:00.0", certainty=3))
    case.solve("PCIEX-8000-0A", severity="Major", urgency="working-hours")
    event = court.docket.take().lists[0]
    assert (event.uuid, event.code, event.urgency, event.rules) == (case.uuid, "PCIEX-8000-0A", "working-hours", "diag 1")
    assert [(s.device, s.certainty) for s in event.fault_list] == [("0000:04:00.0", 75), ("0000:00:03.0", 25)]
    assert (event.ereports, event.injected) == ([ereport(3).uuid], True)


def test_list_events_of_a_case_have_uuids_of_their_own(court: Court) -> None:
    case = court.solved()
    court.mark(case, "repaired")
    court.settle()
    events = {event.event for event in court.docket.take().lists}
    assert len(events) == 2


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda case: case.solve("C", severity="Major", urgency="now"), "0 suspects: it cannot be solved"),
        (lambda case: case.solve("C", severity="Major", urgency="soon"), "write one of now"),
        (lambda case: case.add_suspect(msgspec.structs.replace(suspect(), certainty="high")), "cannot be stored"),
        (lambda case: case.add_suspect(suspect(location="\ud800")), "cannot be stored"),
        (lambda case: case.add_suspect("me"), "cannot be stored"),
    ],
)
def test_misuse_is_refused(court: Court, change: object, match: str) -> None:
    assert callable(change)
    with pytest.raises(PluginError, match=match):
        change(court.case())


def test_solved_case_is_not_changed_by_its_module(court: Court) -> None:
    case = court.solved()
    with pytest.raises(PluginError, match="before it is solved"):
        case.add_suspect(suspect())
    with pytest.raises(PluginError, match="it cannot be solved"):
        case.solve("C", severity="Major", urgency="now")


def test_evidence_and_suspects_are_bounded_and_the_rest_counted(court: Court) -> None:
    case = court.case()
    for n in range(EVIDENCE_LIMIT + 5):
        case.add_ereport(ereport(n, seq=n + 1))
        case.add_ereport(ereport(n, seq=n + 1))
    assert (len(case.ereports), case.record.more) == (EVIDENCE_LIMIT, 10)
    for n in range(SUSPECT_LIMIT):
        case.add_suspect(suspect(f"0000:{n:02x}:00.0"))
    with pytest.raises(PluginError, match="more than"):
        case.add_suspect(suspect())


@given(st.lists(st.integers(-5, 200), min_size=1, max_size=64))
def test_certainties_add_up_to_a_hundred_and_keep_their_order(weights: list[int]) -> None:
    named = [suspect(f"0000:{n:02x}:00.0", weight) for n, weight in enumerate(weights)]
    for whole in (100, 36):
        shares = [s.certainty for s in normalise(named, whole)]
        assert sum(shares) == whole
        assert shares == sorted(shares, reverse=True)
    assert [msgspec.structs.replace(s, certainty=0) for s in normalise(named)] == [
        msgspec.structs.replace(suspect(f"0000:{n:02x}:00.0"), certainty=0) for n in sorted(range(len(weights)), key=lambda n: -weights[n])
    ]
