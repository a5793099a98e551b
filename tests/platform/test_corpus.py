"""Real captures: a capture alone never proves that somebody hears, and what it says is closed has a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from pcifma.access.open import open_source
from pcifma.fabric.build import build
from pcifma.platform.survey import survey

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
CAPTURES = sorted(p for p in CORPUS.glob("*/*.txt") if not p.name.endswith(".lspci.txt") and p.parent.name != "logs")

pytestmark = pytest.mark.skipif(not CAPTURES, reason=f"no corpus of captures at {CORPUS}")


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_capture_tells_what_a_capture_can_tell(path: Path) -> None:
    machine = open_source(str(path))
    found = survey(machine, build(machine))
    for line in found.lines:
        verdicts = (line.coverage.heard.correctable, line.coverage.heard.nonfatal, line.coverage.heard.fatal)
        assert True not in verdicts
        assert line.coverage.why
        assert line.coverage.plan == ["poll"] or line.function.unread == "asleep"
        assert line.coverage.owner == "unknown"


@pytest.mark.parametrize(("name", "deaf"), [("nvidia-bug-report/gv102-server", 16), ("coreboot-autoport/h310-board", 12)])
def test_servers_whose_devices_report_nothing_are_found_out(name: str, deaf: int) -> None:
    machine = open_source(str(CORPUS / f"{name}.txt"))
    assert survey(machine, build(machine)).summary().deaf == deaf
