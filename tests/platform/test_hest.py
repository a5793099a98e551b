"""HEST by hand and by chance: entries of every size, and bytes of no sense."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pcifma.platform import hest
from pcifma.regs.bdf import Bdf


def table(*entries: bytes) -> bytes:
    return b"HEST".ljust(36, b"\0") + len(entries).to_bytes(4, "little") + b"".join(entries)


def entry(kind: int, size: int, *, flags: int = 0, enabled: int = 1, address: tuple[int, int, int] = (0, 0, 0), notify: int = 0) -> bytes:
    data = bytearray(size)
    data[0], data[6], data[7] = kind, flags, enabled
    if kind in (6, 7, 8):
        data[16:20], data[20], data[22] = address[0].to_bytes(4, "little"), address[1], address[2]
    elif kind in (9, 10):
        data[32] = notify
    return bytes(data)


def machine_check(banks: int) -> bytes:
    data = bytearray(40 + 28 * banks)
    data[32], data[7] = banks, 1
    return bytes(data)


def test_entries_of_every_type_are_followed() -> None:
    found = hest.parse(table(machine_check(3), entry(2, 20), entry(6, 48), entry(7, 44), entry(8, 56), entry(9, 64), entry(10, 92)))
    assert [s.kind for s in found.sources] == [0, 2, 6, 7, 8, 9, 10]
    assert found.damage == ""


def test_only_firmware_first_and_generic_sources_are_signs() -> None:
    found = hest.parse(table(entry(6, 48), entry(6, 48, flags=3), entry(9, 64, notify=4), machine_check(0)))
    assert list(hest.named(found.signs())) == ["AER Root Port (all), firmware first", "generic source (GHES), NMI"]


def test_address_of_a_source_has_its_segment() -> None:
    found = hest.parse(table(entry(7, 44, flags=1, address=(0x0001_04, 2, 1))))
    assert found.sources[0].device == Bdf(1, 4, 2, 1)
    assert found.sources[0].text == "AER Endpoint (0001:04:02.1), firmware first"


def test_unknown_type_ends_the_walk_and_is_said() -> None:
    found = hest.parse(table(entry(6, 48, flags=1), b"\x55\0" + bytes(30)))
    assert len(found.sources) == 1
    assert found.damage == "entry 1 at byte 88 cannot be followed"


def test_same_sign_is_named_once_with_its_number() -> None:
    found = hest.parse(table(*[entry(9, 64)] * 3))
    assert list(hest.named(found.signs())) == ["generic source (GHES), polled x3"]


@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_end_in_a_table(data: bytes, headed: bool) -> None:
    found = hest.parse(b"HEST" + data if headed else data)
    assert len(found.sources) <= len(data)
