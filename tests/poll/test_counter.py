"""Counters: each rise is news, with its count; a restart goes on; what was seen in the register too is one ereport."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from support.board import CORRECTABLE, DEVICE_STATUS, END, UNCORRECTABLE, board
from support.machine import Bench, bench
from support.source import MadeSource

from pcifma.access.seam import Record
from pcifma.event.value import FABRIC_CLASS
from pcifma.fabric.build import build, update
from pcifma.plugin import Bdf, Evidence, Finding, Snapshot, Target, Watch
from pcifma.plugin.loader import builtin
from pcifma.poll.counter import counted, restored
from pcifma.poll.latched import Baseline, LatchedSet
from pcifma.poll.look import Look
from pcifma.poll.poller import Poller

FACT = "{sysfs}/errors"
FILE = f"/sys/bus/pci/devices/{END}/errors"
TARGET = Target.function(Bdf.parse(END))
SECOND = 1_000_000_000


def number(snapshot: Snapshot | None) -> int:
    return int((snapshot.facts.get(FACT) or b"Bad TLP 0").split()[-1]) if snapshot is not None else 0


def risen(now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
    moved = number(now) - number(before)
    if moved:
        yield Finding("ereport.io.pciex.dl.btlp", Evidence(now.target, FACT, 6), "correctable", count=moved)


@pytest.fixture
def on() -> Bench:
    found = bench(*board())
    found.facts.files[FILE] = b"Bad TLP 0\n"
    return found


def poller(on: Bench, latched: LatchedSet | None = None) -> Poller:
    counter = MadeSource([Watch(TARGET, when="count", facts=(FACT,))], risen)
    return Poller(on.machine, build(on.machine), [*builtin(("pcie_aer",)), counter], latched=latched)


def look(of: Poller, on: Bench, seconds: int, *, count: int | None = None, bit: bool | None = None) -> Look:
    on.clock.wait_until(on.clock.boot_ns() + seconds * SECOND)
    if count is not None:
        on.facts.files[FILE] = b"Bad TLP %d\n" % count
    if bit is not None:
        on.space(END).put(CORRECTABLE, 0x40 * bit, 4)
        on.space(END).put(DEVICE_STATUS, int(bit), 2)
    return of.look()


def told(found: Look) -> list[tuple[int, list[str]]]:
    return [(e.count, e.sources) for e in found.ereports if e.class_ != FABRIC_CLASS]


def test_numbers_of_a_fact_come_back_as_they_were() -> None:
    facts = {FACT: b"Bad TLP 7\nno number here\nTOTAL_ERR_COR 9\n", "/proc/plain": b"12\n"}
    words = tuple(counted(facts, facts))
    assert words == ((f"{FACT}#Bad TLP", 7), (f"{FACT}#TOTAL_ERR_COR", 9), ("/proc/plain#", 12))
    back = restored(Baseline("card", "boot", 0, words), TARGET, tick=3, time_ns=5)
    assert back.facts == {FACT: b"Bad TLP 7\nTOTAL_ERR_COR 9\n", "/proc/plain": b"12\n"}


def test_each_rise_is_news_with_its_count(on: Bench) -> None:
    of = poller(on)
    assert told(look(of, on, 0)) == []
    assert [told(look(of, on, 31, count=n)) for n in (1, 2, 2, 9)] == [[(1, ["counter"])], [(1, ["counter"])], [], [(7, ["counter"])]]


def test_rise_is_bounded_by_the_slow_look_before_it(on: Bench) -> None:
    of = poller(on)
    for _ in range(3):
        look(of, on, 30)
    event = look(of, on, 30, count=1).ereports[-1]
    assert (event.not_before, event.time) == ("2000-01-01T00:01:30.000000000Z", "2000-01-01T00:02:00.000000000Z")


def test_restart_in_the_same_boot_counts_nothing_twice(on: Bench) -> None:
    first = poller(on)
    rows = [*look(first, on, 0, count=5).latched, *look(first, on, 31).latched]
    again = poller(on, LatchedSet("boot", rows, first.latched.baselines()))
    assert told(look(again, on, 1, count=7)) == [(2, ["counter"])]


def test_counters_begin_again_with_another_boot(on: Bench) -> None:
    first = poller(on)
    look(first, on, 0, count=5)
    again = poller(on, LatchedSet("later", (), first.latched.baselines()))
    assert told(look(again, on, 1, count=5)) == [(5, ["counter"])]


def test_bit_and_count_in_one_look_are_one_ereport_with_the_exact_count(on: Bench) -> None:
    of = poller(on)
    look(of, on, 0)
    assert told(look(of, on, 1, count=4, bit=True)) == [(4, ["poll", "counter"])]


def test_count_that_comes_after_the_bit_adds_nothing(on: Bench) -> None:
    of = poller(on)
    look(of, on, 0)
    assert told(look(of, on, 1, bit=True)) == [(1, ["poll"])]
    assert told(look(of, on, 30, count=1)) == []
    assert told(look(of, on, 30, count=2)) == [(1, ["counter"])]


def test_error_between_any_two_reads_of_a_look_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It latches and the kernel counts it after so many reads of registers and counters, of a Function that has another to tell."""
    places = range(20)
    for place in places:
        on = bench(*board())
        on.facts.files[FILE] = b"Bad TLP 0\n"
        of = poller(on)
        look(of, on, 0)
        on.space(END).put(CORRECTABLE, 1, 4)
        on.space(END).put(DEVICE_STATUS, 1, 2)
        made: list[str] = []

        def err(what: str, read: Callable[[], object], *, on: Bench = on, made: list[str] = made, place: int = place) -> object:
            if len(made) == place:
                on.space(END).put(CORRECTABLE, 0x41, 4)
                on.facts.files[FILE] = b"Bad TLP 1\n"
            made.append(what)
            return read()

        with monkeypatch.context() as patch:
            for part, name in ((on.space(END), "read"), (on.facts, "read")):
                plain = getattr(part, name)
                patch.setattr(part, name, lambda *where, plain=plain: err(str(where), lambda: plain(*where)))
            found = [event for _ in range(3) for event in look(of, on, 30).ereports]
        assert len(made) > places[-1]
        assert [event.count for event in found if event.class_.endswith("btlp")] == [1], made[place]


