"""Sums over calls: counts, histograms as quantize prints them, memory, and domains' lives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.trace import domctl, leave, memory_op, moments, replayed, reservation, shared_recording

from pcifma.xpv.aggregation import Aggregation, Counts, Latencies, Lives, Memory, Quantity
from pcifma.xpv.call import Call, Return
from pcifma.xpv.firing import Filter
from pcifma.xpv.line import Record
from pcifma.xpv.probe import select


def summed(aggregation: Aggregation, found: list[Call | Return]) -> list[dict[str, object]]:
    passing = Filter(select(()))
    for moment in found:
        if isinstance(moment, Return):
            aggregation.returned(moment)
        for firing in passing.fire(moment):
            aggregation.fired(firing)
    return list(aggregation.json())


def test_quantity_prints_as_quantize() -> None:
    quantity = Quantity()
    for value in (1, 5, 6, 9):
        quantity.add(value)
    assert list(quantity.text()) == [
        "           value  ------------- Distribution ------------- count",
        "               0 |                                         0",
        "               1 |@@@@@@@@@@                               1",
        "               2 |                                         0",
        "               4 |@@@@@@@@@@@@@@@@@@@@                     2",
        "               8 |@@@@@@@@@@                               1",
        "              16 |                                         0",
    ]


def test_quantity_of_nothing_but_zero() -> None:
    quantity = Quantity()
    quantity.add(0)
    assert [line.split()[0] for line in quantity.text()] == ["value", "0", "1"]


@given(st.lists(st.integers(0, 2**63), min_size=1, max_size=50))
def test_quantity_counts_every_value_in_its_bucket(values: list[int]) -> None:
    quantity = Quantity()
    for value in values:
        quantity.add(value)
    told = quantity.json()
    assert (told["count"], told["sum"], told["min"], told["max"]) == (len(values), sum(values), min(values), max(values))
    for low, count in quantity.buckets.items():
        assert count == sum(low <= value < (2 * low or 1) for value in values)
    assert len(list(quantity.text())) <= 68


def test_counts_are_by_process_and_probe() -> None:
    rows = summed(Counts(), moments([domctl(3, 7), leave(), domctl(3, 7, comm="virsh"), leave(), domctl(3, 8), leave()]))
    assert [(row["comm"], row["name"], row["count"]) for row in rows] == [
        ("virsh", "dom-pause-end", 1),
        ("virsh", "dom-pause-start", 1),
        ("xl", "dom-pause-end", 2),
        ("xl", "dom-pause-start", 2),
    ]


def test_latencies_are_nanoseconds_by_probe() -> None:
    (row,) = summed(Latencies(), moments([domctl(3, 7), leave(time_us=5), domctl(3, 7, time_us=10), leave(time_us=12)]))
    assert (row["name"], row["count"], row["sum"], row["min"], row["max"]) == ("dom-pause", 2, 7000, 2000, 5000)


def test_memory_counts_what_the_hypervisor_did() -> None:
    records: list[Record] = [
        memory_op(6, *reservation(7, 64, 9)),
        leave(op=13, again=(12, 60, 6)),
        memory_op(1, *reservation(7, 10)),
        leave(op=13, again=(12, 10, 1)),
        memory_op(0, *reservation(7, 3)),
        leave(op=13, again=(12, 2**64 - 12, 0)),
        domctl(11, 7, 262144),
        leave(),
    ]
    (row,) = summed(Memory(), moments(records))
    assert (row["domain"], row["pages"], row["decreased"], row["increased"], row["max_kb"], row["estimated"]) == (
        7,
        60 * 512 - 10,
        10,
        0,
        262144,
        False,
    )


def test_memory_says_when_it_is_only_what_was_asked() -> None:
    (row,) = summed(Memory(), moments([memory_op(6, *reservation(7, 64)), leave()]))
    assert (row["pages"], row["estimated"]) == (64, True)


def test_lives_learn_an_id_that_the_return_did_not_show() -> None:
    rows = summed(
        Lives(), moments([domctl(1, 0xFFFF), leave(), domctl(3, 9, tid=2), leave(tid=2), domctl(15, 7), leave(), domctl(2, 7), leave()])
    )
    assert [(row["domain"], row["event"]) for row in rows] == [(7, "created"), (9, "paused"), (7, "destroyed")]


def test_lives_tell_failures() -> None:
    (row,) = summed(Lives(), moments([domctl(2, 7), leave(-3)]))
    assert (row["event"], row["failed"]) == ("destroyed", True)


@pytest.mark.parametrize(("name", "domain"), [("traces-6.12-xen4.17/pv-create-p.trace", 1), ("traces-6.1-xen4.17/pv-create-p.trace", 1)])
def test_created_domain_got_the_memory_it_asked_for(name: str, domain: int) -> None:
    rows = {row["domain"]: row for row in summed(Memory(), replayed(shared_recording(name)))}
    assert (rows[domain]["pages"], rows[domain]["claimed"]) == (128 * 256, 0)


def test_results_after_the_call_make_memory_exact() -> None:
    found = replayed(shared_recording("traces-6.12-xen4.17/pvh-create-p-with-kretprobe-args.trace"))
    (row,) = summed(Memory(), found)
    assert (row["domain"], row["estimated"]) == (2, False)
    (life,) = summed(Lives(), found)
    assert (life["domain"], life["event"]) == (2, "created")
