"""Records of firmware (GHES, BERT), of POWER's EEH and host bridges."""

from __future__ import annotations

from support.logdata import only, read, sample

from pcifma.access.kernlog import cper
from pcifma.access.kernlog.report import CperSection, EehDevice, GhesRecord, PhbDiag


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
