"""Records of firmware (GHES, BERT), of POWER's EEH and host bridges."""

from __future__ import annotations

import pytest
from support.logdata import only, read, sample

from pcifma.access.kernlog import cper
from pcifma.access.kernlog.report import CperSection, EehDevice, EehFreeze, GhesRecord, PhbDiag
from pcifma.regs.bdf import Bdf


def test_records_of_two_numbers_are_told_apart() -> None:
    found = only(GhesRecord, sample("ghes.log"))
    assert [(r.sequence, r.source, r.severity) for r in found] == [
        (None, 1, "corrected"),
        (3, 92, "fatal"),
        (4, 93, "corrected"),
        (None, None, "fatal"),
        (9, None, "recoverable"),
    ]
    assert found[2].sections[0].section_type == "ARM processor error"


def test_fatal_record_has_its_aer_registers() -> None:
    (section,) = only(GhesRecord, sample("ghes.log"))[1].sections
    assert section.words == {"aer_uncor_status": 0x40000, "aer_uncor_mask": 0x10000, "aer_uncor_severity": 0x4E2030}
    assert (str(section.bdf), section.port_type, section.status) == ("0001:02:04.0", 6, 0x4010)
    assert section.header == (0x60000008, 0xFF, 1, 0xF0001000)


def test_old_record_has_status_and_mask() -> None:
    (section,) = only(GhesRecord, sample("ghes.log"))[0].sections
    assert section.words == {"aer_status": 1, "aer_mask": 0x2000}


def test_unknown_section_in_hex_is_read_as_what_its_guid_says() -> None:
    (section,) = only(GhesRecord, sample("ghes.log"))[3].sections
    assert (section.section_type, str(section.bdf), section.slot, section.class_code) == ("PCIe error", "0000:c9:02.0", 25, "060400")
    assert (section.secondary_status, section.bridge_control, section.status) == (0x2800, 0x13, 0x4010)
    assert section.words["aer_uncor_status"] == 0x4000
    assert (section.words["cap_control"], section.serial) == (0x14, None)


def test_binary_section_cut_short_is_left_alone() -> None:
    for length in (0, 111):
        section = CperSection(0, "fatal", cper.PCIE_SECTION, raw=b"\xff" * length)
        assert cper.decode(section) is section
    assert not cper.decode(CperSection(0, "fatal", cper.PCIE_SECTION, raw=b"\xff" * 150)).words


def test_cxl_section_has_its_ras_words() -> None:
    (section,) = only(GhesRecord, sample("ghes.log"))[4].sections
    assert (str(section.bdf), section.words["cxl_ras_uncor_status"]) == ("0000:0c:00.0", 0x400)


def test_record_number_used_again_is_a_new_record() -> None:
    line = "{1}[Hardware Error]: Hardware error from APEI Generic Hardware Error Source: 0\n"
    assert len(only(GhesRecord, read(line * 3))) == 3


def test_excerpt_without_sections_has_none() -> None:
    (found,) = only(GhesRecord, read("{1}[Hardware Error]:   error_type: 6, master abort"))
    assert found.sections == ()


def test_eeh_log_of_one_dword_a_line() -> None:
    (found,) = only(EehDevice, sample("eeh.log"))
    assert str(found.bdf) == "0003:90:01.0"
    assert found.express == (0x0142B010, 0x8002, 0x000D2950, 0x0047D082)
    assert found.aer == (0x14820001, 0x40000, 0, 0x62030)
    assert (found.command_status, found.bridge_secondary_status, found.bridge_control) == (0x20100140, 0x2000, 3)
    assert not found.gone


def test_eeh_row_after_a_gap_is_not_moved_up() -> None:
    rows = "EEH: PCI-E AER 00: 14820001 00000000 00400000 00462030\nEEH: PCI-E AER 20: 00000001 00000000 00000000 00000000"
    text = f"EEH: of node=0003:90:01.0\n{rows}"
    (found,) = only(EehDevice, read(text))
    assert found.aer == (0x14820001, 0, 0x400000, 0x462030)


def test_host_bridge_diagnostics_of_kernel_and_skiboot() -> None:
    kernel, skiboot = only(PhbDiag, sample("eeh.log"))
    assert (kernel.kind, kernel.number, kernel.values["RootErrSts"]) == ("PHB3", 3, (0x24, 0x40000, 0))
    assert kernel.values["Lem"] == (0x100000000, 0x42498E367F502EAE, 0)
    assert (skiboot.number, skiboot.values["Lem"], skiboot.values["RootErrSts"]) == (0x30, (0x100000080, 0x80, 0), (0x44, 0x20, 0))


