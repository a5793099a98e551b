"""Linux serves errors while a poller looks, in any order of looks, counters, records, clearing and link resets: each is told once."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
from support.board import DEVICE_STATUS, END, UNCORRECTABLE, board
from support.machine import Bench, bench

from pcifma.access.seam import Record
from pcifma.event.ereport import Ereport
from pcifma.fabric.build import build, update
from pcifma.plugin.loader import builtin
from pcifma.poll.poller import Poller
from pcifma.regs.bdf import Bdf

SECOND = 1_000_000_000
SYSFS = f"/sys/bus/pci/devices/{END}"
# Bits of Uncorrectable Error Status, the kernel's name of each in its counters, and the class.
ERRORS = {
    12: ("TLP", "tl.ptlp"), 14: ("CmpltTO", "tl.cto"), 15: ("CmpltAbrt", "tl.ca"), 19: ("ECRC", "tl.ecrc"), 21: ("ACSViol", "tl.acsv"),
}  # fmt: skip
SOURCES = ("pcie_aer", "aer_listen", "aer_counters")


@dataclass
class Linux:
    """The AER service of a host, as far as a poller sees it: it reads what stands, counts and tells all of it, and may clear it."""

    on: Bench
    counts: Counter[str]
    status: int = 0

    def latch(self, bit: int, shadow: int = 2) -> None:
        self._put(UNCORRECTABLE, self._get(UNCORRECTABLE, 4) | 1 << bit, 4)
        self._put(DEVICE_STATUS, self._get(DEVICE_STATUS, 2) | shadow, 2)

    def serve(self) -> None:
        self.status = self._get(UNCORRECTABLE, 4)
        self.counts.update(name for bit, (name, _) in ERRORS.items() if self.status >> bit & 1)
        rows = [f"{name} {self.counts[name]}" for name, _ in ERRORS.values()]
        self.on.facts.files[f"{SYSFS}/aer_dev_nonfatal"] = "\n".join([*rows, f"TOTAL_ERR_NONFATAL {self.counts.total()}"]).encode()

    def say(self) -> None:
        fields = {"dev_name": END, "status": f"{self.status:#x}", "severity": "0", "tlp_header_valid": "0"}
        if self.status:
            self.on.facts.records.append(Record("aer_event", fields, self.on.clock.boot_ns()))

    def say_fatal(self) -> None:
        fields = {"dev_name": END, "status": "0x0", "severity": "1", "tlp_header_valid": "0"}
        self.on.facts.records.append(Record("aer_event", fields, self.on.clock.boot_ns()))

    def wipe(self, bit: int) -> None:
        self.status = 1 << bit
        self.clear()

    def answer(self, answers: int | None) -> None:
        self.on.space(END).answers = answers

    def clear(self) -> None:
        self._put(UNCORRECTABLE, self._get(UNCORRECTABLE, 4) & ~self.status, 4)
        self._put(DEVICE_STATUS, 0, 2)

    def _get(self, offset: int, width: int) -> int:
        return int.from_bytes(self.on.space(END).data[offset : offset + width], "little")

    def _put(self, offset: int, value: int, width: int) -> None:
        self.on.space(END).put(offset, value, width)


def booted(seed: int) -> tuple[Bench, Poller]:
    """A machine and its poller, which takes every other one's looks in parts."""
    on = bench(*board())
    for name in ("correctable", "nonfatal", "fatal"):
        on.facts.files[f"{SYSFS}/aer_dev_{name}"] = b"TOTAL 0\n"
    on.facts.files |= {f"{SYSFS}/vendor": b"0x%04x" % vendor(on, 0), f"{SYSFS}/device": b"0x%04x" % vendor(on, 2)}
    return on, Poller(on.machine, build(on.machine), builtin(SOURCES), streams=("aer_event",), span_s=(math.inf, 0.0)[seed % 2])


def vendor(on: Bench, offset: int) -> int:
    return int.from_bytes(on.space(END).data[offset : offset + 2], "little")


