"""Each threat in docs/threat-model.md names its test, and each of these tests is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/threat-model.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(("| threat", "|---"))]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2:50])
def test_threat_names_a_test_that_is_there(row: str) -> None:
    named = NAMED.findall(row)
    assert named, "a threat without a test"
    for file, name in named:
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.M), f"{file} has no {name}"


def test_page_speaks_of_every_way_in() -> None:
    for word in ("Plugin directories", "Captures", "guests", "control socket", "keeper's verbs", "who reads it", "PYTHONPATH"):
        assert word in PAGE
