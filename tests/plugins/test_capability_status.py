"""Capabilities with a status register of their own: PRI, IDE, DOE, CXL, slots. Each bit is told, of each instance."""

from __future__ import annotations

import pytest
from support.image import DOWNSTREAM, ENDPOINT, Image
from support.sweep import sweep, told

BDF = "0000:04:00.0"
AT, NEXT = 0x160, 0x200


def card(*capabilities: tuple[int, int]) -> Image:
    image = Image(BDF, "Card").header(0x15B3, 0x1017, 0x020000).express(0x40, ENDPOINT).aer()
    for offset, number in capabilities:
        image.extended(offset, number)
    return image


@pytest.mark.parametrize(("bit", "leaf"), [(0, "rf"), (1, "uprgi")])
def test_failed_page_requests_are_told(bit: int, leaf: str) -> None:
    image = card((AT, 0x13)).put(AT + 4, 1, 2).put(AT + 6, 1 << bit | 0x8100, 2)
    events = sweep("pcie_pri", image)
    assert told(events) == [(BDF, f"io.pciex.pri.{leaf}", bit)]
    assert (events[0].payload["pri-control"], events[0].payload["stopped"]) == (1, True)
    assert sweep("pcie_pri", image.put(AT + 6, 0x8100, 2)) == []


def test_each_mailbox_in_error_is_told() -> None:
    image = card((AT, 0x2E), (NEXT, 0x2E)).put(AT + 0xC, 0x8000_0003, 4).put(NEXT + 0xC, 0x4, 4)
    events = sweep("pcie_doe", image)
    assert told(events) == [(BDF, "io.pciex.doe.err", 2)]
    assert (events[0].payload["mailbox"], events[0].payload["register"]) == (1, "ECAP2e+c.l@1")


def test_failed_integrity_check_names_its_stream() -> None:
    # Two Link streams, and two Selective ones of which the first has two address blocks.
    image = card((AT, 0x30)).put(AT + 4, 0x3 | 1 << 13 | 1 << 16, 4).put(AT + 0x1C, 2, 4)
    for offset in (0x10, 0x18, 0x24, 0x50):
        image.put(AT + offset, 1 << 31 | 2, 4)
    assert [(e.payload["stream"], e.payload["register"]) for e in sweep("pcie_ide", image)] == [
        ("Link 0", "ECAP30+10.l"),
        ("Link 1", "ECAP30+18.l"),
        ("Selective 0", "ECAP30+24.l"),
        ("Selective 1", "ECAP30+50.l"),
    ]


def test_secure_streams_are_quiet() -> None:
    image = card((AT, 0x30)).put(AT + 4, 0x3, 4).put(AT + 0x10, 2, 4)
    assert sweep("pcie_ide", image) == []


def cxl(dvsec: int, *, vendor: int = 0x1E98) -> Image:
    return card((AT, 0x23), (NEXT, 0x23)).put(AT + 4, 0x0040_8086, 4).put(NEXT + 4, 0x0380_0000 | vendor, 4).put(NEXT + 8, dvsec, 2)


@pytest.mark.parametrize(
    ("dvsec", "offset", "bit", "leaf", "severity"),
    [
        (0, 0xE, 14, "viral", "fatal"),
        (0, 0x12, 2, "rst", "nonfatal"),
        (0, 0x12, 3, "vhdm", "nonfatal"),
        (3, 0xA, 14, "viral", "fatal"),
        (7, 0xE, 9, "fb-ue", "nonfatal"),
        (7, 0xE, 10, "fb-drop", "correctable"),
    ],
)
def test_cxl_errors_are_told_of_the_form_that_has_them(dvsec: int, offset: int, bit: int, leaf: str, severity: str) -> None:
    events = sweep("cxl", cxl(dvsec).put(NEXT + offset, 1 << bit | (0x8003 if offset == 0x12 else 1 * (dvsec != 0)), 2))
    assert [(e.class_, e.severity, e.payload["bit"]) for e in events] == [(f"ereport.io.cxl.{leaf}", severity, bit)]
    assert str(events[0].payload["register"]).endswith("@1")


@pytest.mark.parametrize(("dvsec", "vendor"), [(2, 0x1E98), (8, 0x1E98), (0, 0x8086)])
def test_other_dvsecs_are_not_looked_into(dvsec: int, vendor: int) -> None:
    assert sweep("cxl", cxl(dvsec, vendor=vendor).put(NEXT + 0xA, 0xFFFF_FFFF, 4).put(NEXT + 0xE, 0xFFFF, 2)) == []


def port(*, slot: int | None) -> Image:
    image = Image(BDF, "Port").header(0x104C, 0x8233, 0x060400, header_type=1).buses(4, 5, 5)
    return image.express(0x40, DOWNSTREAM, slot=slot).put(0x40 + 0x1A, 0x0042, 2)


def test_power_fault_names_the_slot() -> None:
    events = sweep("pcie_slot", port(slot=7))
    assert told(events) == [(BDF, "io.pciex.slot.pf", 1)]
    assert (events[0].payload["slot"], events[0].payload["slot-status"]) == (7, 0x42)


def test_presence_and_link_changes_are_no_errors() -> None:
    assert sweep("pcie_slot", port(slot=7).put(0x40 + 0x1A, 0x017D, 2)) == []


def test_port_without_a_slot_has_no_slot_status() -> None:
    assert sweep("pcie_slot", port(slot=None)) == []
