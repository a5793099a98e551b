"""Every register table, tested as a table."""

from __future__ import annotations

import itertools
import re

import pytest

from pcifma.regs.catalogue import CAPABILITIES
from pcifma.regs.name import capability_name
from pcifma.regs.table import Access, Capability, Field, Register

EACH = pytest.mark.parametrize("capability", CAPABILITIES, ids=lambda c: c.key)


def snake(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", title.lower().replace("#", "")).strip("_")


def fields_of(capability: Capability) -> list[Field]:
    return [field for register in capability.registers for field in register.fields]


def bytes_of(register: Register) -> set[int]:
    return set(range(register.offset, register.offset + register.width))


@EACH
def test_registers_have_title_key_and_section(capability: Capability) -> None:
    assert capability.section
    for register in capability.registers:
        assert register.title
        assert register.key == snake(register.title)
        assert register.section


@EACH
def test_registers_are_aligned_to_their_width_and_end_within_their_space(capability: Capability) -> None:
    for register in capability.registers:
        assert register.width in (1, 2, 4)
        assert register.offset % register.width == 0
        assert register.offset + register.width <= (0x40 if capability.kind == "header" else 0x80)


@EACH
def test_fields_have_titles_and_keys(capability: Capability) -> None:
    for field in fields_of(capability):
        assert field.title
        assert field.key == snake(field.title)


@EACH
def test_fields_share_no_bit_and_no_key_and_end_within_the_register(capability: Capability) -> None:
    for register in capability.registers:
        seen = 0
        for field in register.fields:
            assert 0 <= field.lo <= field.hi < 8 * register.width
            assert not seen & field.mask
            seen |= field.mask
        assert len({f.key for f in register.fields}) == len(register.fields)


@EACH
def test_error_fields_are_single_bits_with_a_class_in_form(capability: Capability) -> None:
    for field in fields_of(capability):
        if field.ereport:
            assert re.fullmatch(r"io\.(pci|pcix|pciex|cxl|ht)(\.[a-z0-9]+(-[a-z0-9]+)*)+", field.ereport)
            assert field.hi == field.lo


@EACH
def test_the_severity_is_said_unless_the_device_says_it(capability: Capability) -> None:
    device_says = {"aer.uncorrectable_error", "aer.secondary_uncorrectable_error", "dpc.rp_pio"}
    for register in capability.registers:
        stem = f"{capability.key}.{register.key}".rpartition("_")[0]
        for field in (f for f in register.fields if f.ereport):
            assert (field.severity is None) == (stem in device_says), (register.key, field.key)


@EACH
def test_residue_is_only_what_the_contract_lists(capability: Capability) -> None:
    residue = {(r.key, f.lo) for r in capability.registers for f in r.fields if f.residue and r.access in (Access.RW1C, Access.RW1CS)}
    allowed = {
        "header": {("status", 13), ("secondary_status", 13), ("cardbus_secondary_status", 13)},
        "exp": {("device_status", 0), ("device_status", 1), ("device_status", 3)},
        "aer": {("uncorrectable_error_status", 20), ("correctable_error_status", 13)},
        "dpc": {("rp_pio_status", 0)},
        "secpci": {("lane_error_status", lane) for lane in range(32)},
        "pl16": {
            (f"16_0_gt_s_{side}_data_parity_mismatch_status", lane)
            for side in ("local", "first_retimer", "second_retimer")
            for lane in range(32)
        },
    }
    assert residue == allowed.get(capability.key, set())


# What pcifma may write at all. Writing ones to the logged bits and zeros to all others must change nothing else.
ACKNOWLEDGED = {
    "header.status",
    "header.secondary_status",
    "header.cardbus_secondary_status",
    "pcix.pci_x_status",
    "pcix.pci_x_secondary_status",
    "pcix.pci_x_bridge_status",
    "exp.device_status",
    "aer.uncorrectable_error_status",
    "aer.correctable_error_status",
    "aer.root_error_status",
    "aer.secondary_uncorrectable_error_status",
    "secpci.lane_error_status",
    "pl16.16_0_gt_s_local_data_parity_mismatch_status",
    "pl16.16_0_gt_s_first_retimer_data_parity_mismatch_status",
    "pl16.16_0_gt_s_second_retimer_data_parity_mismatch_status",
}


def test_only_these_registers_are_ever_acknowledged() -> None:
    assert {f"{c.key}.{r.key}" for c in CAPABILITIES for r in c.registers if r.ack} == ACKNOWLEDGED


@EACH
def test_a_zero_written_beside_an_acknowledged_bit_changes_nothing(capability: Capability) -> None:
    for register in (r for r in capability.registers if r.ack):
        assert register.access.clearable
        assert not {register.access_of(f) for f in register.fields} & {Access.RW, Access.RWS}


def test_a_class_of_illumos_stands_for_one_thing() -> None:
    meanings: dict[str, set[str]] = {}
    for capability in CAPABILITIES:
        for field in fields_of(capability):
            if field.ereport:
                meanings.setdefault(field.ereport, set()).add(re.sub(r"\d+", "n", field.title))
    shared = {name: titles for name, titles in meanings.items() if len(titles) > 1}
    assert shared == {
        "io.pciex.tl.ur": {"Unsupported Request Detected", "Unsupported Request Error"},
        "io.cxl.viral": {"Viral_Status", "Viral Status"},
    }


@EACH
def test_registers_share_bytes_only_where_no_function_has_both(capability: Capability) -> None:
    for one, other in itertools.combinations(capability.registers, 2):
        assert one.excludes(other) or not bytes_of(one) & bytes_of(other), (one.key, other.key)


@EACH
def test_register_keys_are_unique_in_each_form(capability: Capability) -> None:
    keys = [(r.key, r.form) for r in capability.registers]
    assert sorted(set(keys)) == sorted(keys)
    assert not {r.key for r in capability.registers if r.form} & {r.key for r in capability.registers if not r.form}


@EACH
def test_capability_is_called_as_setpci_calls_it(capability: Capability) -> None:
    if capability.kind == "header":
        assert capability.name == ""
    else:
        assert capability.name == capability_name(capability.id, extended=capability.kind == "extended")


def test_a_field_gives_its_mask_and_value() -> None:
    field = Field(9, 4, "maximum_link_width", "Maximum Link Width")
    assert field.mask == 0x3F0
    assert field.get(0x0043) == 4
