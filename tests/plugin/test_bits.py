"""What every source is spared: from a status word to findings, from a Header Log to payload, from signs to the platform."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.board import END, board
from support.fabric import endpoint, fabric_of
from support.host import FactHost
from support.image import capture

from pcifma.access.playback import open_fixture
from pcifma.fabric.build import build
from pcifma.plugin import CAPABILITIES, Bdf, Snapshot, Target, findings, header_payload, in_guest

TARGET = Target.function(Bdf.parse(END))
AER, HEADER = CAPABILITIES["ECAP_AER"], CAPABILITIES[""]
CORRECTABLE = AER["correctable_error_status"]
WHERE = AER.location(CORRECTABLE)


def snapshot(word: int) -> Snapshot:
    return Snapshot(TARGET, 0, 0, {(TARGET, WHERE): word})


def test_each_error_bit_gives_a_finding_as_its_row_says() -> None:
    found = list(findings(snapshot(0x2041), WHERE, CORRECTABLE, {"ce-status": 0x2041}, mask=0x2000))
    assert [(f.class_, f.evidence.bit, f.severity, f.residue) for f in found] == [
        ("ereport.io.pciex.pl.re", 0, "correctable", False),
        ("ereport.io.pciex.dl.btlp", 6, "correctable", False),
        ("ereport.io.pciex.a-nonfatal", 13, "correctable", True),
    ]
    assert [dict(f.payload) for f in found[1:]] == [
        {"name": "Bad TLP", "ce-status": 0x2041},
        {"name": "Advisory Non-Fatal Error", "ce-status": 0x2041, "masked": True},
    ]


def test_undefined_bit_is_unknown_and_an_unread_register_gives_nothing() -> None:
    found = list(findings(snapshot(0x2), WHERE, CORRECTABLE, unknown="ereport.io.pci.unknown"))
    assert [(f.class_, f.evidence.bit, f.severity) for f in found] == [("ereport.io.pci.unknown", 1, "info")]
    assert list(findings(snapshot(0x2), HEADER.location(HEADER["status"]), HEADER["status"])) == []


def test_header_log_tells_who_asked_for_what() -> None:
    found = header_payload([0x60000020, 0x040000FF, 0x000000FB, 0xC0001040], TARGET)
    assert (found["tlp-requester"], found["tlp-address"], found["tlp-length-dw"]) == ("0000:04:00.0", "000000fbc0001040", 32)
    assert (found["source-id"], found["source-valid"]) == (0x400, True)


@pytest.mark.parametrize("words", [[], [0, 0, 0, 0], [0x60000020, None, 0xFB, 0xC0001040]])
def test_header_log_that_is_none_names_no_source(words: list[int | None]) -> None:
    assert header_payload(words, TARGET) == {"source-id": 0, "source-valid": False}


def test_guest_is_told_by_its_signs() -> None:
    fabric = fabric_of(endpoint("0000:01:00.0"))
    signs = {"/proc/cpuinfo": b"flags : hypervisor\n", "/sys/class/dmi/id/sys_vendor": b"QEMU\n"}
    assert in_guest(fabric, FactHost(signs))
    assert not in_guest(fabric, FactHost({"/proc/cpuinfo": b"flags : vmx\n", "/sys/class/dmi/id/sys_vendor": b"Dell Inc.\n"}))
    assert not in_guest(fabric, FactHost())


def test_guest_is_what_a_fixture_says(tmp_path: Path) -> None:
    (tmp_path / "case.yaml").write_text("about: x\nplatform: {hypervisor: kvm, role: guest}\nsteps: []\n")
    (tmp_path / "config.lspci").write_text(capture(*board()))
    machine = open_fixture(tmp_path)
    assert in_guest(build(machine), machine.host)
