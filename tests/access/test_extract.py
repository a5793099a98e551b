"""What is read for a bundle: rows that the tables know something of, and no byte elsewhere."""

from __future__ import annotations

import pytest
from support.board import END, board
from support.machine import bench

from pcifma.access.capture import parse_capture
from pcifma.access.extract import extract
from pcifma.access.rows import format_device
from pcifma.errors import BusyError
from pcifma.regs.bdf import Bdf

PLACE = Bdf.parse(END)


def test_header_capabilities_and_declared_registers_are_there_and_nothing_else_is_read() -> None:
    on = bench(*board())
    space = on.space(END)

    rows = extract(space)

    assert isinstance(rows, dict)
    assert {0x00, 0x30, 0x40, 0x70, 0x100, 0x130} <= rows.keys()
    assert all(row == bytes(space.data[at : at + 16]) for at, row in rows.items())
    read = {at for offset, length in space.reads for at in range(offset, offset + length)}
    assert not read & {*range(0x80, 0x100), *range(0x160, 0x1000)}


def test_text_of_it_is_a_capture_without_complaint() -> None:
    rows = extract(bench(*board()).space(END))
    assert isinstance(rows, dict)

    capture = parse_capture(format_device(PLACE, "0200: 15b3:1017", rows).encode(), "bundle")

    assert capture.complaints == ()
    assert capture.configs[PLACE].read(0x104, 4) == rows[0x100][4:8]


@pytest.mark.parametrize(("size", "expected"), [(64, {0, 16, 32, 48}), (256, {0, 16, 32, 48, 0x40, 0x50, 0x60, 0x70})])
def test_what_ends_early_is_read_as_far_as_it_goes(size: int, expected: set[int]) -> None:
    rows = extract(bench(*board(), size=size).space(END))

    assert isinstance(rows, dict)
    assert rows.keys() == expected


def test_function_that_is_gone_or_busy_has_no_rows_but_a_reason() -> None:
    on = bench(*board())
    on.space(END).fails = BusyError("no answer")
    assert extract(on.space(END)) == "busy"
    on.space(END).fails = None
    on.space(END).data[:] = b"\xff" * 4096
    assert extract(on.space(END)) == "gone"
