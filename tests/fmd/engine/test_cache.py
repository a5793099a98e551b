"""The resource cache knows parts by what and where they are: over restarts, moved buses, and replacement."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.desk import Desk, Probe, slot_with
from support.event import ereport, suspect

from pcifma.event.case import ListEvent, SuspectStatus
from pcifma.event.ereport import Ereport
from pcifma.fabric.fabric import Fabric
from pcifma.fmd.engine.cache import Resource, ResourceCache, place, replaced, target_of

CARD = "0000:04:00.0"
OLD, NEW = 0x1122334455667788, 0x1122334455667799


def entry(n: int, status: SuspectStatus, *, changed: int = 0) -> Resource:
    return Resource(target="card", case=1, n=n, suspect=suspect(status=status), changed_wall_ns=changed)


def blame(probe: Probe, event: Ereport | ListEvent) -> None:
    if isinstance(event, Ereport):
        case = probe.services.open_case("card")
        case.add_suspect(suspect(CARD))
        case.solve("PCIEX-8000-0A", severity="Major", urgency="now")


@pytest.fixture
def faulty(tmp_path: Path) -> Desk:
    """A desk whose card, serial OLD in slot 3, is faulty."""
    desk = Desk(tmp_path / "log.db", fabric=slot_with(serial=OLD))
    desk.add("diag", Probe(on_recv=blame))
    desk.log_events(ereport(0))
    desk.settle()
    return desk


def after(desk: Desk, fabric: Fabric) -> tuple[list[str], str, str]:
    """List events that *fabric* causes, the suspect's status, and the case's state."""
    agent = Probe()
    desk.add(f"agent-{fabric.id}", agent, "list.*")
    case = next(iter(desk.engine.docket.cases.values()))
    desk.engine.topo(fabric)
    desk.settle()
    return agent.classes, case.record.suspects[0].status, case.state


def test_target_is_worst_of_its_entries_then_the_last_word() -> None:
    cache = ResourceCache()
    assert cache.state("card") == "ok"
    worse: list[SuspectStatus] = ["repaired", "degraded", "faulty", "unusable"]
    for n, status in enumerate(worse):
        cache.put(entry(n, status, changed=n))
        assert cache.state("card") == status
    for n in range(4):
        cache.put(entry(n, "acquitted" if n == 1 else "repaired", changed=10 - n))
    assert cache.state("card") == "repaired"
    cache.put(entry(1, "acquitted", changed=99))
    assert cache.state("card") == "acquitted"


def test_target_is_known_by_identity_not_by_address() -> None:
    before, moved = slot_with(serial=OLD), slot_with(serial=OLD, bus=9)
    assert target_of(before, CARD) == target_of(moved, "0000:09:00.0") != CARD
    assert target_of(before, "0000:77:00.0") == "0000:77:00.0"
    assert target_of(before, "cpu3") == place("cpu3") == "cpu3"


def test_state_survives_a_restart_and_a_new_boot_on_other_buses(faulty: Desk) -> None:
    faulty.boot = "another-boot"
    faulty.fabric = slot_with(serial=OLD, bus=9)
    faulty.restart()
    cache = faulty.engine.docket.cache
    assert cache.state(target_of(faulty.fabric, "0000:09:00.0")) == "faulty"
    assert after(faulty, faulty.fabric) == ([], "faulty", "SOLVED")
    faulty.close()


@pytest.mark.parametrize("fabric", [slot_with(serial=NEW), slot_with(0x1019), slot_with(0x1019, OLD)], ids=["serial", "kind", "both"])
def test_replaced_part_is_recognised_at_once(faulty: Desk, fabric: Fabric) -> None:
    assert after(faulty, fabric) == (["list.repaired"], "replaced", "REPAIRED")
    faulty.close()


@pytest.mark.parametrize("fabric", [slot_with(serial=OLD), slot_with()], ids=["same", "serial unread"])
def test_part_that_may_be_the_same_stays_faulty(faulty: Desk, fabric: Fabric) -> None:
    assert after(faulty, fabric) == ([], "faulty", "SOLVED")
    faulty.close()


def test_absent_part_comes_back_as_faulty_as_it_went(faulty: Desk) -> None:
    assert after(faulty, slot_with(0)) == ([], "not-present", "SOLVED")
    faulty.restart()
    assert after(faulty, slot_with(serial=OLD)) == ([], "faulty", "SOLVED")
    faulty.close()


def test_part_that_was_absent_and_comes_back_as_another_is_replaced(faulty: Desk) -> None:
    after(faulty, slot_with(0))
    assert after(faulty, slot_with(serial=NEW)) == (["list.repaired"], "replaced", "REPAIRED")
    faulty.close()


@given(st.sampled_from("ab"), st.sampled_from("ab"), st.sampled_from(["-", "1", "2"]), st.sampled_from(["-", "1", "2"]))
def test_replaced_needs_another_kind_or_two_serials_that_differ(kind: str, other: str, serial: str, new: str) -> None:
    expected = kind != other or (serial != new and "-" not in (serial, new))
    assert replaced(f"0000-00/03.0/-/{kind}/{serial}", f"0000-00/03.0/-/{other}/{new}") is expected
