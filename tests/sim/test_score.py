"""Scores: intervals, the baseline, calibration, and the command."""

from __future__ import annotations

import msgspec
import pytest
from support.diagnosis import plugin, rules

from pcifma.sim.score import Row, Tally, Trial, calibration, trial, wilson


def tried(**changes: object) -> Trial:
    plain = {"kind": "x", "fits": 1, "heard": 1, "top": True, "listed": True, "baseline": False}
    return Trial(**{**plain, "stated": ((90, True),), "cases": 1, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(("k", "n", "low", "high"), [(0, 0, 0, 1), (10, 10, 0.722, 1.0), (0, 10, 0, 0.278), (950, 1000, 0.935, 0.962)])
def test_wilson_interval_is_the_published_one(k: int, n: int, low: float, high: float) -> None:
    assert wilson(k, n) == pytest.approx((low, high), abs=0.001)


def test_row_keeps_identifiable_ambiguous_undetermined_and_silent_apart() -> None:
    row = Row()
    for one in (tried(), tried(top=False), tried(fits=3, top=False), tried(fits=4, top=False, listed=False), tried(heard=0, top=False)):
        row.add(one)
    assert ((row.top.k, row.top.n), (row.ambiguous.k, row.ambiguous.n), row.silent) == ((1, 2), (1, 1), 1)
    assert ((row.undetermined.k, row.undetermined.n), (row.listed.k, row.listed.n)) == ((0, 1), (1, 2))
    assert (row.ours.k, row.ours.n) == (1, 4)


def test_calibration_holds_certainty_against_what_was_right() -> None:
    trials = [tried(), tried(stated=((91, False), (9, True))), tried(stated=((55, False),)), tried(stated=())]
    found = {bounds: (tally.k, tally.n, stated) for bounds, tally, stated in calibration(trials)}
    assert found[90, 101] == (1, 2, 90.5) and found[50, 60] == (0, 1, 55.0)
    assert sum(n for _, n, _ in found.values()) == 3
    every = {bounds: (tally.k, tally.n) for bounds, tally, _ in calibration(trials, first=False)}
    assert every[0, 10] == (1, 1)


def test_share_of_nothing_is_nothing() -> None:
    assert Tally().share == 0


def test_trial_is_repeatable() -> None:
    assert trial(plugin(), "poison", 5) == trial(plugin(), "poison", 5)


@pytest.mark.parametrize("kind", ["internal", "bad-request", "link-down"])
def test_diagnosis_is_right_and_the_reporter_is_not_where_another_reports(kind: str) -> None:
    tries = [trial(plugin(), kind, 500_000 + seed) for seed in range(6)]
    assert sum(one.top for one in tries) > sum(one.baseline for one in tries)


@pytest.mark.parametrize(
    ("groups", "kind"),
    [
        ({"device"}, "internal"), ({"device"}, "corrected-internal"), ({"link", "completion"}, "link-down"),
        ({"completion"}, "no-response"), ({"completion"}, "completer-abort"), ({"data"}, "poison"),
        ({"data"}, "poison-memory"), ({"data"}, "checksum"),
        ({"request"}, "bad-request"), ({"request"}, "stray-completion"), ({"software"}, "driver"), ({"link"}, "trained-down"),
        ({"link"}, "slot-power"),
    ],
)  # fmt: skip
def test_without_its_rules_a_kind_drops_to_the_baseline(monkeypatch: pytest.MonkeyPatch, groups: set[str], kind: str) -> None:
    whole, seeds = rules(), range(600_000, 600_006)
    without = msgspec.structs.replace(whole, faults=[fault for fault in whole.faults if fault.group not in groups])
    with_them = [trial(plugin(), kind, seed) for seed in seeds]
    monkeypatch.setattr(plugin().code, "load", lambda *_: without)
    tries = [trial(plugin(), kind, seed) for seed in seeds]
    exactly = sum(any(right for _, right in one.stated[:1]) for one in tries)
    assert exactly <= sum(one.baseline for one in tries)
    assert sum(one.listed for one in with_them) > exactly
