"""EDAC's lines, of every age."""

from __future__ import annotations

import pytest
from support.logdata import only, read, sample

from pcifma.access.kernlog.report import GhesRecord, MemoryText


def test_each_form_has_count_label_and_address() -> None:
    assert [(one.corrected, one.count, one.label, one.address) for one in only(MemoryText, sample("memory.log"))] == [
        (True, 3, "CPU_SrcID#1_Ha#0_Chan#0_DIMM#1", 0x1_2345_E080),
        (False, 1, "", 0x1_16C6_0000),
        (True, 2, "CPU#0Channel#2_DIMM#0", None),
        (True, 1, "DIMM_B1", 0xCC9D_0D00),
        (True, 1, "DIMM_A2", None),
        (True, 1, "DIMM_C1", 0x8_4992_3300),
        (False, 2, "DIMM_D1", 36130000128),
        (True, 1, "DIMM_E1", 0x9_CE49_4080),
        (False, 4, "DIMM_F1", None),
    ]


def test_firmware_s_section_keeps_its_lines() -> None:
    (record,) = only(GhesRecord, sample("memory.log"))
    assert record.sections[0].memory == {
        "fru_text": "Card02, ChnD, DIMM0", "physical_address": "0x0000000963d9b000", "error_type": "2, single-bit ECC",
        "DIMM location": "CPU 1 DIMM_A1",
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "EDAC MC0: Giving out device to module skx_edac controller Skylake Socket#0 IMC#0: DEV 0000:64:0a.0 (INTERRUPT)",
        "EDAC MC: Removed device 0 for sb_edac.c Sandy Bridge Socket#0: DEV 0000:3f:0e.0",
        "EDAC PCI0: Giving out device to module ie31200_edac controller EDAC PCI controller",
    ],
)
def test_words_about_drivers_are_no_errors(text: str) -> None:
    assert not read(text + "\n")


def test_address_of_a_row_is_decimal_unless_it_says_otherwise() -> None:
    row = "1 2026-01-02 03:04:05 +0100 1 Corrected error(s): memory read error at DIMM_D1 location: 0:1:0:-1, addr {}, grain 7\n"
    assert [one.address for text in ("0123", "0x123", "09" * 9) for one in only(MemoryText, read(row.format(text)))] == [
        123,
        0x123,
        int("09" * 9),
    ]
