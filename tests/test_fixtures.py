"""Each directory in fixtures/, and each tar of one, is a test by existing: replay it, and what must come out comes out, in order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pcifma.access.fixture import Fixture
from pcifma.access.open import open_source
from pcifma.event.line import encode
from pcifma.fmd.rehearsal import rehearse
from pcifma.plugin.loader import builtin
from pcifma.poll.look import Look

FIXTURES = Path(__file__).parent.parent / "fixtures"
CASES = sorted([*(path.parent for path in FIXTURES.glob("*/case.yaml")), *FIXTURES.glob("*.tar.gz")])


def opened(case: Path) -> Fixture:
    fixture = open_source(str(case))
    assert isinstance(fixture, Fixture)
    return fixture


def replayed(case: Path) -> list[dict[str, Any]]:
    happenings = rehearse(opened(case), builtin())
    return [json.loads(encode(event)) for event in happenings if not isinstance(event, Look)]


def covers(partial: Any, whole: Any) -> bool:
    """True if everything that *partial* says is so in *whole*; objects may have more keys, lists may not have more entries."""
    if isinstance(partial, dict):
        return isinstance(whole, dict) and all(key in whole and covers(value, whole[key]) for key, value in partial.items())
    if isinstance(partial, list):
        return isinstance(whole, list) and len(partial) == len(whole) and all(map(covers, partial, whole))
    return bool(partial == whole)


def check(expected: list[dict[str, Any]] | None, events: list[dict[str, Any]]) -> None:
    """Partial objects, in order; nothing is asked of what expect.json does not mention."""
    if expected is None:
        return
    assert [e["class"] for e in events] == [e["class"] for e in expected]
    for event, partial in zip(events, expected, strict=True):
        assert covers(partial, event), f"expected {partial}, got {event}"


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_replay_gives_the_expected_events(case: Path) -> None:
    events, expect = replayed(case), opened(case).expect
    if expect is None:
        pytest.skip(f"{case.name} has no expect.json: replay only prints")
    expected = json.loads(expect)
    check(expected.get("ereports"), [event for event in events if event["class"].startswith("ereport.")])
    check(expected.get("cases"), [event for event in events if event["class"].startswith("list.")])


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_replay_twice_is_the_same(case: Path) -> None:
    assert replayed(case) == replayed(case)


def test_covers_refuses_a_missing_key_and_a_longer_list() -> None:
    assert covers({"a": [1]}, {"a": [1], "b": 2})
    assert not covers({"a": [1]}, {"a": [1, 2]})
    assert not covers({"c": 1}, {"a": 1})
