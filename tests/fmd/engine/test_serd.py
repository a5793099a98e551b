"""A SERD engine fires on n + 1 events within t, inclusive, in whatever order they come (facts 5.8)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pcifma.fmd.engine.serd import SerdState, decode, encode

H = 3600 * 10**9
TIMES = st.lists(st.integers(0, 100), max_size=40)


def fires(state: SerdState, times: list[int]) -> list[int]:
    """Indices of the events on which *state* fires."""
    return [n for n, at in enumerate(times) if state.record(at)]


def test_serd_fires_on_the_event_after_the_nth_within_t() -> None:
    assert fires(SerdState(6, 2 * H), [n * 20 * 60 * 10**9 for n in range(7)]) == [6]


def test_serd_counts_t_inclusive_and_no_more() -> None:
    assert fires(SerdState(1, 10), [0, 10]) == [1]
    assert fires(SerdState(1, 10), [0, 11]) == []


def test_serd_of_no_tolerance_fires_on_every_event() -> None:
    assert fires(SerdState(0, 1), [5, 6, 100]) == [0, 1, 2]


def test_serd_begins_anew_after_it_has_fired() -> None:
    assert fires(SerdState(2, 100), [1, 2, 3, 4, 5, 6, 7]) == [2, 5]


def test_serd_counts_a_folded_event_as_many() -> None:
    state = SerdState(10, 100)
    assert not state.record(0, 6)
    assert state.record(50, 5)
    assert state.total == 0


def test_serd_takes_an_event_that_comes_late_but_within_t() -> None:
    assert fires(SerdState(2, 10), [10, 12, 3]) == [2]


def test_serd_ignores_an_event_older_than_its_window() -> None:
    state = SerdState(1, 10)
    assert fires(state, [100, 80, 79]) == []
    assert (state.total, state.late) == (1, 2)


def test_serd_keeps_no_more_than_n_counted() -> None:
    state = SerdState(50, 10**18)
    for at in range(1000):
        state.record(at)
    assert state.total <= 50
    assert len(state.kept) <= 50


@given(TIMES, st.integers(0, 6), st.integers(0, 50))
def test_serd_in_order_agrees_with_counting_afresh(times: list[int], n: int, t: int) -> None:
    times.sort()
    state = SerdState(n, t)
    window: list[int] = []
    for at in times:
        window = [w for w in window if w >= at - t] + [at]
        expected = len(window) > n
        assert state.record(at) is expected
        if expected:
            window = []


@given(TIMES, st.integers(0, 6), st.integers(0, 50), st.integers(0, 40))
def test_serd_goes_on_from_a_checkpoint_as_if_there_were_none(times: list[int], n: int, t: int, cut: int) -> None:
    through, halted = SerdState(n, t), SerdState(n, t)
    for index, at in enumerate(times):
        if index == cut:
            halted = decode(encode(halted))
        assert through.record(at) == halted.record(at)


@given(TIMES, st.integers(0, 6), st.integers(0, 50))
def test_serd_total_is_the_sum_of_what_it_keeps(times: list[int], n: int, t: int) -> None:
    state = SerdState(n, t)
    for at in times:
        state.record(at, at % 3 + 1)
        assert state.total == sum(count for _, count in state.kept)
        assert state.kept == sorted(state.kept)


def test_shift_moves_onto_another_boot_and_never_into_the_future() -> None:
    state = SerdState(5, 1000, kept=[(900, 1), (950, 2)], total=3)
    state.shift(by_ns=-1000, now_ns=-60)
    assert state.kept == [(-100, 1), (-60, 2)]
