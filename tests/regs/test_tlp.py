"""TLP headers: each kind in both forms, real ones from kernel logs, and words that mean nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.dump import CORPUS, needs_corpus

from pcifma.regs.bdf import Bdf
from pcifma.regs.tlp import Tlp, decode_header, decode_prefix

WORD = st.integers(0, 0xFFFFFFFF)


def test_memory_write_64_gives_address_length_and_requester() -> None:
    tlp = decode_header([0x60000020, 0x040000FF, 0x000000FB, 0xC0001040])
    assert (tlp.name, tlp.kind, tlp.length_dw) == ("MWr64", "memory", 32)
    assert (tlp.address, tlp.requester) == (0xFB_C000_1040, Bdf(0, 4, 0, 0))
    assert (tlp.first_be, tlp.last_be) == (15, 15)
    assert tlp.text == "MWr64 32 DW, requester 0000:04:00.0, to 0xfb_c000_1040"


def test_memory_read_32_takes_its_address_from_the_third_word() -> None:
    tlp = decode_header([0x00000001, 0x0A00120F, 0xFFFC0E83, 0xFFFFFFFF])
    assert (tlp.name, tlp.address, tlp.tag) == ("MRd32", 0xFFFC0E80, 0x12)


def test_length_zero_is_1024_words() -> None:
    assert decode_header([0x40000000, 0x0A0000FF, 0x1000]).length_dw == 1024


def test_poison_digest_and_traffic_class_are_read() -> None:
    tlp = decode_header([0x4050C001, 0x0A00000F, 0x1000])
    assert (tlp.poisoned, tlp.digest, tlp.traffic_class) == (True, True, 5)
    assert tlp.text.endswith("poisoned")


def test_ten_bit_tags_take_two_bits_of_the_first_word() -> None:
    assert decode_header([0x00880001, 0x0A00FF0F, 0x1000]).tag == 0x3FF


@pytest.mark.parametrize(("byte", "name"), [(0x04, "CfgRd0"), (0x44, "CfgWr0"), (0x05, "CfgRd1"), (0x45, "CfgWr1")])
def test_configuration_request_names_its_target(byte: int, name: str) -> None:
    tlp = decode_header([byte << 24 | 1, 0x0000010F, 0x0700_0104, 0], segment=0x10000)
    assert (tlp.name, tlp.target, tlp.register) == (name, Bdf(0x10000, 7, 0, 0), 0x104)
    assert tlp.address is None
    assert tlp.text == f"{name} 1 DW, requester 10000:00:00.0, to 10000:07:00.0 register 0x104"


@pytest.mark.parametrize(("code", "status"), [(0, "SC"), (1, "UR"), (2, "RRS"), (4, "CA"), (7, "status 7")])
def test_completion_names_both_ends_and_its_status(code: int, status: str) -> None:
    tlp = decode_header([0x4A000001, 0x05000004 | code << 13, 0x00000740, 0])
    assert (tlp.name, tlp.status, tlp.byte_count, tlp.tag) == ("CplD", status, 4, 7)
    assert (tlp.completer, tlp.requester) == (Bdf(0, 5, 0, 0), Bdf(0, 0, 0, 0))


def test_completion_without_data_has_no_length() -> None:
    assert decode_header([0x0A000001, 0x05002004, 0x00000740]).length_dw is None


@pytest.mark.parametrize(("code", "message"), [(0x30, "ERR_COR"), (0x31, "ERR_NONFATAL"), (0x33, "ERR_FATAL"), (0x2B, "code 0x2b")])
def test_message_gives_its_code_and_routing(code: int, message: str) -> None:
    tlp = decode_header([0x30000000, 0x02080000 | code, 0, 0])
    assert (tlp.kind, tlp.message_code, tlp.message, tlp.routing) == ("message", code, message, "to Root Complex")
    assert tlp.requester == Bdf(0, 2, 1, 0)
    assert tlp.length_dw is None


def test_message_routed_by_id_names_its_target() -> None:
    assert decode_header([0x72000001, 0x0000007E, 0x07000000, 0]).target == Bdf(0, 7, 0, 0)


@pytest.mark.parametrize(("byte", "name"), [(0x4C, "FetchAdd32"), (0x6D, "Swap64"), (0x4E, "CAS32"), (0x7B, "DMWr64"), (0x42, "IOWr")])
def test_other_requests_are_named(byte: int, name: str) -> None:
    tlp = decode_header([byte << 24 | 2, 0x0300000F, 0x10, 0x20])
    assert tlp.name == name
    assert tlp.address == (0x10_0000_0020 if byte & 0x20 else 0x10)


def test_zeros_mean_that_nothing_was_logged() -> None:
    assert decode_header([0, 0, 0, 0]).kind == "none"
    assert decode_header([]).text == "nothing logged"


def test_an_unknown_type_keeps_its_byte_and_no_field() -> None:
    tlp = decode_header([0xFFFFFFFF] * 4)
    assert (tlp.kind, tlp.name, tlp.requester, tlp.address) == ("unknown", "unknown type 0xff", None, None)


@pytest.mark.parametrize(
    ("word", "name", "end_to_end", "pasid"),
    [(0x91012345, "PASID", True, 0x12345), (0x90000000, "TPH", True, None), (0x8E000000, "VendPrefixL0", False, None)],
)
def test_prefixes_are_named(word: int, name: str, end_to_end: bool, pasid: int | None) -> None:
    prefix = decode_prefix(word)
    assert (prefix.name, prefix.end_to_end, prefix.pasid) == (name, end_to_end, pasid)


def test_prefix_log_goes_with_the_header_and_stops_at_empty_words() -> None:
    tlp = decode_header([0x00000001, 0x0A00000F, 0x1000], prefixes=[0x91000007, 0, 0, 0])
    assert [p.pasid for p in tlp.prefixes] == [7]


def test_a_prefix_in_the_header_log_is_said_to_be_one() -> None:
    assert decode_header([0x91000007, 0, 0, 0]).name == "PASID prefix"


def test_flit_form_has_its_own_type_tag_and_poison() -> None:
    tlp = decode_header([0x40A10020, 0x0400BFFF, 0xFFFC0E80], flit=True)
    assert (tlp.name, tlp.traffic_class, tlp.length_dw) == ("MWr32", 5, 32)
    assert (tlp.tag, tlp.poisoned, tlp.first_be) == (0x3FFF, True, None)
    assert tlp.address == 0xFFFC0E80


@pytest.mark.parametrize(("byte", "name"), [(0x03, "MRd32"), (0x20, "MRd64"), (0x22, "UIOMRd"), (0x61, "UIOMWr"), (0x44, "CfgWr0")])
def test_flit_types_are_named(byte: int, name: str) -> None:
    assert decode_header([byte << 24 | 1, 0x04000001, 0x0700_0104, 0], flit=True).name == name


def test_the_same_byte_means_another_thing_in_flit_form() -> None:
    words = [0x00000001, 0x04000001, 0x1000]
    assert decode_header(words).name == "MRd32"
    assert decode_header(words, flit=True).kind == "nop"


def test_flit_completion_gives_both_ends_but_no_status() -> None:
    tlp = decode_header([0x4A000001, 0x05000007, 0x00080000], flit=True)
    assert (tlp.completer, tlp.requester, tlp.tag, tlp.status) == (Bdf(0, 5, 0, 0), Bdf(0, 0, 1, 0), 7, "")


@given(words=st.lists(st.integers(), max_size=16), flit=st.booleans(), prefixes=st.lists(WORD, max_size=4))
def test_any_words_give_an_answer(words: list[int], flit: bool, prefixes: list[int]) -> None:
    tlp = decode_header(words, flit=flit, prefixes=prefixes)
    assert tlp.text.isprintable()
    assert tlp.length_dw is None or 1 <= tlp.length_dw <= 1024
    assert tlp.address is None or 0 <= tlp.address < 1 << 64


@given(first=st.integers(0, 255), rest=st.lists(WORD, min_size=3, max_size=3), flit=st.booleans())
def test_each_first_byte_gives_the_fields_of_its_kind(first: int, rest: list[int], flit: bool) -> None:
    tlp = decode_header([first << 24 | 1, *rest], flit=flit)
    assert (tlp.address is not None) == (tlp.kind in ("memory", "atomic", "io"))
    assert (tlp.register is not None) == (tlp.kind == "config")
    assert (tlp.completer is not None) == (tlp.kind == "completion")
    assert (tlp.message_code is not None) == (tlp.kind == "message")


def logged() -> list[Any]:
    """Headers of real error reports, with what a decoder must say of them."""
    found: list[Any] = []
    for path in sorted((CORPUS / "logs").glob("*.expect.json")):
        records = json.loads(path.read_text())["records"]
        found += [pytest.param(r["tlp_header"], id=f"{path.stem}-{i}") for i, r in enumerate(records) if r.get("tlp_header")]
    return found


@needs_corpus
@pytest.mark.parametrize("told", logged())
def test_real_headers_are_decoded_as_expected(told: dict[str, Any]) -> None:
    tlp = decode_header([int(w, 16) for w in told["dwords"]])
    assert tlp.name == ("nothing logged" if told["name"].startswith("all zero") else told["name"])
    assert (tlp.poisoned, tlp.digest) == (told["poisoned"], told["digest"])
    check(tlp, told)


def check(tlp: Tlp, told: dict[str, Any]) -> None:
    if tlp.length_dw is not None:
        assert tlp.length_dw == told["length_dw"]
    if "requester_id" in told:
        assert str(tlp.requester) == f"0000:{told['requester_id']}"
    if "address" in told:
        assert tlp.address == int(told["address"], 16)
    if "message_code" in told:
        assert tlp.message_code == int(told["message_code"], 16)
