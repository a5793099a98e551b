"""The module in the real engine: cases are opened once, outlive a kill, and follow thresholds, age, removal and site rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from support.desk import Desk
from support.diagnosis import CARD_A, CARD_B, DOWN_A, DOWN_B, ROOT, UP, part, plugin, switch
from support.event import ereport
from support.fabric import at, bridge, endpoint, fabric_of, root_port
from support.image import DOWNSTREAM, UPSTREAM

from pcifma.event.case import ListEvent
from pcifma.event.ereport import Ereport
from pcifma.event.identity import ereport_uuid, utc
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.function import Slot
from pcifma.fmd.rehearsal import registration

SECOND = 1_000_000_000
DeskMaker = Callable[..., Desk]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[DeskMaker]:
    made: list[Desk] = []

    def make(**properties: Any) -> Desk:
        one = Desk(tmp_path / "log", fabric=switch())
        made.append(one)
        register(one, **properties)
        return one

    yield make
    for one in made:
        one.close()


def register(desk: Desk, **properties: Any) -> None:
    row = registration(plugin())
    desk.engine.register(msgspec_replace(row, {**row.properties, **properties}))


def msgspec_replace(row: Any, properties: dict[str, Any]) -> Any:
    return type(row)(row.name, row.version, row.open, row.subscribe, properties)


def event(leaf: str, device: str, n: int = 0, **changes: Any) -> Ereport:
    class_ = f"ereport.io.{leaf}" if leaf.startswith("pci.") else f"ereport.io.pciex.{leaf}"
    identity = ereport_uuid("h", "b", device, leaf, 0, occurrence=n)
    plain = {"class_": class_, "device": device, "uuid": identity, "severity": "nonfatal", "payload": {}}
    return msgspec.structs.replace(ereport(n), **{**plain, **changes})


def happen(desk: Desk, *events: Ereport, wait_s: float = 10) -> None:
    now = utc(desk.clock.wall_ns())
    desk.log_events(*(msgspec.structs.replace(one, time=now, not_before=now) for one in events))
    desk.settle()
    desk.clock.wait_until(desk.clock.boot_ns() + int(wait_s * SECOND))
    desk.settle()


def cases(desk: Desk) -> list[ListEvent]:
    return [one for one in desk.log.reader().lists() if one.class_ == "list.suspect"]


def suspects(desk: Desk) -> list[tuple[str, str]]:
    return [(case.fault_list[0].class_, case.fault_list[0].device) for case in cases(desk)]


def malformed(n: int = 0, **changes: Any) -> Ereport:
    return event("tl.mtlp", DOWN_A, n, **{"severity": "fatal", "payload": {"tlp-requester": CARD_A}, **changes})


def test_fault_opens_one_case_at_the_sender(desk: DeskMaker) -> None:
    one = desk()
    happen(one, malformed())
    assert suspects(one) == [("fault.io.pciex.device-interr", CARD_A)]
    assert cases(one)[0].code == "PCIEX-8000-0A"


def test_same_fault_again_is_the_same_case(desk: DeskMaker) -> None:
    one = desk()
    for n in range(3):
        happen(one, malformed(n))
    assert len(cases(one)) == 1


def test_killed_daemon_goes_on_with_its_exercise_and_opens_no_second_case(desk: DeskMaker) -> None:
    one = desk()
    one.log_events(malformed())
    one.settle()
    one.crash()
    register(one)
    one.clock.wait_until(one.clock.boot_ns() + 10 * SECOND)
    one.settle()
    one.crash()
    register(one)
    happen(one, malformed(1))
    assert len(cases(one)) == 1


def poison(n: int, *devices: str) -> list[Ereport]:
    return [event("tl.ptlp", device, n, payload={"tlp-requester": CARD_B}) for device in devices]


def test_below_its_threshold_a_fault_is_watched_and_above_it_raised_once_an_exercise(desk: DeskMaker) -> None:
    one = desk()
    for n in range(3):
        happen(one, *poison(n, DOWN_B, UP, ROOT), wait_s=60)
    assert [(case.severity, case.urgency) for case in cases(one)] == [("Minor", "never-mind")]
    happen(one, *poison(3, ROOT))
    assert suspects(one) == [("fault.io.pciex.device-interr-unaf", CARD_B)]
    raised = [each for each in one.log.reader().lists() if each.class_ == "list.updated"]
    assert [(case.severity, case.urgency) for case in raised] == [("Major", "working-hours")]


def test_what_probing_does_is_not_even_watched_below_its_threshold(desk: DeskMaker) -> None:
    one = desk()
    for n in range(6):
        happen(one, event("tl.ur", CARD_A, n, payload={"tlp-requester": "0000:00:00.0"}), wait_s=60)
    assert cases(one) == []
    happen(one, event("tl.ur", CARD_A, 6, payload={"tlp-requester": "0000:00:00.0"}))
    assert suspects(one)[0] == ("defect.io.pciex.driver", CARD_A)


def test_what_a_slow_look_finds_later_of_the_same_moment_is_the_same_case(desk: DeskMaker) -> None:
    one = desk()
    start = utc(one.clock.wall_ns())
    happen(one, malformed(), wait_s=20)
    late = event("dpc.trig", DOWN_A, severity="fatal", payload={"reason": "ERR_FATAL", "source-id": 0x0300, "source-valid": True})
    one.log_events(msgspec.structs.replace(late, time=utc(one.clock.wall_ns()), not_before=start))
    one.settle()
    one.clock.wait_until(one.clock.boot_ns() + 10 * SECOND)
    one.settle()
    assert suspects(one) == [("fault.io.pciex.device-interr", CARD_A)]


def test_a_later_log_narrows_the_list_to_what_both_blame(desk: DeskMaker) -> None:
    one = desk()
    happen(one, event("tl.cto", ROOT), wait_s=100)
    (first,) = cases(one)
    assert {CARD_A, CARD_B} <= {suspect.device for suspect in first.fault_list}
    happen(one, event("tl.cto", ROOT, 1, payload={"tlp-target": CARD_B}))
    last = [each for each in one.log.reader().lists() if each.class_ == "list.updated"][-1]
    status = {(suspect.class_, suspect.device): suspect.status for suspect in last.fault_list}
    assert status["fault.io.pciex.device-noresp", CARD_A] == "acquitted"
    assert status["fault.io.pciex.device-noresp", CARD_B] == "faulty"
    assert len(cases(one)) == 1


def test_a_port_that_is_told_by_software_to_cut_off_is_no_fault(desk: DeskMaker) -> None:
    one = desk()
    happen(one, event("dpc.trig", DOWN_A, severity="fatal", payload={"reason": "software trigger"}))
    assert cases(one) == []


def test_evidence_of_unknown_age_convicts_only_where_it_is_fatal(desk: DeskMaker) -> None:
    one = desk()
    happen(one, event("tl.cto", ROOT, first_look=True, payload={"tlp-target": CARD_A}))
    assert cases(one) == []
    happen(one, malformed(first_look=True))
    assert [case.urgency for case in cases(one)] == ["working-hours"]


def test_residue_is_no_evidence(desk: DeskMaker) -> None:
    one = desk()
    happen(one, event("tl.ur", ROOT, residue=True, first_look=True, severity="info"))
    assert cases(one) == []


def test_unexplained_is_kept_and_pages_nobody(desk: DeskMaker) -> None:
    one = desk()
    happen(one, event("tl.dmwb", ROOT))
    assert [(case.fault_list[0].class_, case.urgency) for case in cases(one)] == [("defect.pcifma.unexplained", "never-mind")]


def test_marginal_direction_seen_at_both_ends_is_one_case(desk: DeskMaker) -> None:
    one = desk()
    one.log_events(event("pci.fabric", CARD_A, payload={"pcie_link_status": 0x0011}))
    for n in range(40):
        happen(one, event("pl.re", CARD_A, n, severity="correctable"), event("dl.rto", DOWN_A, n, severity="correctable"), wait_s=2)
    (case,) = cases(one)
    assert next((s.class_, s.device) for s in case.fault_list) == ("fault.io.pciex.bus-linkerr-corr", CARD_A)
    assert {s.device for s in case.fault_list} == {CARD_A, DOWN_A}


def without_card_a() -> Any:
    return fabric_of(
        root_port(ROOT, 1, 4, slot=3),
        bridge(UP, UPSTREAM, 2, 4),
        bridge(DOWN_A, DOWNSTREAM, 3, 3),
        bridge(DOWN_B, DOWNSTREAM, 4, 4),
        endpoint(CARD_B),
    )


def test_errors_of_a_removed_device_are_explained_by_its_removal(desk: DeskMaker) -> None:
    one = desk()
    one.engine.topo(without_card_a())
    happen(one, event("tl.ur", DOWN_A), event("tl.cto", ROOT), event("tl.cto", CARD_A))
    assert cases(one) == []
    assert one.engine.statistics("pcie_diagnosis")["explained-by-removal"] == 3


def test_errors_long_after_a_removal_are_not_explained_by_it(desk: DeskMaker) -> None:
    one = desk()
    one.engine.topo(without_card_a())
    one.clock.wait_until(one.clock.boot_ns() + 120 * SECOND)
    happen(one, event("tl.cto", ROOT, payload={"tlp-target": CARD_B}))
    assert suspects(one) == [("fault.io.pciex.device-noresp", CARD_B)]


def test_surprise_down_names_the_device_that_is_gone_by_then(desk: DeskMaker) -> None:
    one = desk()
    one.log_events(event("dl.sd", DOWN_A, severity="fatal"))
    one.engine.topo(without_card_a())
    happen(one)
    assert {s.device for s in cases(one)[0].fault_list} == {CARD_A}
    assert at(CARD_A) not in one.engine.fabric.functions


def test_removal_below_one_port_explains_nothing_of_another(desk: DeskMaker) -> None:
    one = desk()
    one.engine.topo(without_card_a())
    happen(one, event("tl.ur", DOWN_B), event("int.ue", CARD_B, severity="fatal"))
    assert ("fault.io.pciex.device-interr", CARD_B) in suspects(one)


def test_site_rules_are_used_and_their_version_is_kept_with_the_case(desk: DeskMaker, tmp_path: Path) -> None:
    symptom = {"class": "ereport.io.pciex.tl.dmwb", "at": "self", "p": 0.9}
    fault = {"id": "own", "class": "fault.io.pciex.device-interr", "roles": ["root_port"], "prior": 9, "severity": "Minor"}
    site = tmp_path / "site.yaml"
    site.write_text(yaml.safe_dump({"version": "9", "faults": [{**fault, "urgency": "never-mind", "symptoms": [symptom]}]}))
    one = desk(rules=str(site))
    happen(one, event("tl.dmwb", ROOT))
    assert suspects(one) == [("fault.io.pciex.device-interr", ROOT)]
    (case,) = cases(one)
    kept = one.log.reader().state("pcie_diagnosis")[("buffer", f"why:{case.uuid[:2]}")]
    assert msgspec.json.decode(kept)[case.uuid]["rules"].endswith("+9")


def test_broken_site_rules_stop_the_module_and_say_why(desk: DeskMaker, tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("faults: 3\n")
    one = desk(rules=str(site))
    assert "site.yaml" in str(one.engine.modules["pcie_diagnosis"].failed)


def test_who_sends_the_message_of_an_error_is_not_blamed_for_it(desk: DeskMaker) -> None:
    one, other = desk(), {"source-id": 0x0200, "source-valid": True}
    happen(one, event("tl.rof", DOWN_A, severity="fatal"))
    trigger = event("dpc.trig", ROOT, severity="fatal", payload={"reason": "ERR_FATAL", **other})
    message = event("rc.fe-msg", ROOT, severity="fatal", payload=other)
    both = {suspect.device: suspect.certainty for suspect in cases(one)[0].fault_list}
    assert both[CARD_A] >= both[DOWN_A]
    one.clock.wait_until(one.clock.boot_ns() + 100 * SECOND)
    happen(one, event("tl.rof", DOWN_A, 1, severity="fatal"), message, trigger)
    assert [each.class_ for each in one.log.reader().lists()] == ["list.suspect"]
    assert {message.uuid, trigger.uuid} <= {logged.uuid for logged in one.log.reader().errors(list(one.log.reader().evidence(1)))}


def test_acs_violation_in_the_name_of_nobody_below_blames_what_is_right_below(desk: DeskMaker) -> None:
    one = desk()
    happen(one, event("tl.acsv", ROOT, payload={"tlp-requester": "0000:00:00.0"}))
    assert suspects(one) == [("fault.io.pciex.device-invreq", UP)]
    happen(one, event("tl.acsv", DOWN_B, payload={"tlp-requester": CARD_B}))
    assert suspects(one)[1:] == [("fault.io.pciex.device-invreq", CARD_B)]


def slot(device: str, status: int, n: int = 0) -> Ereport:
    return event("pci.fabric", device, n, severity="info", payload={"pcie_slot_cap": 0x60, "pcie_slot_status": status})


@pytest.mark.parametrize(("status", "urgency"), [(0x08, "working-hours"), (0x48, "now"), (0x00, "now")])
def test_link_that_goes_down_at_an_empty_slot_pages_nobody(desk: DeskMaker, status: int, urgency: str) -> None:
    one = desk()
    happen(one, slot(DOWN_A, status), event("dl.sd", DOWN_A, severity="fatal"))
    assert [case.urgency for case in cases(one)] == [urgency]
    assert (suspects(one)[0][0] == "defect.io.pciex.pulled") == (urgency == "working-hours")


def test_chain_says_what_each_log_names_and_keeps_what_was_said_before(desk: DeskMaker) -> None:
    one = desk()
    happen(one, event("tl.cto", ROOT), wait_s=100)
    happen(one, event("tl.cto", ROOT, 1, payload={"tlp-target": CARD_B}))
    (case,) = cases(one)
    kept = one.log.reader().state("pcie_diagnosis")[("buffer", f"why:{case.uuid[:2]}")]
    chain = msgspec.json.decode(kept)[case.uuid]
    first, second = (chain["because"][event("tl.cto", ROOT, n).uuid] for n in (0, 1))
    assert "show this at its Root Port" in first
    assert second.endswith("and its log names it as target")
    assert chain["rivals"][0]["percent"] > 0


def test_second_dead_card_beside_a_link_that_went_down_is_a_second_case_after_its_minute(desk: DeskMaker) -> None:
    one = desk()
    gone = [event("x", card, class_="ereport.pcifma.unread", severity="info", payload={"reason": "gone"}) for card in (CARD_A, CARD_B)]
    happen(one, event("dl.sd", DOWN_A, severity="fatal"), *gone)
    assert [device for _, device in suspects(one)] == [CARD_A]
    happen(one, wait_s=90)
    assert [device for _, device in suspects(one)] == [CARD_A, CARD_B]
    happen(one, wait_s=300)
    assert len(cases(one)) == 2


def test_second_of_two_listed_cards_that_is_gone_too_gets_a_case_of_its_own_and_clears_nobody(desk: DeskMaker) -> None:
    one = desk()
    gone = [event("x", card, class_="ereport.pcifma.unread", severity="info", payload={"reason": "gone"}) for card in (CARD_A, CARD_B)]
    happen(one, event("tl.cto", ROOT), *gone)
    assert {suspect.device for suspect in cases(one)[0].fault_list} == {CARD_A, CARD_B}
    happen(one, wait_s=90)
    assert [device for _, device in suspects(one)] == [CARD_A, CARD_B]
    last = {each.uuid: each for each in one.log.reader().lists()}[cases(one)[0].uuid]
    assert {suspect.device for suspect in last.fault_list if suspect.status == "faulty"} == {CARD_A}


def test_slot_that_had_a_card_and_has_none_was_emptied_whatever_the_kernel_cleared(desk: DeskMaker) -> None:
    one = desk()
    happen(one, slot(DOWN_A, 0x40))
    happen(one, slot(DOWN_A, 0x00, 1), event("dl.sd", DOWN_A, severity="fatal"))
    assert suspects(one)[0][0] == "defect.io.pciex.pulled"


def test_list_that_was_too_short_is_revised_under_the_same_uuid(desk: DeskMaker) -> None:
    one = desk()
    buses = range(3, 9)
    ports = [bridge(f"0000:02:{n:02x}.0", DOWNSTREAM, bus, bus) for n, bus in enumerate(buses)]
    cards = [endpoint(f"0000:{bus:02x}:00.0") for bus in buses]
    one.engine.topo(fabric_of(root_port(ROOT, 1, 8), bridge(UP, UPSTREAM, 2, 8), *ports, *cards))
    happen(one, event("tl.cto", ROOT), wait_s=100)
    (first,) = cases(one)
    listed = {suspect.device for suspect in first.fault_list}
    missed = next(str(card.bdf) for card in cards if card.bdf not in listed)
    assert sum(suspect.certainty for suspect in first.fault_list) < 60
    happen(one, event("tl.cto", ROOT, 1, payload={"tlp-target": missed}))
    (last,) = [each for each in one.log.reader().lists() if each.class_ == "list.updated"]
    blamed = [suspect for suspect in last.fault_list if suspect.status == "faulty"]
    assert (last.uuid, blamed[0].device, blamed[0].class_) == (first.uuid, missed, "fault.io.pciex.device-noresp")
    happen(one, event("tl.cto", ROOT, 2, payload={"tlp-target": missed}))
    assert len(cases(one)) == 1


def uncounted(desk: Desk) -> int:
    return desk.engine.statistics("pcie_diagnosis").get("unplaced", 0)


def test_bit_errors_count_until_the_link_is_known_to_carry_flits(desk: DeskMaker) -> None:
    one = desk()
    found = []
    for n, speed in enumerate((0x1045, 0x1046, 0x1046, 0x1045)):
        status = event("x", DOWN_A, n, class_="ereport.io.pci.fabric", severity="info", payload={"pcie_link_status": speed})
        happen(one, status, event("dl.btlp", CARD_A, n, severity="correctable"))
        found.append(uncounted(one))
    assert found == [0, 1, 2, 2]


def test_errors_of_a_link_are_placed_on_the_fabric_of_now(desk: DeskMaker) -> None:
    one = desk()
    for n, (fabric, unplaced) in enumerate(((switch(), 0), (without_card_a(), 1), (switch(), 1))):
        one.engine.topo(fabric)
        happen(one, event("dl.btlp", DOWN_A, n, severity="correctable"))
        assert uncounted(one) == unplaced


def test_virtual_function_is_blamed_by_its_name_and_swapped_with_its_card() -> None:
    vf, functions = at("0000:03:02.0"), dict(switch().functions)
    functions[at(CARD_A)] = functions[at(CARD_A)]._replace(slot=Slot("Slot 7", "smbios"))
    functions[vf] = functions[at(CARD_A)]._replace(bdf=vf, physfn=at(CARD_A), parent=None, slot=None, sysfs="/devices/vf")
    fabric = Fabric(switch().id, functions, switch().below)
    blamed = part("docket").suspect(fabric, "fault.io.pciex.device-interr", fabric[vf], 90)
    assert (blamed.device, blamed.location) == (str(vf), "Slot 7")
    assert blamed.fru.endswith("pciexbus=03/pciexdev=0/pciexfn=0") and blamed.asru == "dev:////devices/vf"


def test_fault_that_repeats_faster_than_slow_looks_come_reaches_its_threshold(desk: DeskMaker) -> None:
    one = desk()
    for n in range(4):
        now_ns = one.clock.wall_ns()
        fast = msgspec.structs.replace(poison(n, ROOT)[0], time=utc(now_ns), not_before=utc(now_ns - SECOND))
        slow = event("pci.sec-dpe", ROOT, n, time=utc(now_ns), not_before=utc(now_ns - 30 * SECOND))
        one.log_events(fast, slow)
        one.settle()
        one.clock.wait_until(one.clock.boot_ns() + 20 * SECOND)
        one.settle()
    (last,) = [each for each in one.log.reader().lists() if each.class_ == "list.updated"]
    assert (last.urgency, last.fault_list[0].device) == ("working-hours", CARD_B)
