"""Addresses to Functions: windows bound what BARs leave open."""

from __future__ import annotations

import pytest
from support.board import DOWN, END, ROOT, UP, board
from support.machine import bench

from pcifma.fabric.address import owner
from pcifma.fabric.build import build
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.window import bars, windows


@pytest.fixture
def fabric() -> Fabric:
    images = {image.bdf: image for image in board()}
    for bridge in (ROOT, UP, DOWN):
        images[bridge].put(0x20, 0xF000, 2).put(0x22, 0xF0F0, 2)  # f0000000 to f0ffffff
        images[bridge].put(0x24, 0xC001, 2).put(0x26, 0xC0F1, 2).put(0x28, 0xFB, 4).put(0x2C, 0xFB, 4)  # fb_c0000000 to fb_c0ffffff
    images[END].put(0x10, 0xF0000000, 4).put(0x14, 0xC000000C, 4).put(0x18, 0xFB, 4).put(0x1C, 0xE001, 4)
    return build(bench(*images.values()).machine)


def test_bars_are_memory_ones_and_wide_ones_whole(fabric: Fabric) -> None:
    function = next(f for f in fabric if str(f.bdf) == END)
    assert function.bars == (0xF0000000, 0xFBC0000000)


def test_windows_are_whole_megabytes(fabric: Fabric) -> None:
    port = next(f for f in fabric if str(f.bdf) == ROOT)
    assert port.windows == ((0xF0000000, 0xF0FFFFFF), (0xFBC0000000, 0xFBC0FFFFFF))


@pytest.mark.parametrize("address", [0xF0000000, 0xF0FFFFFF, 0xFBC0001040])
def test_address_in_a_window_belongs_to_the_function_below(fabric: Fabric, address: int) -> None:
    found = owner(fabric, address)
    assert found is not None
    assert str(found.bdf) == END


@pytest.mark.parametrize("address", [0, 0x1000, 0xEFFFFFFF, 0xF1000000, 0xFBBFFFFFFF])
def test_address_outside_every_window_belongs_to_nobody(fabric: Fabric, address: int) -> None:
    assert owner(fabric, address) is None


def test_closed_window_and_empty_bar_are_none() -> None:
    header = bytearray(64)
    header[0x20:0x24] = b"\xf0\xff\x00\x00"
    assert windows(bytes(header), 1) == ()
    assert windows(bytes(header), 0) == ()
    assert bars(bytes(64), 0) == ()
