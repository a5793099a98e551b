from __future__ import annotations

import pytest
from lab.expect import ERRORS, Registers, classes, parse


def express(kind: int, *, bridge: bool = False) -> bytearray:
    data = bytearray(4096)
    data[0x06] = 0x10
    data[0x0E] = int(bridge)
    data[0x34] = 0x40
    data[0x40:0x44] = bytes((0x10, 0, 2 | kind << 4, 0))
    data[0x100:0x104] = (0x0001 | 2 << 16 | 0x148 << 20).to_bytes(4, "little")
    data[0x148:0x14C] = (0x000D | 1 << 16).to_bytes(4, "little")
    return data


def test_nothing_set_expects_nothing() -> None:
    assert classes(Registers(bytes(express(0)))) == []


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.name)
def test_each_bit_expects_its_class(error: object) -> None:
    data = express(0)
    for row in ERRORS:
        if row is error:
            place = 0x110 if row.correctable else 0x104
            data[place : place + 4] = (1 << row.bit).to_bytes(4, "little")
            assert classes(Registers(bytes(data))) == [f"pciex.{row.leaf}"]


def test_device_status_speaks_where_no_aer_bit_explains_it() -> None:
    data = express(0)
    data[0x4A] = 0b0101
    data[0x110] = 0x01
    assert classes(Registers(bytes(data))) == ["pciex.fatal", "pciex.pl.re"]


def test_each_root_status_bit_expects_its_message() -> None:
    data = express(4, bridge=True)
    data[0x130] = 0x75
    assert classes(Registers(bytes(data))) == [f"pciex.rc.{name}-msg" for name in ("ce", "fe", "ffe", "nfe", "ue")]


def test_secondary_status_is_read_of_bridges_alone() -> None:
    for bridge, expected in ((True, ["pci.sec-rserr"]), (False, [])):
        data = express(6, bridge=bridge)
        data[0x1F] = 0x40
        assert classes(Registers(bytes(data))) == expected


def test_parse_splits_functions() -> None:
    found = parse("0000:00:01.0 PCI bridge: x\n00: f4 1a\n10: 00\n\n0001:02:00.0 Other\n00: 86 80\nff0: 01 02\n")
    assert list(found) == ["0000:00:01.0", "0001:02:00.0"]
    assert found["0001:02:00.0"].word(0) == 0x8086
