"""Lanes, retimers, equalization requests and flits: named, told apart from training's litter, counted only where counters run."""

from __future__ import annotations

import pytest
from support.dump import CORPUS, needs_corpus
from support.image import ENDPOINT, Image
from support.machine import bench
from support.sweep import Sweep, sweep, told

from pcifma.access.open import open_source
from pcifma.event.ereport import Ereport
from pcifma.fabric.build import build
from pcifma.plugin.loader import builtin
from pcifma.poll.poller import Poller

CARD = "0000:04:00.0"
LINK_STATUS, LINK_STATUS_2 = 0x40 + 0x12, 0x40 + 0x32
SECPCI, PL16, PL32, PL64, FLIT = 0x160, 0x180, 0x1C0, 0x200, 0x240
LANE_ERRORS, LOCAL, FIRST, SECOND = SECPCI + 8, PL16 + 0x10, PL16 + 0x14, PL16 + 0x18
RETIMERS = 1 << 6 | 1 << 7


def card() -> Image:
    image = Image(CARD, "Card").header(0x15B3, 0x1017, 0x020000).express(0x40, ENDPOINT).aer()
    for offset, number in ((SECPCI, 0x19), (PL16, 0x26), (PL32, 0x2A), (PL64, 0x31), (FLIT, 0x32)):
        image.extended(offset, number)
    return image


def one(image: Image) -> Ereport:
    found = sweep("pcie_link", image)
    assert len(found) == 1, told(found)
    return found[0]


def test_card_without_errors_is_quiet() -> None:
    assert sweep("pcie_link", card()) == []


def test_single_lane_is_named_and_no_residue() -> None:
    event = one(card().put(LANE_ERRORS, 1 << 2, 4))
    assert (event.class_, event.severity, event.residue) == ("ereport.io.pciex.pl.lane", "correctable", False)
    assert (event.payload["lane"], event.payload["lanes"], event.payload["width"]) == (2, [2], 4)
    assert event.payload["name"] == "Lane 2 Error"


def test_all_active_lanes_at_once_are_what_training_leaves() -> None:
    found = sweep("pcie_link", card().put(LANE_ERRORS, 0xF, 4))
    assert [(e.payload["lane"], e.residue, e.severity) for e in found] == [(n, True, "info") for n in range(4)]


@pytest.mark.parametrize("lanes", [0x7, 0x1F, 0xF0])
def test_some_of_the_lanes_or_others_are_not(lanes: int) -> None:
    assert not any(e.residue for e in sweep("pcie_link", card().put(LANE_ERRORS, lanes, 4)))


def test_lanes_that_err_after_the_first_look_are_news() -> None:
    on = bench(card())
    of = Sweep(on, "pcie_link")
    assert of.look() == []
    on.space(CARD).put(LANE_ERRORS, 0xF, 4)
    assert [(e.severity, e.residue) for e in of.look(31)] == [("correctable", False)] * 4


@pytest.mark.parametrize(("register", "leaf"), [(LOCAL, "pm"), (FIRST, "rt1-pm"), (SECOND, "rt2-pm")])
def test_parity_mismatch_names_the_side_that_saw_it(register: int, leaf: str) -> None:
    event = one(card().put(register, 1 << 3, 4).put(LINK_STATUS_2, RETIMERS, 2))
    assert (event.class_, event.severity, event.payload["lane"]) == (f"ereport.io.pciex.pl.{leaf}", "correctable", 3)


def test_mismatch_of_a_retimer_that_is_not_there_is_information() -> None:
    found = sweep("pcie_link", card().put(FIRST, 8, 4).put(SECOND, 8, 4).put(LINK_STATUS_2, 1 << 6, 2))
    assert [(e.severity, e.payload["retimer-detected"]) for e in found] == [("correctable", True), ("info", False)]


@pytest.mark.parametrize(("register", "bit"), [(LINK_STATUS_2, 5), (PL16 + 0xC, 4), (PL32 + 0xC, 4), (PL64 + 0xC, 4)])
def test_request_to_equalize_again_is_told_for_each_rate(register: int, bit: int) -> None:
    event = one(card().put(register, 1 << bit | 0xF if bit == 4 else 1 << bit | 0x1E, 2))
    assert (event.class_, event.payload["bit"]) == ("ereport.io.pciex.pl.eqreq", bit)


def test_flit_that_was_logged_says_whether_it_was_corrected() -> None:
    event = one(card().put(FLIT + 4, 0xABCD_8000 | 1 << 13 | 3 << 8 | 5 << 4 | 2 << 1 | 1, 4).put(FLIT + 8, 0x1234, 4))
    assert (event.class_, event.severity) == ("ereport.io.pciex.pl.flit", "correctable")
    wanted = {"fec-uncorrectable": True, "unrecognized": False, "more": True, "link-width": 2, "offset": 5, "consecutive": 3}
    assert {key: event.payload[key] for key in wanted} == wanted


def test_counters_that_are_off_say_nothing() -> None:
    assert sweep("pcie_link", card().put(FLIT + 0xE, 7 << 8, 2).put(FLIT + 0x18, 9, 4).put(FLIT + 0x1C, 5, 4)) == []


def test_running_counters_tell_exact_counts_and_begin_again_when_cleared() -> None:
    on = bench(card().put(FLIT + 0xC, 1, 2).put(FLIT + 0x10, 1, 4))
    of = Sweep(on, "pcie_link")
    assert of.look() == []
    on.space(CARD).put(FLIT + 0xE, 7 << 8 | 2, 2)
    on.space(CARD).put(FLIT + 0x18, 9, 4)
    on.space(CARD).put(FLIT + 0x20, 4 << 16 | 1, 4)
    found = [(e.class_.rpartition(".")[2], e.payload["name"], e.count, e.severity, e.sources) for e in of.look(31)]
    assert found == [
        ("flit-cnt", "Flit Error Counter", 7, "correctable", ["counter"]),
        ("flit-inv", "Invalid Flit Counter", 9, "correctable", ["counter"]),
        ("fber", "Lane #2 Correctable Counter", 1, "info", ["counter"]),
        ("fber", "Lane #3 Correctable Counter", 4, "info", ["counter"]),
    ]
    on.space(CARD).put(FLIT + 0xE, 2 << 8, 2)
    assert [(e.class_.rpartition(".")[2], e.count) for e in of.look(31)] == [("flit-cnt", 2)]


@needs_corpus
def test_real_lane_of_a_slowed_drive_is_found_and_its_absent_retimers_are_not() -> None:
    machine = open_source(str(CORPUS / "pciutils/cap-phy32.txt"))
    found = Poller(machine, build(machine), builtin(("pcie_link",))).look().ereports[1:]
    assert [(e.class_.rpartition(".")[2], e.severity) for e in found] == [
        ("speed", "info"),
        ("pm", "correctable"),
        ("rt1-pm", "info"),
        ("rt2-pm", "info"),
    ]
