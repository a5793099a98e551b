"""Places on the fabric, and which faults explain what was seen together."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import msgspec
import pytest
from support.diagnosis import CARD_A, CARD_B, DOWN_A, DOWN_B, ROOT, UP, part, rules, seen, switch
from support.diagnosis import judged as judged_by
from support.event import ereport
from support.fabric import at, bridge, endpoint, fabric_of, root_port
from support.image import DOWNSTREAM, UPSTREAM

from pcifma.fabric.fabric import Fabric

if TYPE_CHECKING:
    from plugins.pcie_diagnosis.evidence import Seen
    from plugins.pcie_diagnosis.exercise import Verdict


@pytest.mark.parametrize(
    ("device", "place", "there"),
    [
        (CARD_A, "self", {CARD_A}),
        (CARD_A, "partner", {DOWN_A}),
        (CARD_A, "above", {DOWN_A, UP, ROOT}),
        (CARD_A, "root", {ROOT}),
        (CARD_A, "below", set()),
        (DOWN_A, "below", {CARD_A}),
        (ROOT, "below", {UP, DOWN_A, DOWN_B, CARD_A, CARD_B}),
        (ROOT, "partner", set()),
        (ROOT, "root", set()),
    ],
)
def test_place_is_seen_from_the_part_at_fault(device: str, place: str, there: set[str]) -> None:
    fabric = switch()
    assert part("place").related(fabric, fabric[at(device)], place) == there


def test_home_is_the_root_port_and_of_an_unknown_device_itself() -> None:
    assert {part("place").home(switch(), device) for device in (CARD_A, DOWN_B, ROOT)} == {ROOT}
    assert part("place").home(switch(), "0000:99:00.0") == "0000:99:00.0"
    assert part("place").home(switch(), "dom7") == "dom7"


def test_home_of_an_integrated_endpoint_is_its_root_bus() -> None:
    assert part("place").home(fabric_of(endpoint("0000:00:05.0", 0x9)), "0000:00:05.0") == "0000:00"


def judged(*evidence: Seen) -> list[Verdict]:
    return judged_by(rules(), switch(), evidence)


def blamed(*evidence: Seen) -> list[tuple[str, str]]:
    return [(v.best.fault.id, v.best.part) for v in judged(*evidence)]


def test_malformed_tlp_blames_who_sent_it_not_who_says_so() -> None:
    assert blamed(seen("tl.mtlp", DOWN_A, severity="fatal", requester=CARD_A)) == [("internal", CARD_A)]


def test_timeout_blames_the_completer_of_the_header_log() -> None:
    assert blamed(seen("tl.cto", ROOT, requester=ROOT, target=CARD_B)) == [("no-response", CARD_B)]


def test_timeout_without_a_header_log_lists_the_possible_completers() -> None:
    (verdict,) = judged(seen("tl.cto", ROOT))
    assert len(verdict.suspects) == 3
    assert {CARD_A, CARD_B} <= {h.part for h, _ in verdict.suspects}
    assert sum(percent for _, percent in verdict.suspects) + verdict.rest in range(98, 103)


def wide(cards: int, **changes: object) -> Fabric:
    """A switch with a card below each of its *cards* Downstream Ports; *changes* of the first card."""
    buses = range(3, 3 + cards)
    ports = [bridge(f"0000:02:{n:02x}.0", DOWNSTREAM, bus, bus) for n, bus in enumerate(buses)]
    fabric = fabric_of(
        root_port(ROOT, 1, 2 + cards), bridge(UP, UPSTREAM, 2, 2 + cards), *ports, *(endpoint(f"0000:{bus:02x}:00.0") for bus in buses)
    )
    first = at("0000:03:00.0")
    functions = {**fabric.functions, first: fabric[first]._replace(**changes)}  # type: ignore[arg-type]
    return Fabric(fabric.id, functions, fabric.below)


def test_where_more_parts_fit_than_a_list_holds_the_rest_is_said_and_no_certainty_is_made_up() -> None:
    (verdict,) = judged_by(rules(), wide(8), [seen("tl.cto", ROOT)])
    assert len({h.part for h, _ in verdict.suspects}) == 3
    assert max(percent for _, percent in verdict.suspects) <= 100 / 8
    assert verdict.rest > 60
    assert len({part for _, part in verdict.candidates}) >= 8


def test_three_parts_that_fit_are_all_listed() -> None:
    (verdict,) = judged_by(rules(), wide(3), [seen("tl.cto", ROOT)])
    assert {h.part for h, _ in verdict.suspects} == {f"0000:{bus:02x}:00.0" for bus in (3, 4, 5)}


@pytest.mark.parametrize("changes", [{"driver": None}, {"driver": "x", "unread": "asleep"}])
def test_what_nobody_asks_is_hardly_what_did_not_answer(changes: dict[str, object]) -> None:
    fabric = wide(2, **changes)
    busy = at("0000:04:00.0")
    fabric = Fabric(fabric.id, {**fabric.functions, busy: fabric[busy]._replace(driver="x")}, fabric.below)
    (verdict,) = judged_by(rules(), fabric, [seen("tl.cto", ROOT)])
    shares = {h.part: percent for h, percent in verdict.suspects if h.fault.id == "no-response"}
    assert shares["0000:04:00.0"] > 4 * shares.get("0000:03:00.0", 0)


def test_surprise_down_explains_the_timeouts_that_follow() -> None:
    verdicts = judged(seen("dl.sd", DOWN_A, severity="fatal"), seen("tl.cto", ROOT, target=CARD_A))
    assert [v.best.part for v in verdicts] == [CARD_A]
    assert len(verdicts[0].explains) == 2


def test_poison_through_three_ports_is_one_verdict_at_its_source() -> None:
    passing = [seen("tl.ptlp", device, requester=CARD_B) for device in (DOWN_B, UP, ROOT)]
    assert blamed(*passing) == [("poison-source", CARD_B)]


def test_two_simultaneous_faults_are_two_verdicts() -> None:
    found = blamed(seen("tl.mtlp", DOWN_A, severity="fatal", requester=CARD_A), seen("tl.cto", ROOT, target=CARD_B))
    assert sorted(found) == [("internal", CARD_A), ("no-response", CARD_B)]


def test_order_of_the_evidence_means_nothing() -> None:
    evidence = [seen("dl.sd", DOWN_A), seen("tl.cto", ROOT, target=CARD_A), seen("tl.ptlp", UP, requester=CARD_B)]
    forward, backward = judged(*evidence), judged(*reversed(evidence))
    assert [v.explains for v in forward] == [v.explains for v in backward]


def test_all_functions_of_a_device_that_are_gone_are_one_verdict() -> None:
    second = "0000:04:00.1"
    fabric = fabric_of(root_port(ROOT, 4, 4), endpoint(CARD_B), endpoint(second))
    gone = [part("evidence").Seen(device, "ereport.pcifma.unread", device, "info") for device in (CARD_B, second)]
    (verdict,) = judged_by(rules(), fabric, gone)
    assert (verdict.best.part, len(verdict.explains)) == (CARD_B, 2)


def test_link_fault_is_meant_by_a_log_that_names_any_function_of_the_device() -> None:
    second = "0000:04:00.1"
    fabric = fabric_of(root_port(ROOT, 4, 4), endpoint(CARD_B), endpoint(second))
    (verdict,) = judged_by(rules(), fabric, [seen("tl.cto", ROOT, target=second)])
    assert {("no-response", second), ("link-no-response", CARD_B)} <= {(h.fault.id, h.part) for h, _ in verdict.suspects}


def test_slot_power_is_no_fault_of_a_slot_that_has_not_said_so() -> None:
    gone = [part("evidence").Seen(CARD_A, "ereport.pcifma.unread", CARD_A, "info")]
    assert "slot-power" not in {h.fault.id for verdict in judged(*gone) for h, _ in verdict.suspects}


@pytest.mark.parametrize("leaf", ["tl.cto", "dl.sd", "tl.mtlp", "tl.ptlp"])
def test_guest_evidence_alone_convicts_no_part_of_the_host(leaf: str) -> None:
    for verdict in judged(seen(leaf, CARD_A, guest=True, severity="fatal"), seen("tl.ur", CARD_A, guest=True)):
        assert {h.part for h, _ in verdict.suspects} == {CARD_A}


def test_the_same_evidence_of_the_host_may_convict_the_root_port() -> None:
    assert ROOT in {h.part for v in judged(seen("tl.cto", CARD_A)) for h, _ in v.suspects}


def test_what_was_looked_for_and_not_seen_is_told() -> None:
    (internal,) = judged(seen("tl.mtlp", DOWN_A, severity="fatal", requester=CARD_A))
    assert ("ereport.io.pciex.int.ue", CARD_A) in {(symptom.class_, device) for symptom, device in internal.best.missing}


def test_shadows_are_no_evidence() -> None:
    assert judged(seen("rc.nfe-msg", ROOT), seen("pci.sec-rserr", ROOT)) == []


def test_what_no_fault_shows_stays_unexplained() -> None:
    assert judged(seen("tl.dmwb", ROOT)) == []


def test_deleting_a_rule_group_loses_its_class() -> None:
    whole = rules()
    without = msgspec.structs.replace(whole, faults=[f for f in whole.faults if f.group != "completion"])
    found = judged_by(without, switch(), [seen("tl.cto", ROOT, target=CARD_B)])
    assert all(v.best.fault.class_ != "fault.io.pciex.device-noresp" for v in found)


def test_error_source_names_the_requester() -> None:
    payload = {"source-id": 0x0300, "source-valid": True}
    one = part("evidence").seen(ereport(device=ROOT, payload=payload), switch())
    assert one.named == {"source": CARD_A, "requester": CARD_A}


def test_a_port_without_children_and_a_lone_card_are_judged_too() -> None:
    fabric = fabric_of(root_port(ROOT, 1, 1))
    assert judged_by(rules(), fabric, [seen("int.ue", ROOT, severity="fatal")])[0].best.fault.id == "internal"


def test_inside_a_switch_there_is_no_link() -> None:
    found = judged(seen("tl.mtlp", DOWN_A, severity="fatal", requester=CARD_A))
    assert UP not in {h.part for h, _ in found[0].suspects}


def test_what_repeats_the_same_counts_once() -> None:
    once = judged(seen("tl.rof", DOWN_A, severity="fatal"))
    often = judged(*(msgspec.structs.replace(seen("tl.rof", DOWN_A, severity="fatal"), uuid=str(n)) for n in range(9)))
    assert [percent for _, percent in once[0].suspects] == [percent for _, percent in often[0].suspects]
    assert len(often[0].explains) == 9


def test_absence_at_a_function_that_cannot_say_so_means_nothing() -> None:
    space = part("place").FabricSpace(fabric_of(root_port(ROOT, 1, 1)))
    assert space.tells(ROOT, "ereport.io.pciex.tl.mtlp") == 1.0
    assert space.tells(ROOT, "ereport.io.pciex.dpc.trig") == 0.0
    assert space.tells("0000:55:00.0", "ereport.io.pciex.tl.mtlp") == 0.0


@pytest.mark.parametrize("seed", range(6))
def test_what_was_asked_before_changes_no_verdict(seed: int) -> None:
    draw, space = Random(seed), part("place").FabricSpace(switch())
    used = part("exercise").Exercise(rules(), space)
    pool = [
        seen("tl.mtlp", DOWN_A, severity="fatal", requester=CARD_A),
        seen("tl.cto", ROOT, requester=ROOT, target=CARD_B),
        seen("tl.cto", ROOT),
        seen("dl.sd", DOWN_A, severity="fatal"),
        *(seen("tl.ptlp", device, requester=CARD_B) for device in (DOWN_B, UP, ROOT)),
        msgspec.structs.replace(seen("rc.fe-msg", ROOT, severity="fatal"), context=True),
    ]
    asked: list[list[Seen]] = []
    for turn in range(12):
        drawn = draw.choice(asked) if asked and turn % 2 else draw.choices(pool, k=draw.randint(1, 6))
        asked.append([msgspec.structs.replace(one, uuid=f"{turn}-{n}") for n, one in enumerate(drawn)])
        weigh = draw.choice([None, {f"no-response:{CARD_B}": 2.0}])
        assert used.verdicts(asked[-1], weigh) == part("exercise").Exercise(rules(), space).verdicts(asked[-1], weigh)


def test_log_of_a_completion_names_nobody_of_a_time_out() -> None:
    payload = {"tlp-requester": "0000:00:00.0", "tlp-completer": CARD_B}
    for leaf, names in (("cto", {}), ("uc", {"completer": CARD_B})):
        event = msgspec.structs.replace(ereport(device=ROOT, payload=payload), class_=f"ereport.io.pciex.tl.{leaf}")
        assert part("evidence").seen(event, switch()).named == names
