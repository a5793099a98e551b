"""Each fixture that says what coverage must come out is a test by existing: lines by their device, and the help, best first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pcifma.access.open import open_source
from pcifma.fabric.build import build
from pcifma.platform.survey import survey

FIXTURES = Path(__file__).parents[2] / "fixtures"
EXPECTED = {
    path.parent.name: expected
    for path in sorted(FIXTURES.glob("*/expect.json"))
    if {"coverage", "help"} & (expected := json.loads(path.read_text())).keys()
}


def part(partial: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    """What *whole* says about the keys of *partial*."""
    return {key: whole.get(key) for key in partial}


@pytest.mark.parametrize("name", EXPECTED)
def test_coverage_is_what_the_fixture_expects(name: str) -> None:
    machine = open_source(str(FIXTURES / name))
    found = survey(machine, build(machine))
    lines = {line.coverage.device: msgspec.to_builtins(line.coverage) for line in found.lines}
    for partial in EXPECTED[name].get("coverage", []):
        assert part(partial, lines[partial["device"]]) == partial
    for partial, whole in zip(EXPECTED[name].get("help", []), msgspec.to_builtins(found.summary().help), strict="help" in EXPECTED[name]):
        assert part(partial, whole) == partial


def test_there_are_such_fixtures() -> None:
    assert len(EXPECTED) >= 6
