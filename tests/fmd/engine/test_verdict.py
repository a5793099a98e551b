"""What an operator says of a part is done to exactly the suspects that he named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.desk import Desk, Probe, slot_with
from support.event import ereport, suspect

from pcifma.errors import DaemonError
from pcifma.event.case import ListEvent
from pcifma.event.ereport import Ereport
from pcifma.fmd.engine.cache import target_of
from pcifma.fmd.engine.verdict import Verdict, case_of, judge

CARD, PORT = "0000:04:00.0", "0000:00:03.0"
SERIAL = 0x1122334455667788


def blame(probe: Probe, event: Ereport | ListEvent) -> None:
    if isinstance(event, Ereport):
        case = probe.services.open_case("link")
        case.add_suspect(suspect(CARD, 70, location="Slot 3"))
        case.add_suspect(suspect(PORT, 30, location="MB"))
        case.solve("PCIEX-8000-0A", severity="Major", urgency="now")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A case with two suspects: the card with a serial, and its port."""
    desk = Desk(tmp_path / "log.db", fabric=slot_with(serial=SERIAL))
    desk.add("diag", Probe(on_recv=blame))
    desk.log_events(ereport(0))
    desk.settle()
    yield desk
    desk.close()


def say(desk: Desk, what: str, verdict: Verdict, case: str = "") -> list[str]:
    """Devices that the verdict met."""
    met = judge(desk.engine.docket, desk.engine.fabric, what, verdict, case=case)
    assert {entry.state for entry in met} == {verdict}
    desk.settle()
    return [entry.suspect.device for entry in met]


def case(desk: Desk) -> str:
    return next(iter(desk.engine.docket.cases))


@pytest.mark.parametrize("what", ["Slot 3", CARD, f"hc:///{CARD}", f"dev:///{CARD}"])
def test_part_is_named_by_label_address_or_fmri(desk: Desk, what: str) -> None:
    assert say(desk, what, "acquitted") == [CARD]
    assert desk.engine.docket.cases[case(desk)].state == "SOLVED"


def test_part_is_named_by_its_identity(desk: Desk) -> None:
    assert say(desk, target_of(desk.fabric, CARD), "repaired") == [CARD]


def test_case_names_all_its_suspects(desk: Desk) -> None:
    uuid = case(desk)
    assert say(desk, uuid[:8], "repaired") == [CARD, PORT]
    assert desk.engine.docket.cases[uuid].state == "REPAIRED"


def test_verdict_survives_a_restart(desk: Desk) -> None:
    say(desk, "Slot 3", "acquitted")
    desk.restart()
    assert desk.engine.docket.cache.state(target_of(desk.fabric, CARD)) == "acquitted"
    assert desk.engine.docket.cache.state(target_of(desk.fabric, PORT)) == "faulty"


def test_verdict_again_changes_nothing_and_is_no_mistake(desk: Desk) -> None:
    uuid = case(desk)
    say(desk, uuid, "repaired")
    for what in ("Slot 3", uuid[:8]):
        assert judge(desk.engine.docket, desk.engine.fabric, what, "repaired") == []


def test_resolved_case_is_still_known_by_its_uuid_after_a_restart(desk: Desk) -> None:
    uuid = case(desk)
    say(desk, uuid, "repaired")
    desk.clock.advance_to(desk.clock.boot_ns() + 2 * 10**9)
    desk.settle()
    assert desk.engine.docket.cases == {}
    for _ in range(2):
        assert judge(desk.engine.docket, desk.engine.fabric, uuid[:8], "acquitted") == []
        desk.restart()


@pytest.mark.parametrize("what", ["", "Slot 4", "0000:ff:00.0", "abc"])
def test_unknown_part_is_refused(desk: Desk, what: str) -> None:
    with pytest.raises(DaemonError, match="see `pcifma faulty`"):
        say(desk, what, "repaired")


def test_same_part_was_not_replaced(desk: Desk) -> None:
    with pytest.raises(DaemonError, match="serial 1122334455667788 is still there"):
        say(desk, "Slot 3", "replaced")
    assert say(desk, "MB", "replaced") == [PORT], "without a serial, on the operator's word"


def test_verdict_within_a_case_that_is_not_there_is_refused(desk: Desk) -> None:
    with pytest.raises(DaemonError, match="no case 'ffff'"):
        say(desk, "Slot 3", "acquitted", case="ffff")
    assert say(desk, "Slot 3", "acquitted", case=case(desk)[:13]) == [CARD]
    assert case_of(desk.engine.docket, case(desk)).uuid == case(desk)