def happenings(draw: random.Random, linux: Linux, of: Poller) -> list[tuple[float, Callable[[], None]]]:
    """What happens when: each error some time after the one before, served in their order, late or not; a link reset or not."""
    found: list[tuple[float, Callable[[], None]]] = []
    at = free = 2.0
    for bit in draw.sample(list(ERRORS), len(ERRORS)):
        at += draw.uniform(0, 8)
        served = free if free > at else at + draw.choice((0.0, draw.uniform(0, 2), draw.uniform(0, 20)))
        free = said = served + draw.choice((0.0, draw.uniform(0, 2)))
        found += [(at, partial(linux.latch, bit)), (served, linux.serve), (said, linux.say)]
        if draw.random() < 0.7:
            free = said + draw.uniform(0, 2)
            found.append((free, linux.clear))
        if draw.random() < 0.4:
            found += reset(draw, linux.on, of, at + draw.uniform(-1, 5))
    return sorted(found, key=lambda one: one[0])


def reset(draw: random.Random, on: Bench, of: Poller, begun: float) -> list[tuple[float, Callable[[], None]]]:
    """All ones for a while, and the fabric made anew meanwhile or afterwards."""
    ended = begun + draw.uniform(0, 4)

    linux = Linux(on, Counter())

    def rebuild() -> None:
        of.update(update(on.machine, of.fabric, [Bdf.parse(END)]))

    return [(begun, partial(linux.answer, 0)), (draw.uniform(begun, ended + 2), rebuild), (ended, partial(linux.answer, None))]


def played(draw: random.Random, on: Bench, of: Poller, todo: list[tuple[float, Callable[[], None]]]) -> Counter[str]:
    """Let *todo* happen while *of* looks, now and then late; what it has told, by class."""
    told: Counter[str] = Counter()
    whole(of)
    end_s = max(at for at, _ in todo) + 70
    at_s = 0.0
    while at_s < end_s:
        at_s += draw.choice((1.0, 1.0, 1.0, draw.uniform(1, 4)))
        while todo and todo[0][0] <= at_s:
            when, happen = todo.pop(0)
            on.clock.wait_until(max(on.clock.boot_ns(), int(when * SECOND)))
            happen()
        on.clock.wait_until(int(at_s * SECOND))
        for event in whole(of):
            if event.class_.startswith("ereport.io.pciex."):
                told[event.class_.removeprefix("ereport.io.pciex.")] += event.count
    return told


def whole(of: Poller) -> list[Ereport]:
    """One look, with all its parts."""
    parts = [of.look()]
    while not parts[-1].whole:
        parts.append(of.look())
    return [event for part in parts for event in part.ereports]


@pytest.mark.parametrize("block", range(8))
def test_each_error_is_told_once_however_its_service_and_the_looks_fall(block: int) -> None:
    for seed in range(block * 25, block * 25 + 25):
        draw = random.Random(seed)
        on, of = booted(seed)
        told = played(draw, on, of, happenings(draw, Linux(on, Counter()), of))
        assert told == dict.fromkeys((leaf for _, leaf in ERRORS.values()), 1), f"seed {seed}"


def fatal_happenings(draw: random.Random, linux: Linux) -> list[tuple[float, Callable[[], None]]]:
    """Fatal errors, whose link Linux resets without a look at the registers: they show the bit afterwards, or have been wiped too."""
    found: list[tuple[float, Callable[[], None]]] = []
    at = 2.0
    for bit in draw.sample(list(ERRORS), len(ERRORS)):
        at += draw.uniform(3, 12)
        said = at + draw.choice((0.0, draw.uniform(0, 2)))
        begun = said + draw.uniform(0, 0.2)
        ended = begun + draw.choice((0.0, draw.uniform(0, 4)))
        found += [(at, partial(linux.latch, bit, 4)), (said, linux.say_fatal), (begun, partial(linux.answer, 0))]
        if draw.random() < 0.5:
            found.append((ended, partial(linux.wipe, bit)))
        found.append((ended, partial(linux.answer, None)))
        at = ended
    return sorted(found, key=lambda one: one[0])


@pytest.mark.parametrize("block", range(4))
def test_each_fatal_error_is_told_once_by_its_name_or_as_fatal(block: int) -> None:
    for seed in range(block * 25, block * 25 + 25):
        draw = random.Random(seed)
        on, of = booted(seed)
        on.space(END).put(UNCORRECTABLE + 8, sum(1 << bit for bit in ERRORS), 4)
        told = played(draw, on, of, fatal_happenings(draw, Linux(on, Counter())))
        assert told.total() == len(ERRORS), f"seed {seed}: {told}"
        assert set(told) <= {"fatal", *(leaf for _, leaf in ERRORS.values())}
