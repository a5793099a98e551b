"""Boot time goes on across boots by the wall clock, and never into the future."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from support.event import BOOT, ereport, list_event

from pcifma.access.clock import EPOCH_2000_NS, SimulatedClock
from pcifma.event.identity import utc
from pcifma.fmd.log.reader import Logged
from pcifma.fmd.log.timeline import Timeline

S = 10**9


def timeline(*, boot: str = BOOT, first_seq: int = 10, same_boot: bool = True) -> Timeline:
    """A boot that began at EPOCH_2000, 1000 s ago."""
    clock = SimulatedClock()
    clock.advance_to(1000 * S)
    return Timeline(clock, boot, first_seq, same_boot)


def test_ereport_of_this_boot_is_where_its_look_was() -> None:
    assert timeline().of(Logged(ereport(5), 77)) == 77


def test_ereport_of_another_boot_is_placed_by_its_wall_time() -> None:
    assert timeline(boot="new").of(Logged(ereport(5), 77)) == 5 * S
    before = ereport(0, time=utc(EPOCH_2000_NS - 30 * S))
    assert timeline(boot="new").of(Logged(before, 77)) == -30 * S


def test_event_from_the_future_is_now() -> None:
    future = ereport(0, time=utc(EPOCH_2000_NS + 10**6 * S))
    assert timeline(boot="new").of(Logged(future, 77)) == 1000 * S


def test_list_event_counts_as_this_boots_unless_it_was_there_before() -> None:
    old, new = list_event(3, seq=10), list_event(3, seq=11)
    later = timeline(same_boot=False)
    assert (later.of(Logged(old, 77)), later.of(Logged(new, 77))) == (3 * S, 77)
    assert timeline().of(Logged(old, 77)) == 77


@given(st.integers(-(10**18), 10**18), st.integers(0, 10**15))
def test_shift_keeps_wall_time(offset_ns: int, boot_ns: int) -> None:
    line = timeline(boot="new")
    assert boot_ns + line.shift("old", offset_ns) + line.wall_offset_ns == boot_ns + offset_ns
    assert line.shift("new", offset_ns) == 0
