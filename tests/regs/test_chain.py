"""Capability lists: right ones, and every way in which bytes can be wrong."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.image import ENDPOINT, Image

from pcifma.regs.chain import Chain, walk


@dataclass
class Bytes:
    """An image that remembers what was read of it, and refuses reads past its end."""

    data: bytes
    reads: list[tuple[int, int]] = field(default_factory=list)

    def read(self, offset: int, length: int) -> bytes:
        assert offset >= 0
        assert offset + length <= len(self.data)
        self.reads.append((offset, length))
        return self.data[offset : offset + length]

    def walk(self) -> Chain:
        return walk(self.read, len(self.data))


def endpoint() -> Image:
    image = Image("00:00.0", "test").header(0x15B3, 0x1017, 0x020000)
    return image.express(0x60, ENDPOINT).capability(0x9C, 0x11).aer().extended(0x150, 0x0003)


def names(chain: Chain) -> list[str]:
    return [c.name for c in chain.capabilities]


def test_both_lists_are_followed_in_their_order() -> None:
    chain = Bytes(bytes(endpoint().data)).walk()
    assert [(c.name, c.id, c.extended, c.version, c.offset) for c in chain.capabilities] == [
        ("CAP_EXP", 0x10, False, 0, 0x60),
        ("CAP_MSIX", 0x11, False, 0, 0x9C),
        ("ECAP_AER", 0x0001, True, 2, 0x100),
        ("ECAP_DSN", 0x0003, True, 1, 0x150),
    ]
    assert chain.complaints == ()


def test_only_the_header_and_heads_of_capabilities_are_read() -> None:
    image = Bytes(bytes(endpoint().data))
    image.walk()
    assert image.reads == [(0x06, 2), (0x0E, 1), (0x34, 1), (0x60, 2), (0x9C, 2), (0x100, 4), (0x150, 4)]


def test_without_the_status_bit_there_is_no_list() -> None:
    image = Bytes(bytes(endpoint().put(6, 0, 2).data))
    assert image.walk() == Chain()
    assert image.reads == [(0x06, 2), (0x0E, 1)]


def test_conventional_functions_are_not_read_past_256_bytes() -> None:
    image = Image("00:00.0", "test").header(0x8086, 0x1000, 0x020000).capability(0x40, 0x01)
    read = Bytes(bytes(image.data))
    assert names(read.walk()) == ["CAP_PM"]
    assert max(offset for offset, _ in read.reads) < 0x100


def test_cardbus_bridges_have_their_pointer_elsewhere() -> None:
    image = Image("00:00.0", "test").header(0x104C, 0xAC50, 0x060700, header_type=2).put(0x14, 0xA0, 1).put(0xA0, 0x01, 1)
    assert names(Bytes(bytes(image.data)).walk()) == ["CAP_PM"]


def test_the_two_low_bits_of_a_pointer_do_not_count() -> None:
    image = endpoint().put(0x34, 0x63, 1)
    assert names(Bytes(bytes(image.data)).walk())[0] == "CAP_EXP"


def test_unknown_capabilities_go_by_number() -> None:
    image = Image("00:00.0", "test").header(0x8086, 1, 0).express(0x40, ENDPOINT).capability(0x80, 0x15).extended(0x100, 0x0ABC)
    assert names(Bytes(bytes(image.data)).walk()) == ["CAP_EXP", "CAP15", "ECAPabc"]


def broken(image: Image, size: int = 4096) -> tuple[list[str], str]:
    chain = Bytes(bytes(image.data[:size])).walk()
    assert len(chain.complaints) == 1
    return names(chain), chain.complaints[0]


def test_a_loop_in_the_standard_list_is_said() -> None:
    found, complaint = broken(endpoint().put(0x9D, 0x60, 1))
    assert found == ["CAP_EXP", "CAP_MSIX", "ECAP_AER", "ECAP_DSN"]
    assert "loops back to 60h" in complaint


def test_a_loop_in_the_extended_list_is_said() -> None:
    found, complaint = broken(endpoint().put(0x150, 0x0003 | 1 << 16 | 0x100 << 20, 4))
    assert found[-1] == "ECAP_DSN"
    assert "loops back to 100h" in complaint


@pytest.mark.parametrize("pointer", [0x04, 0x3C])
def test_a_pointer_into_the_header_is_not_followed(pointer: int) -> None:
    found, complaint = broken(endpoint().put(0x61, pointer, 1))
    assert found[0] == "CAP_EXP"
    assert f"leads to {pointer:02x}h" in complaint


def test_an_extended_pointer_below_100h_is_not_followed() -> None:
    found, complaint = broken(endpoint().put(0x150, 0x0003 | 1 << 16 | 0x60 << 20, 4))
    assert found[-1] == "ECAP_DSN"
    assert "leads to 60h" in complaint


def test_id_ff_breaks_the_list() -> None:
    found, complaint = broken(endpoint().put(0x9C, 0xFF, 1))
    assert found == ["CAP_EXP", "ECAP_AER", "ECAP_DSN"]
    assert "broken at 9ch" in complaint


def test_an_extended_pointer_to_nothing_is_said() -> None:
    _, complaint = broken(endpoint().put(0x150, 0x0003 | 1 << 16 | 0x800 << 20, 4))
    assert "800h, where there is nothing" in complaint


@pytest.mark.parametrize("word", [0, 0xFFFFFFFF])
def test_an_absent_extended_list_is_nothing_wrong(word: int) -> None:
    chain = Bytes(bytes(endpoint().put(0x100, word, 4).data)).walk()
    assert names(chain) == ["CAP_EXP", "CAP_MSIX"]
    assert chain.complaints == ()


def test_an_image_of_64_bytes_ends_before_the_list() -> None:
    found, complaint = broken(endpoint(), 64)
    assert found == []
    assert "ends before the capability at 60h" in complaint


def test_an_image_of_256_bytes_has_the_standard_list_alone() -> None:
    chain = Bytes(bytes(endpoint().data[:256])).walk()
    assert names(chain) == ["CAP_EXP", "CAP_MSIX"]
    assert chain.complaints == ()


def test_an_image_cut_within_extended_space_is_said() -> None:
    found, complaint = broken(endpoint(), 0x150)
    assert found[-1] == "ECAP_AER"
    assert "ends before the extended capability at 150h" in complaint


@pytest.mark.parametrize("size", [0, 1, 6, 14, 52])
def test_an_image_cut_within_the_header_is_said(size: int) -> None:
    assert broken(endpoint(), size) == ([], "the image ends within the header")


def test_an_unknown_header_type_is_said() -> None:
    _, complaint = broken(endpoint().put(0x0E, 0x7F, 1))
    assert "header type 0x7f" in complaint


def test_all_ones_is_no_list() -> None:
    assert Bytes(b"\xff" * 4096).walk() == Chain()


def test_a_short_read_counts_as_the_end() -> None:
    data = bytes(endpoint().data)
    chain = walk(lambda offset, length: data[offset : offset + length] if offset < 0x100 else b"", 4096)
    assert names(chain) == ["CAP_EXP", "CAP_MSIX"]
    assert "ends before the extended capability at 100h" in chain.complaints[0]


def test_errors_of_the_reader_pass_through() -> None:
    def read(offset: int, length: int) -> bytes:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        walk(read, 4096)


def check(image: Bytes) -> None:
    chain = image.walk()
    offsets = [c.offset for c in chain.capabilities]
    assert len(set(offsets)) == len(offsets)
    assert all(0x100 <= c.offset < 0x1000 if c.extended else 0x40 <= c.offset < 0x100 for c in chain.capabilities)
    assert len(chain.complaints) <= 2
    assert len(image.reads) <= 4 + 48 + 960


@given(st.binary(max_size=4096))
def test_random_bytes_are_survived(data: bytes) -> None:
    check(Bytes(data))


@given(
    pointers=st.lists(st.tuples(st.integers(0, 63), st.integers(0, 255), st.integers(0, 255)), max_size=64),
    heads=st.lists(st.tuples(st.integers(0, 1023), st.integers(0, 0xFFFFFFFF)), max_size=64),
    first=st.integers(0, 255),
    size=st.sampled_from([64, 65, 255, 256, 260, 4095, 4096]),
)
def test_hostile_lists_are_survived(pointers: list[tuple[int, int, int]], heads: list[tuple[int, int]], first: int, size: int) -> None:
    image = Image("00:00.0", "hostile").express(0x40, ENDPOINT).put(6, 0x0010, 2).put(0x34, first, 1)
    for slot, id, pointer in pointers:
        image.put(4 * slot, id | pointer << 8, 2)
    for slot, head in heads:
        image.put(4 * slot, head, 4)
    image.put(6, 0x0010, 2).put(0x34, first, 1).put(0x0E, 0, 1)
    check(Bytes(bytes(image.data[:size])))
