"""One error seen two ways is one ereport: every order of record, look and clearing."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.image import capture
from support.server import CARD, images

from pcifma.access.fixture import Fixture
from pcifma.access.playback import open_fixture
from pcifma.access.seam import Record
from pcifma.event.ereport import Ereport
from pcifma.event.value import FABRIC_CLASS
from pcifma.plugin.loader import builtin
from pcifma.poll.ear import heard
from pcifma.poll.replay import play

UE, CE = "ECAP_AER+4.l", "ECAP_AER+10.l"
POISONED, BAD_TLP = 0x1000, 0x40
HEADER = 'tlp_header_valid: 1, tlp_header: "1610612768,67109119,251,3221229632"'
EVENT = f'event: {{aer_event: {{dev_name: "{CARD}", status: 0x1000, severity: 0, {HEADER}}}}}'
CORRECTED = f'event: {{aer_event: {{dev_name: "{CARD}", status: 0x40, severity: 2, tlp_header_valid: 0}}}}'


def latch(word: int, name: str = UE) -> str:
    return f'latch: {{"{CARD}": {{"{name}": {word:#x}, "CAP_EXP+a.w": 0x2}}}}'


def clear(name: str = UE) -> str:
    return f'store: {{"{CARD}": {{"{name}": 0, "CAP_EXP+a.w": 0}}}}'


def events(tmp_path: Path, *steps: str) -> list[Ereport]:
    (tmp_path / "config.lspci").write_text(capture(*images().values()))
    (tmp_path / "case.yaml").write_text("about: x\nsteps:\n  - {at: 0s}\n" + "".join(f"  - {{{step}}}\n" for step in steps))
    fixture = open_fixture(tmp_path)
    assert isinstance(fixture, Fixture)
    plugins = [plugin for plugin in builtin() if plugin.manifest.kind == "source"]
    found = [event for look in play(fixture, plugins) for event in look.ereports]
    return [event for event in found if event.class_ != FABRIC_CLASS]


def told(found: list[Ereport]) -> list[tuple[str, list[str], int]]:
    return [(e.class_.removeprefix("ereport.io.pciex."), e.sources, e.count) for e in found]


def test_record_alone_is_an_ereport_of_the_stream(tmp_path: Path) -> None:
    found = events(tmp_path, f"at: 1500ms, {EVENT}")
    assert told(found) == [("tl.ptlp", ["aer_event"], 1)]
    assert (found[0].time, found[0].severity, found[0].device) == ("2000-01-01T00:00:01.500000000Z", "nonfatal", CARD)
    assert str(found[0].payload["tlp"]).startswith("MWr")


def test_record_and_a_bit_that_is_still_set_are_one_ereport(tmp_path: Path) -> None:
    found = events(tmp_path, f"at: 1500ms, {latch(POISONED)}, {EVENT}", f"at: 2500ms, {clear()}")
    assert told(found) == [("tl.ptlp", ["poll", "aer_event"], 1)]


def test_record_that_comes_after_the_look_adds_nothing(tmp_path: Path) -> None:
    found = events(tmp_path, f"at: 900ms, {latch(POISONED)}", f"at: 1100ms, {EVENT}, {clear()}")
    assert told(found) == [("tl.ptlp", ["poll"], 1)]


def test_record_long_after_the_look_is_another_error(tmp_path: Path) -> None:
    found = events(tmp_path, f"at: 900ms, {latch(POISONED)}", f"at: 1100ms, {clear()}", f"at: 9s, {EVENT}")
    assert told(found) == [("tl.ptlp", ["poll"], 1), ("tl.ptlp", ["aer_event"], 1)]
    assert len({e.uuid for e in found}) == 2


def test_record_leaves_no_bit_standing(tmp_path: Path) -> None:
    found = events(tmp_path, f"at: 1500ms, {EVENT}", f"at: 5s, {latch(POISONED)}")
    assert told(found) == [("tl.ptlp", ["aer_event"], 1), ("tl.ptlp", ["poll"], 1)]


def test_storm_between_two_looks_is_folded_with_its_count_and_bounds(tmp_path: Path) -> None:
    record = CORRECTED.removeprefix("event: ")[1:-1].partition(": ")[2]
    found = events(tmp_path, f"at: 1200ms, event: {{aer_event: [{record}, {record}]}}", f"at: 1700ms, {CORRECTED}")
    assert told(found) == [("dl.btlp", ["aer_event"], 3)]
    assert (found[0].first, found[0].last) == ("2000-01-01T00:00:01.200000000Z", "2000-01-01T00:00:01.700000000Z")


def test_device_status_that_the_kernel_has_not_cleared_yet_is_explained_by_its_record(tmp_path: Path) -> None:
    step = f'at: 1500ms, latch: {{"{CARD}": {{"CAP_EXP+a.w": 0x2}}}}, {EVENT}'
    assert told(events(tmp_path, step, f"at: 2500ms, {clear()}")) == [("tl.ptlp", ["aer_event"], 1)]


def test_fatal_record_of_a_function_that_is_gone_is_told(tmp_path: Path) -> None:
    fatal = EVENT.replace("0x1000, severity: 0", "0x40000, severity: 1")
    found = events(tmp_path, f'at: 1500ms, answer: {{"{CARD}": ones}}, {fatal}')
    assert ("tl.mtlp", ["aer_event"], 1) in told(found)
    assert next(e.severity for e in found if e.class_.endswith("mtlp")) == "fatal"


def record(word: int) -> str:
    return f'{{dev_name: "{CARD}", status: {word:#x}, severity: 0, tlp_header_valid: 0}}'


def test_record_repeats_what_nobody_has_cleared_and_tells_it_once(tmp_path: Path) -> None:
    both = f"event: {{aer_event: [{record(0x1000)}, {record(0x5000)}]}}"
    found = events(tmp_path, f"at: 1500ms, {latch(0x5000)}, {both}")
    assert told(found) == [("tl.ptlp", ["poll", "aer_event"], 1), ("tl.cto", ["poll", "aer_event"], 1)]


def test_records_of_one_burst_tell_each_error_once(tmp_path: Path) -> None:
    both = f"event: {{aer_event: [{record(0x5000)}, {record(0x5000)}]}}"
    found = events(tmp_path, f"at: 1500ms, {latch(0x5000)}, {both}")
    assert told(found) == [("tl.ptlp", ["poll", "aer_event"], 1), ("tl.cto", ["poll", "aer_event"], 1)]


def test_record_of_another_error_does_not_tell_the_one_that_stands_again(tmp_path: Path) -> None:
    later = f"at: 9s, {latch(0x4000)}, event: {{aer_event: {record(0x5000)}}}"
    found = events(tmp_path, f"at: 1500ms, {latch(POISONED)}, {EVENT}", later)
    assert told(found) == [("tl.ptlp", ["poll", "aer_event"], 1), ("tl.cto", ["poll", "aer_event"], 1)]


def test_record_of_what_stands_alone_is_the_error_again(tmp_path: Path) -> None:
    found = events(tmp_path, f"at: 1500ms, {latch(POISONED)}, {EVENT}", f"at: 9s, {EVENT}")
    assert told(found) == [("tl.ptlp", ["poll", "aer_event"], 1), ("tl.ptlp", ["aer_event"], 1)]


def test_records_that_come_after_the_look_add_nothing_each(tmp_path: Path) -> None:
    both = f"event: {{aer_event: [{record(0x1000)}, {record(0x5000)}]}}"
    found = events(tmp_path, f"at: 900ms, {latch(0x5000)}", f"at: 1100ms, {both}")
    assert told(found) == [("tl.ptlp", ["poll"], 1), ("tl.cto", ["poll"], 1)]


@pytest.mark.parametrize("answer", ["ones", "busy"])
def test_record_of_a_function_that_cannot_be_read_is_told_once(tmp_path: Path, answer: str) -> None:
    hidden = f'answer: {{"{CARD}": {answer}}}, latch: {{"{CARD}": {{"{UE}": {POISONED:#x}, "CAP_EXP+a.w": 0x2}}}}, {EVENT}'
    back, again = f'at: 5500ms, answer: {{"{CARD}": ok}}', f"at: 12s, {latch(POISONED)}"
    found = events(tmp_path, f"at: 1500ms, {hidden}", back, f"at: 9500ms, {clear()}", again, "at: 15s")
    assert [one for one in told(found) if one[0] != "ereport.pcifma.unread"] == [("tl.ptlp", ["aer_event"], 1), ("tl.ptlp", ["poll"], 1)]


INACCESSIBLE = f'event: {{aer_event: {{dev_name: "{CARD}", status: 0, severity: 1, tlp_header_valid: 0}}}}'


@pytest.mark.parametrize("answer", ["ones", "busy"])
def test_fatal_record_without_a_status_is_a_fatal_error_of_its_source(tmp_path: Path, answer: str) -> None:
    found = events(tmp_path, f'at: 1500ms, answer: {{"{CARD}": {answer}}}, {INACCESSIBLE}', "at: 15s")
    assert [(e.device, e.severity, e.sources) for e in found if e.class_ == "ereport.io.pciex.fatal"] == [(CARD, "fatal", ["aer_event"])]


def test_fatal_record_without_a_status_waits_for_what_the_register_shows(tmp_path: Path) -> None:
    hidden = f'answer: {{"{CARD}": busy}}, latch: {{"{CARD}": {{"{UE}": 0x40000, "CAP_EXP+a.w": 0x4}}}}'
    found = events(tmp_path, f"at: 1500ms, {hidden}, {INACCESSIBLE}", f'at: 5500ms, answer: {{"{CARD}": ok}}', "at: 20s")
    assert [one for one in told(found) if one[0] != "ereport.pcifma.unread"] == [("tl.mtlp", ["poll", "aer_event"], 1)]


def test_fatal_record_without_a_status_adds_nothing_to_what_a_look_has_found(tmp_path: Path) -> None:
    fatal = f'latch: {{"{CARD}": {{"{UE}": 0x40000, "CAP_EXP+a.w": 0x4}}}}'
    found = events(tmp_path, f"at: 900ms, {fatal}", f"at: 1100ms, {clear()}, {INACCESSIBLE}", f"at: 1500ms, {INACCESSIBLE}")
    assert told(found) == [("tl.mtlp", ["poll"], 1), ("fatal", ["aer_event"], 1)]


@pytest.mark.parametrize(("outcome", "severity"), [("SUCCESSFUL_RECOVERY", "info"), ("FAILED_RECOVERY", "nonfatal")])
def test_end_of_a_recovery_is_an_ereport(tmp_path: Path, outcome: str, severity: str) -> None:
    fields = f'{{SUBSYSTEM: pci, PCI_SLOT_NAME: "{CARD}", ERROR_EVENT: {outcome}, DEVICE_ONLINE: "0", DRIVER: mlx5_core}}'
    found = events(tmp_path, f"at: 1500ms, event: {{uevent: {fields}}}")
    assert told(found) == [("recovery", ["uevent"], 1)]
    assert (found[0].severity, found[0].payload["online"], found[0].payload["driver"]) == (severity, False, "mlx5_core")


def test_beginning_of_a_recovery_says_nothing(tmp_path: Path) -> None:
    fields = f'{{SUBSYSTEM: pci, PCI_SLOT_NAME: "{CARD}", ERROR_EVENT: BEGIN_RECOVERY, DEVICE_ONLINE: "1"}}'
    assert events(tmp_path, f"at: 1500ms, event: {{uevent: {fields}}}") == []


def test_lost_records_are_said(tmp_path: Path) -> None:
    found = events(tmp_path, 'at: 1500ms, event: {aer_event: {lost: "70"}}')
    assert [(e.class_, e.device, e.payload["records"]) for e in found] == [("ereport.pcifma.lost", "host", 70)]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"dev_name": "eth0", "status": "1", "severity": "2"},
        {"dev_name": CARD, "status": "x", "severity": "2"},
        {"dev_name": CARD, "status": "1"},
    ],
)
def test_record_out_of_form_is_passed_over(fields: dict[str, str]) -> None:
    assert heard(Record("aer_event", fields, 0)) is None


@pytest.mark.parametrize("state", ["D3hot", "D3cold"])
def test_record_of_a_sleeper_is_told_and_the_sleeper_left_alone(tmp_path: Path, state: str) -> None:
    asleep = f'sleep: {{"{CARD}": {state}}}, latch: {{"{CARD}": {{"{UE}": {POISONED:#x}, "CAP_EXP+a.w": 0x2}}}}'
    found = events(tmp_path, f"at: 1500ms, {asleep}", f"at: 3500ms, {EVENT}", f'at: 5500ms, wake: ["{CARD}"]', "at: 9s")
    assert [one for one in told(found) if one[0] != "ereport.pcifma.unread"] == [("tl.ptlp", ["aer_event"], 1)]
    assert {e.payload["reason"] for e in found if e.class_ == "ereport.pcifma.unread"} == {"asleep"}


def test_record_of_a_function_that_sleeps_from_the_start_is_told(tmp_path: Path) -> None:
    steps = f'at: 0s, sleep: {{"{CARD}": D3cold}}', f"at: 3500ms, {EVENT}", f"at: 5500ms, {INACCESSIBLE}", "at: 20s"
    found = events(tmp_path, *steps)
    assert [one for one in told(found) if one[0] != "ereport.pcifma.unread"] == [("tl.ptlp", ["aer_event"], 1), ("fatal", ["aer_event"], 1)]


def test_record_of_a_bit_that_has_stood_since_a_look_may_come_late(tmp_path: Path) -> None:
    found = events(tmp_path, f"at: 900ms, {latch(POISONED)}", f"at: 9s, {EVENT}", f"at: 15s, {EVENT}")
    assert told(found) == [("tl.ptlp", ["poll"], 1), ("tl.ptlp", ["aer_event"], 1)]


def test_records_without_a_status_of_several_fatal_errors_tell_each_once(tmp_path: Path) -> None:
    fatal = f'latch: {{"{CARD}": {{"{UE}": 0x60010, "CAP_EXP+a.w": 0x4}}}}'
    later = (f"at: 2500ms, {INACCESSIBLE}", f"at: 3500ms, {INACCESSIBLE}", f"at: 9s, {INACCESSIBLE}")
    found = events(tmp_path, f"at: 1500ms, {fatal}, {INACCESSIBLE}", *later)
    names = [name for name, _, _ in told(found)]
    assert names == ["dl.dllp", "tl.rof", "tl.mtlp", "fatal"]