def test_host_bridge_number_is_decimal_from_phb4_on() -> None:
    row = "Diag-data (Version: 1)\nbrdgCtl:    00000002\n"
    found = only(PhbDiag, read(f"PHB4 PHB#48 {row}PHB3 PHB#30 {row}"))
    assert [diag.number for diag in found] == [48, 0x30]


def freezes(text: str) -> list[tuple[str, int | None, int | None, Bdf | None]]:
    return [(f.what, f.number, f.endpoint, f.bdf) for f in read(text) if isinstance(f, EehFreeze)]


@pytest.mark.parametrize(
    ("text", "what", "number", "endpoint"),
    [
        ("EEH: Frozen PHB#28-PE#10000 detected", "frozen", 0x28, 0x10000),
        ("EEH: Detected PCI bus error on PHB#2-PE#fd", "frozen", 2, 0xFD),
        ("EEH: Detected error on PHB#2-PE#fd", "frozen", 2, 0xFD),
        ("EEH(7): Recovering PHB#400f-PE#10000", "frozen", 0x400F, 0x10000),
        ("EEH: Fenced PHB#0 detected, location: N/A", "fenced", 0, None),
        ("EEH: PHB#11 failure detected, location: Slot1", "fenced", 0x11, None),
        ("EEH: dead PHB#6 detected, location: N/A", "dead", 6, None),
        ("EEH: dead IOC detected", "dead", None, None),
        ("EEH: PHB#7 informative error detected, location: N/A", "informative", 7, None),
        ("EEH: PHB#0-PE#2 has failed 6 times in the", "failed", 0, 2),
        ("EEH: Unable to recover from failure from PHB#0-PE#2.", "failed", 0, 2),
    ],
)
def test_isolation_is_told(text: str, what: str, number: int | None, endpoint: int | None) -> None:
    assert freezes(text + "\n") == [(what, number, endpoint, None)]


def test_isolation_of_old_kernels_has_an_address() -> None:
    lost = "EEH: PCI device at location=U7.P1-C3 driver=e1000 pci addr=0001:40:01.0 has failed 6 times in the last hour\n"
    found = freezes(f"EEH: Detected PCI bus error on device 0001:40:01.0\n{lost}")
    assert found == [("frozen", None, None, Bdf.parse("0001:40:01.0")), ("failed", None, None, Bdf.parse("0001:40:01.0"))]


def test_announcements_of_one_event_are_one_report() -> None:
    one = "[    9.100001] EEH: Recovering PHB#2-PE#fd\n[    9.100001] EEH: eeh_dev_check_failure: Frozen PHB#2-PE#fd detected\n"
    one += "[    9.200001] EEH: Frozen PHB#2-PE#fd detected\n"
    assert len(freezes(one)) == 1
    assert len(freezes(one + one.replace("   9.", " 999."))) == 2
    assert len(freezes("[    9.100001] EEH: PHB#0 failure detected, location: N/A\n" * 2)) == 1
    assert len(freezes("EEH: PHB#0 failure detected, location: N/A\n" * 2)) == 2
    assert len(freezes(one.replace("\n", "\n" + "EEH: x\n" * 300))) == 3


@pytest.mark.parametrize(
    "text",
    [
        "EEH: Frozen PHB#7-PE#2 is empty!",
        "EEH: This PCI device has failed 1 times in the last hour and will be permanently disabled after 5 failures.",
        "EEH: PCI Enhanced I/O Error Handling Enabled",
        "EEH: Notify device drivers to shutdown",
        "WEEHAWKEN: Frozen PHB",
    ],
)
def test_what_eeh_says_beside_is_no_isolation(text: str) -> None:
    assert freezes(text + "\n") == []


def test_many_isolations_need_little_memory() -> None:
    assert len(freezes("".join(f"EEH: Frozen PHB#{n:x}-PE#{n:x} detected\n" for n in range(5000)))) == 5000


def test_skiboot_s_fence_and_its_words_are_told() -> None:
    text = (
        "[ 1005.489389250,3] PHB#006f[6:3]: PHB Freeze/Fence detected !\n"
        "[ 1005.489510147,3] PHB#006f[6:3]:            NEST FIR=0800000000000000\n"
        "[ 1005.489542000,3] PHB#006f[6:3]:        NEST FIR WOF=0400000000000000\n"
        "[ 1005.490262691,3] PHB#006f[6:3]:             deviceStatus = 00000140\n"
    )
    found = read(text)
    assert [(one.what, one.number) for one in only(EehFreeze, found)] == [("fenced", 0x6F)]
    (diag,) = only(PhbDiag, found)
    assert (diag.number, diag.values["nFir"]) == (0x6F, (0x0800000000000000, 0, 0x0400000000000000))
