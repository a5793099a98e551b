"""Which registers a capability has, as the device itself says."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pcifma.regs.form import PLAIN, Form, form_of


def of(name: str, words: Mapping[int, int]) -> Form:
    return form_of(name, lambda offset, width: words.get(offset, 0) & (1 << 8 * width) - 1)


def test_capability_of_one_layout_is_not_read() -> None:
    def refuse(offset: int, width: int) -> int:
        raise AssertionError(f"{width} bytes at {offset:#x} are nobody's business")

    assert form_of("CAP_PM", refuse) is PLAIN
    assert form_of("ECAP_AER", refuse) is PLAIN


@pytest.mark.parametrize(
    ("control", "form"), [(0x0080, Form("64-bit", 0x80)), (0x0100, Form("32-bit", 0x100)), (0x01A1, Form("64-bit", 0x180))]
)
def test_msi_form_leaves_out_what_software_changes(control: int, form: Form) -> None:
    assert of("CAP_MSI", {2: control}) == form


@pytest.mark.parametrize(
    ("name", "words", "form"),
    [
        ("CAP_HT", {2: 0x2800}, "host"),
        ("CAP_HT", {2: 0xA803}, "msi-mapping"),
        ("CAP_HT", {2: 0x0160}, "primary"),
        ("ECAP_DVSEC", {4: 0x03811E98, 8: 0}, "cxl-device"),
        ("ECAP_DVSEC", {4: 0x03818086, 8: 0}, "other"),
    ],
)
def test_form_is_what_the_tables_call_it(name: str, words: dict[int, int], form: str) -> None:
    assert of(name, words) == Form(form)


def test_dpc_and_pci_express_keep_the_word_that_counts_their_registers() -> None:
    assert of("ECAP_DPC", {4: 0x0920}) == Form(head=0x0920)
    assert of("CAP_EXP", {2: 0x0142}) == Form(head=0x0142)


def test_ide_streams_are_found_where_their_blocks_lie() -> None:
    capability = 0x3 | 1 << 13 | 1 << 16  # two Link Streams, two Selective ones
    found = of("ECAP30", {4: capability, 0x1C: 2})
    assert found.blocks == (0x10, 0x18, 0x24, 0x50)
