"""Every register table, tested as a table."""

from __future__ import annotations

import itertools
import re

import pytest

from pcifma.regs.catalogue import CAPABILITIES
from pcifma.regs.name import capability_name
from pcifma.regs.table import Capability, Field, Register

ROWS = [pytest.param(c, r, id=f"{c.key}.{r.key}.{r.form}") for c in CAPABILITIES for r in c.registers]
EACH = pytest.mark.parametrize(("capability", "register"), ROWS)
TABLES = pytest.mark.parametrize("capability", CAPABILITIES, ids=lambda c: c.key)


def snake(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", title.lower().replace("#", "")).strip("_")


def bytes_of(register: Register) -> set[int]:
    return set(range(register.offset, register.offset + register.width))


@EACH
def test_register_has_title_key_and_section(capability: Capability, register: Register) -> None:
    assert register.title
    assert register.key == snake(register.title)
    assert register.section


@EACH
def test_register_is_aligned_to_its_width(capability: Capability, register: Register) -> None:
    assert register.width in (1, 2, 4)
    assert register.offset % register.width == 0


@EACH
def test_fields_have_titles_and_keys(capability: Capability, register: Register) -> None:
    for field in register.fields:
        assert field.title
        assert field.key == snake(field.title)


@EACH
def test_fields_share_no_bit_and_no_key_and_end_within_the_register(capability: Capability, register: Register) -> None:
    seen = 0
    for field in register.fields:
        assert 0 <= field.lo <= field.hi < 8 * register.width
        assert not seen & field.mask
        seen |= field.mask
    keys = [f.key for f in register.fields]
    assert len(set(keys)) == len(keys)


@EACH
def test_error_fields_are_single_bits_with_a_class_in_form(capability: Capability, register: Register) -> None:
    for field in (f for f in register.fields if f.ereport):
        assert re.fullmatch(r"io\.(pci|pcix|pciex|cxl|ht)(\.[a-z0-9]+(-[a-z0-9]+)*)+", field.ereport)
        assert field.hi == field.lo


@EACH
def test_only_clearable_registers_are_acknowledged(capability: Capability, register: Register) -> None:
    if register.ack:
        assert register.access.clearable
        assert any(register.access_of(f).clearable and f.ereport for f in register.fields)


@TABLES
def test_registers_share_bytes_only_where_no_function_has_both(capability: Capability) -> None:
    for one, other in itertools.combinations(capability.registers, 2):
        assert one.excludes(other) or not bytes_of(one) & bytes_of(other), (one.key, other.key)


@TABLES
def test_register_keys_are_unique_in_each_form(capability: Capability) -> None:
    keys = [(r.key, r.form) for r in capability.registers]
    assert sorted(set(keys)) == sorted(keys)
    assert not {r.key for r in capability.registers if r.form} & {r.key for r in capability.registers if not r.form}


@TABLES
def test_capability_is_called_as_setpci_calls_it(capability: Capability) -> None:
    if capability.kind == "header":
        assert capability.name == ""
    else:
        assert capability.name == capability_name(capability.id, extended=capability.kind == "extended")


def test_a_field_gives_its_mask_and_value() -> None:
    field = Field(9, 4, "maximum_link_width", "Maximum Link Width")
    assert field.mask == 0x3F0
    assert field.get(0x0043) == 4
