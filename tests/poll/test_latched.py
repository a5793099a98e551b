"""The latched set: each transition of its state machine, and what outlives a restart."""

from __future__ import annotations

from pcifma.poll.latched import Baseline, LatchedSet

BIT = ("part", "ECAP_AER+10.l", 6)


def test_rise_is_occurrence_zero_and_stands() -> None:
    latched = LatchedSet("boot")
    assert latched.rise(*BIT, now_ns=5) == 0
    assert latched.stands(*BIT)
    assert [row.since_ns for row in latched.standing("part")] == [5]


def test_fall_then_rise_is_the_next_occurrence() -> None:
    latched = LatchedSet("boot")
    latched.rise(*BIT, now_ns=5)
    latched.fall(latched.standing("part")[0])
    assert not latched.stands(*BIT)
    assert latched.rise(*BIT, now_ns=9) == 1


def test_changes_are_handed_over_once_and_restore_the_set() -> None:
    latched = LatchedSet("boot")
    latched.rise(*BIT, now_ns=5)
    rows = latched.take_changes()
    assert latched.take_changes() == ()
    assert LatchedSet("boot", rows).stands(*BIT)


def test_occurrences_start_anew_in_another_boot() -> None:
    latched = LatchedSet("one")
    latched.rise(*BIT, now_ns=5)
    latched.fall(latched.standing("part")[0])
    after = LatchedSet("two", latched.take_changes())
    assert after.rise(*BIT, now_ns=9) == 0


def test_bit_that_stood_before_a_warm_reboot_still_stands() -> None:
    before = LatchedSet("one")
    before.rise(*BIT, now_ns=5)
    after = LatchedSet("two", before.take_changes(), [Baseline("part", "one", 5)])
    assert after.stands(*BIT)
    assert not after.seen_this_boot("part")


def test_occurrences_go_on_counting_after_a_fall_and_over_a_restart() -> None:
    latched = LatchedSet("boot")
    latched.rise(*BIT, now_ns=5)
    latched.drop(*BIT)
    again = LatchedSet("boot", latched.take_changes(), latched.baselines())
    assert [latched.rise(*BIT, now_ns=6), again.rise(*BIT, now_ns=6)] == [1, 1]