def test_bit_that_the_kernel_leaves_set_is_counted_again_with_others_and_told_once(on: Bench) -> None:
    def poisoned(now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
        yield from (finding._replace(class_="ereport.io.pciex.tl.ptlp") for finding in risen(now, before))

    counter = MadeSource([Watch(TARGET, when="count", facts=(FACT,))], poisoned)
    of = Poller(on.machine, build(on.machine), [*builtin(("pcie_aer",)), counter])
    look(of, on, 0)
    on.space(END).put(UNCORRECTABLE, 0x1000, 4)
    on.space(END).put(DEVICE_STATUS, 2, 2)
    assert told(look(of, on, 30, count=2)) == [(1, ["poll", "counter"])]
    assert told(look(of, on, 30, count=3)) == []


def test_bit_that_nobody_counts_swallows_no_later_count(on: Bench) -> None:
    of = poller(on)
    look(of, on, 0)
    look(of, on, 1, bit=True)
    assert told(look(of, on, 90, count=1)) == [(1, ["counter"])]


def test_masked_bit_is_none_that_the_kernel_counts(on: Bench) -> None:
    on.space(END).put(CORRECTABLE + 4, 0x40, 4)
    of = poller(on)
    look(of, on, 0)
    look(of, on, 1, bit=True)
    assert told(look(of, on, 30, count=1)) == [(1, ["counter"])]


def aer_event(at_s: float) -> Record:
    fields = {"dev_name": END, "status": "0x40", "severity": "2", "tlp_header_valid": "0"}
    return Record("aer_event", fields, int(at_s * SECOND))


def listening(on: Bench) -> Poller:
    counter = MadeSource([Watch(TARGET, when="count", facts=(FACT,))], risen)
    return Poller(on.machine, build(on.machine), [*builtin(("pcie_aer", "aer_listen")), counter], streams=("aer_event",))


def test_record_that_was_made_in_time_may_be_read_late(on: Bench) -> None:
    of = listening(on)
    look(of, on, 0)
    assert told(look(of, on, 1, bit=True)) == [(1, ["poll"])]
    on.facts.records.append(aer_event(2.9))
    assert told(look(of, on, 4, bit=False)) == []


def test_record_of_what_was_counted_before_may_come_late(on: Bench) -> None:
    of = listening(on)
    look(of, on, 0)
    assert told(look(of, on, 1, bit=True, count=2)) == [(2, ["poll", "counter"])]
    on.facts.records += [aer_event(3.5), aer_event(4)]
    assert told(look(of, on, 4, bit=False)) == []
    on.facts.records.append(aer_event(6))
    assert told(look(of, on, 2)) == [(1, ["aer_event"])]


def test_record_between_two_that_were_counted_leaves_one_to_come(on: Bench) -> None:
    of = listening(on)
    look(of, on, 0)
    on.facts.records.append(aer_event(0.5))
    assert told(look(of, on, 1, count=2)) == [(2, ["aer_event", "counter"])]
    on.facts.records.append(aer_event(5))
    assert told(look(of, on, 5)) == []


def test_count_alone_is_told_once_with_the_record_that_follows(on: Bench) -> None:
    of = listening(on)
    look(of, on, 0)
    assert told(look(of, on, 31, count=1)) == [(1, ["counter"])]
    on.facts.records.append(aer_event(31.1))
    assert told(look(of, on, 1)) == []


def test_sleeper_that_a_record_spoke_of_counts_nothing_twice_when_it_wakes(on: Bench) -> None:
    of = listening(on)
    look(of, on, 0)
    card, sysfs = of.fabric[TARGET.bdf], f"/sys/bus/pci/devices/{END}"
    ids = {f"{sysfs}/vendor": b"%#x" % card.vendor, f"{sysfs}/device": b"%#x" % card.device}
    on.facts.files |= {**ids, f"{sysfs}/power_state": b"D3cold\n"}
    of.update(update(on.machine, of.fabric, [TARGET.bdf]))
    on.facts.records.append(aer_event(0.5))
    heard = look(of, on, 1, count=1)
    assert [e.sources for e in heard.ereports if e.class_.endswith("btlp")] == [["aer_event", "counter"]]
    on.facts.files[f"{sysfs}/power_state"] = b"D0\n"
    assert told(look(of, on, 40)) == []


