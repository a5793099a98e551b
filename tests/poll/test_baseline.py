"""A new baseline after a repair: what is latched then is no news, what comes after is, and no uuid is used twice."""

from __future__ import annotations

import pytest
from support.board import CORRECTABLE, DEVICE_STATUS, END, board
from support.machine import Bench, bench

from pcifma.event.ereport import Ereport
from pcifma.event.value import FABRIC_CLASS
from pcifma.fabric.build import build
from pcifma.plugin import Bdf
from pcifma.plugin.loader import builtin
from pcifma.poll.latched import LatchedSet
from pcifma.poll.poller import Poller

SECOND_NS = 1_000_000_000
RECEIVER, BAD_TLP, BAD_DLLP = 1, 0x40, 0x80
PLACE = Bdf.parse(END)


@pytest.fixture
def on() -> Bench:
    return bench(*board())


@pytest.fixture
def poller(on: Bench) -> Poller:
    poller = Poller(on.machine, build(on.machine), builtin(("pcie_aer", "pci_status")))
    look(on, poller)
    return poller


def look(on: Bench, poller: Poller) -> list[Ereport]:
    on.clock.wait_until(on.clock.boot_ns() + SECOND_NS)
    return [event for event in poller.look().ereports if event.class_ != FABRIC_CLASS]


def latch(on: Bench, bits: int) -> None:
    on.space(END).put(CORRECTABLE, bits, 4)
    on.space(END).put(DEVICE_STATUS, bool(bits), 2)


def test_bits_that_stood_are_no_news_and_what_was_unseen_is_part_of_the_baseline(on: Bench, poller: Poller) -> None:
    latch(on, BAD_TLP)
    (before,) = look(on, poller)
    latch(on, BAD_TLP | RECEIVER)
    poller.examine(PLACE, rebase=True)

    (found,) = look(on, poller)

    assert (found.payload["bit"], found.first_look, found.severity, found.payload["baseline"]) == (0, True, "info", "repair")
    assert found.not_before is not None
    assert not found.is_error
    assert before.uuid != found.uuid
    assert look(on, poller) == []


def test_same_error_after_it_is_news_under_a_new_uuid(on: Bench, poller: Poller) -> None:
    seen = []
    for _ in range(3):
        latch(on, BAD_TLP)
        (event,) = look(on, poller)
        seen.append(event.uuid)
        poller.examine(PLACE, rebase=True)
        assert look(on, poller) == []
        latch(on, 0)
        assert look(on, poller) == []

    assert len(set(seen)) == 3
    assert (event.severity, event.first_look, "baseline" in event.payload) == ("correctable", False, False)


def test_baseline_outlives_a_restart(on: Bench, poller: Poller) -> None:
    latch(on, BAD_TLP)
    rows = []
    on.clock.wait_until(on.clock.boot_ns() + SECOND_NS)
    first = poller.look()
    poller.examine(PLACE, rebase=True)
    latch(on, BAD_TLP | BAD_DLLP)
    on.clock.wait_until(on.clock.boot_ns() + SECOND_NS)
    rows = [*first.latched, *poller.look().latched]
    again = Poller(
        on.machine, build(on.machine), builtin(("pcie_aer", "pci_status")), latched=LatchedSet("boot", rows, poller.latched.baselines())
    )

    assert look(on, again) == []
    latch(on, 0)
    look(on, again)
    latch(on, BAD_DLLP)
    (event,) = look(on, again)
    assert event.uuid not in {e.uuid for e in first.ereports}
    assert (event.severity, event.first_look) == ("correctable", False)


def test_function_that_is_away_takes_its_baseline_when_it_is_back(on: Bench, poller: Poller) -> None:
    space = on.space(END)
    before = bytes(space.data)
    space.data[:] = b"\xff" * len(space.data)
    look(on, poller)
    poller.examine(PLACE, rebase=True)
    look(on, poller)
    space.data[:] = before
    latch(on, BAD_TLP)

    found = [event for _ in range(3) for event in look(on, poller) if event.class_.endswith("btlp")]

    assert [event.payload.get("baseline") for event in found] == ["repair"]
