"""Timers run out in order, once, and can be moved."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pcifma.fmd.engine.timer import Timer, Timers, decode, encode


def taken(timers: Timers, upto_ns: int) -> list[str]:
    """Names of the timers that run out by *upto_ns*."""
    names = []
    while (due := timers.take(upto_ns)) is not None:
        names.append(due[0])
    return names


def test_timers_run_out_in_order_of_time() -> None:
    timers = Timers()
    for name, due_ns in (("b", 20), ("a", 10), ("c", 30)):
        timers.arm(name, Timer(due_ns, ""))
    assert taken(timers, 20) == ["a", "b"]
    assert timers.next_ns() == 30


def test_arming_again_moves_a_timer_either_way() -> None:
    timers = Timers()
    timers.arm("a", Timer(10, "first"))
    timers.arm("a", Timer(50, "second"))
    assert (timers.next_ns(), taken(timers, 49)) == (50, [])
    timers.arm("a", Timer(5, "third"))
    assert timers.take(100) == ("a", Timer(5, "third"))
    assert taken(timers, 100) == []


def test_disarmed_timer_does_not_run_out() -> None:
    timers = Timers()
    timers.arm("a", Timer(10, ""))
    assert timers.disarm("a")
    assert not timers.disarm("a")
    assert (timers.next_ns(), taken(timers, 100)) == (None, [])


def test_timer_survives_a_checkpoint_and_moves_with_the_boot() -> None:
    assert decode(encode(Timer(10, "déjà"))) == Timer(10, "déjà")
    assert decode(encode(Timer(10, "")), shift_ns=-100) == Timer(-90, "")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20), st.booleans())))
def test_timers_agree_with_a_plain_dictionary(steps: list[tuple[str, int, bool]]) -> None:
    timers, plain = Timers(), dict[str, int]()
    for name, due_ns, arm in steps:
        if arm:
            timers.arm(name, Timer(due_ns, ""))
            plain[name] = due_ns
        else:
            assert timers.disarm(name) is (plain.pop(name, None) is not None)
        assert timers.next_ns() == min(plain.values(), default=None)
    assert sorted(taken(timers, 20)) == sorted(plain)
