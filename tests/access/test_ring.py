"""Ring buffer pages and tracepoint formats: as kernels write them, and as nobody would."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcifma.access.ring import Layout, parse_page
from pcifma.access.tracepoint import parse_format
from pcifma.errors import FormatError

HEADER_PAGE = """\
\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;
\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;
\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;
\tfield: char data;\toffset:16;\tsize:4080;\tsigned:0;
"""
FORMAT = """\
name: aer_event
ID: 1224
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:__data_loc char[] dev_name;\toffset:8;\tsize:4;\tsigned:1;
\tfield:u32 status;\toffset:12;\tsize:4;\tsigned:0;
\tfield:u8 severity;\toffset:16;\tsize:1;\tsigned:0;
\tfield:u8 tlp_header_valid;\toffset:17;\tsize:1;\tsigned:0;
\tfield:u32 tlp_header[4];\toffset:20;\tsize:16;\tsigned:0;

print fmt: "%s", __get_str(dev_name)
"""
LAYOUT = Layout.parse(HEADER_PAGE, "header_page")

pytestmark = pytest.mark.skipif(sys.byteorder != "little", reason="the pages below are made for a little-endian machine")


def word(value: int, size: int = 4) -> bytes:
    return value.to_bytes(size, "little")


def page(*events: bytes, stamp: int = 1000, flags: int = 0, behind: bytes = b"") -> bytes:
    data = b"".join(events)
    return (word(stamp, 8) + word(len(data) | flags, 8) + data + behind).ljust(4096, b"\0")


def small(data: bytes, delta: int = 5) -> bytes:
    return word(len(data) // 4 | delta << 5) + data


def test_events_have_their_times_and_data() -> None:
    found = parse_page(page(small(b"abcd"), small(b"efghijkl", 7)), LAYOUT)
    assert found.events == ((1005, b"abcd"), (1012, b"efghijkl"))
    assert found.lost == 0


def test_long_event_has_its_length_in_the_next_word() -> None:
    data = bytes(range(200))
    found = parse_page(page(word(0 | 3 << 5) + word(len(data) + 4) + data, small(b"next")), LAYOUT)
    assert found.events == ((1003, data), (1008, b"next"))


def test_time_extends_and_absolute_stamps_move_the_clock() -> None:
    extend, stamp = word(30 | 1 << 5) + word(2), word(31 | 9 << 5) + word(1)
    found = parse_page(page(extend, small(b"abcd", 0), stamp, small(b"efgh", 0)), LAYOUT)
    assert [at for at, _ in found.events] == [1000 + 1 + (2 << 27), 9 + (1 << 27)]


def test_padding_is_passed_over_and_ends_the_page() -> None:
    found = parse_page(page(word(29 | 1 << 5) + word(8) + b"xxxx", small(b"abcd"), word(29), small(b"gone")), LAYOUT)
    assert [data for _, data in found.events] == [b"abcd"]


def test_lost_events_are_counted() -> None:
    assert parse_page(page(small(b"abcd"), flags=1 << 31), LAYOUT).lost == 1
    assert parse_page(page(small(b"abcd"), flags=1 << 31 | 1 << 30, behind=word(77, 8)), LAYOUT).lost == 77


@given(st.binary(max_size=300), st.binary(min_size=16, max_size=16))
def test_any_page_ends(data: bytes, head: bytes) -> None:
    found = parse_page(head + data, LAYOUT)
    assert sum(len(event) for _, event in found.events) <= len(data)


def test_format_gives_the_fields_of_a_record() -> None:
    event = parse_format(FORMAT, "format")
    record = bytearray(48)
    record[8:12] = word(36 | 12 << 16)
    record[12:16], record[16], record[17] = word(0x40000), 1, 1
    record[20:36] = b"".join(word(n) for n in (1, 2, 3, 0xDEADBEEF))
    record[36:48] = b"0000:04:00.0"
    assert event.id == 1224
    assert event.fields(bytes(record)) == {
        "dev_name": "0000:04:00.0", "status": "262144", "severity": "1", "tlp_header_valid": "1", "tlp_header": "1,2,3,3735928559",
    }  # fmt: skip


def test_fields_of_later_kernels_come_along() -> None:
    later = FORMAT.replace("tlp_header[4];\toffset:20;\tsize:16", "tlp_header[14];\toffset:20;\tsize:56")
    later = later.replace("\nprint", "\tfield:char bus_type[8];\toffset:76;\tsize:8;\tsigned:0;\n\nprint")
    record = bytes(20) + b"".join(word(n) for n in range(14)) + b"PCIe\0\0\0\0"
    fields = parse_format(later, "format").fields(record)
    assert fields["tlp_header"].count(",") == 13
    assert fields["bus_type"] == "PCIe"


def test_cut_record_keeps_what_is_there() -> None:
    assert set(parse_format(FORMAT, "format").fields(bytes(17))) == {"dev_name", "status", "severity"}


def test_text_that_is_no_format_is_refused() -> None:
    with pytest.raises(FormatError, match="x:1: no tracepoint format"):
        parse_format("hello", "x")
    with pytest.raises(FormatError, match="x:1: no page header"):
        Layout.parse("hello", "x")
