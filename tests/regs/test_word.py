"""A register's word, taken apart."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pcifma.regs.aer import AER
from pcifma.regs.catalogue import CAPABILITIES
from pcifma.regs.exp import EXP
from pcifma.regs.table import Register
from pcifma.regs.word import decode_word, known_mask, set_bits

REGISTERS = [register for capability in CAPABILITIES for register in capability.registers]


def test_set_fields_come_lowest_first_and_unknown_bits_last() -> None:
    parts = decode_word(AER["correctable_error_status"], 0x0001_2041)
    assert [p.title for p in parts] == ["Receiver Error", "Bad TLP", "Advisory Non-Fatal Error", "unknown 0x10000"]
    assert parts[-1].field is None


def test_fields_of_several_bits_show_their_value() -> None:
    parts = decode_word(EXP["link_status"], 0x3043)
    assert [p.text for p in parts] == [
        "Current Link Speed 8.0 GT/s",
        "Negotiated Link Width 4",
        "Slot Clock Configuration",
        "Data Link Layer Link Active",
    ]


def test_a_named_bit_shows_its_name() -> None:
    assert [p.text for p in decode_word(EXP["slot_status"], 0x40)] == ["Presence Detect State present"]


def test_a_value_without_name_stays_a_number() -> None:
    assert decode_word(EXP["link_status"], 0xF)[0].text == "Current Link Speed 15"


def test_zero_has_no_parts_and_bits_past_the_width_do_not_count() -> None:
    assert decode_word(EXP["device_status"], 0) == []
    assert decode_word(EXP["device_status"], 0x10000) == []


@given(register=st.sampled_from(REGISTERS), word=st.integers(0, 0xFFFFFFFF))
def test_parts_put_together_give_the_word_again(register: Register, word: int) -> None:
    parts = decode_word(register, word)
    again = sum(p.value << p.field.lo if p.field else p.value for p in parts)
    assert again == word & (1 << 8 * register.width) - 1
    assert all(p.value & ~known_mask(register) == p.value for p in parts if p.field is None)


@given(st.integers(0, 0xFFFFFFFF))
def test_set_bits_are_those_of_the_word(word: int) -> None:
    assert list(set_bits(word)) == [i for i in range(32) if word >> i & 1]
