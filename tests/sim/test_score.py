"""Scores: intervals, the baseline, calibration, and the command."""

from __future__ import annotations

import json

import msgspec
import pytest
from click.testing import CliRunner
from support.diagnosis import part, plugin, rules

from pcifma.cli.simulate import command
from pcifma.sim.score import Row, Tally, Trial, calibration, trial, wilson


def tried(**changes: object) -> Trial:
    plain = {"kind": "x", "ambiguous": False, "heard": 1, "top": True, "listed": True, "baseline": False, "certainty": 90, "cases": 1}
    return Trial(**{**plain, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(("k", "n", "low", "high"), [(0, 0, 0, 1), (10, 10, 0.722, 1.0), (0, 10, 0, 0.278), (950, 1000, 0.935, 0.962)])
def test_wilson_interval_is_the_published_one(k: int, n: int, low: float, high: float) -> None:
    assert wilson(k, n) == pytest.approx((low, high), abs=0.001)


def test_row_keeps_identifiable_ambiguous_and_silent_apart() -> None:
    row = Row()
    for one in (tried(), tried(top=False), tried(ambiguous=True, top=False), tried(heard=0, top=False)):
        row.add(one)
    assert ((row.top.k, row.top.n), (row.listed.k, row.listed.n), row.silent) == ((1, 2), (1, 1), 1)
    assert (row.ours.k, row.ours.n) == (1, 3)


def test_calibration_holds_certainty_against_what_was_right() -> None:
    trials = [tried(), tried(top=False), tried(certainty=55), tried(certainty=None)]
    found = {bounds: (tally.k, tally.n, stated) for bounds, tally, stated in calibration(trials)}
    assert found[90, 101] == (1, 2, 90.0) and found[50, 60] == (1, 1, 55.0)
    assert sum(n for _, n, _ in found.values()) == 3


def test_share_of_nothing_is_nothing() -> None:
    assert Tally().share == 0


def test_trial_is_repeatable() -> None:
    assert trial(plugin(), "poison", 5) == trial(plugin(), "poison", 5)


@pytest.mark.parametrize("kind", ["internal", "bad-request", "link-down"])
def test_diagnosis_is_right_and_the_reporter_is_not_where_another_reports(kind: str) -> None:
    tries = [trial(plugin(), kind, 500_000 + seed) for seed in range(6)]
    assert sum(one.top for one in tries) > sum(one.baseline for one in tries)


def test_without_its_rules_a_kind_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = rules()
    without = msgspec.structs.replace(whole, faults=[fault for fault in whole.faults if fault.id != "bad-request"])
    monkeypatch.setattr(plugin().code, "load", lambda *_: without)
    assert not any(trial(plugin(), "bad-request", seed).top for seed in range(3))
    assert part("check") is not None


def test_command_prints_a_line_a_kind_and_the_calibration() -> None:
    done = CliRunner().invoke(command, ["-n", "2", "--kind", "internal", "--kind", "no-response"], standalone_mode=False)
    assert done.return_value == 0
    assert all(word in done.output for word in ("internal", "no-response", "certainty", "n=2"))


def test_command_json_has_counts_and_intervals() -> None:
    arguments = ["-n", "2", "--kind", "internal", "--degrade", "loss", "--level", "0", "--json"]
    lines = [json.loads(line) for line in CliRunner().invoke(command, arguments, standalone_mode=False).output.splitlines()]
    assert (lines[0]["kind"], lines[0]["top"]["n"], len(lines[0]["top"]["interval"])) == ("internal", 2, 2)
    assert all("certainty" in line for line in lines[1:])


@pytest.mark.parametrize("arguments", [["--kind", "gremlins"], ["-n", "0"], ["--degrade", "magic"], ["--level", "2"]])
def test_command_refuses_what_it_does_not_know(arguments: list[str]) -> None:
    assert CliRunner().invoke(command, arguments).exit_code == 2
