"""The ledger as an operator reads it, the daemon down."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result

from pcifma.access.clock import SimulatedClock
from pcifma.cli.writes import command
from pcifma.fmd.log.batch import Batch, RegisterWrite
from pcifma.fmd.log.log import Log
from pcifma.fmd.path import Paths

CARD, EREPORT, CASE = "0000:04:00.0", "11111111-1111-5111-8111-111111111111", "7f3c1a2e-1111-5111-8111-111111111111"
ROWS = (
    RegisterWrite("a", 1, "boot", CARD, "ECAP_AER+10.l", 4, 0x41, 0x40, 0x01, "logged", (EREPORT,)),
    RegisterWrite("b", 2, "boot", CARD, "CAP_EXP+a.w", 2, 0x9, 0x9, 0, "ordered", (EREPORT, CASE), CASE, "clear 7f3c", 0, 4711),
    RegisterWrite("c", 3, "boot", CARD, "6.w", 2, None, 0, None, "not written: owner: native\x1b[31m"),
    RegisterWrite("d", 4, "boot", CARD, "6.w", 2, None, 0x100, None, "outcome unknown: the keeper did not answer"),
    RegisterWrite("e", 5, "boot", CARD, "6.w", 2, 0, 0, 0, "logged"),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    Paths(tmp_path).state.mkdir(parents=True)
    log = Log.open(Paths(tmp_path).log, clock=SimulatedClock())
    log.append(Batch(boot_ns=0, writes=ROWS)).wait()
    log.close()
    return tmp_path


def writes(root: Path, *words: str) -> Result:
    return CliRunner().invoke(command, ["--root", str(root), *words], catch_exceptions=False)


def test_each_write_is_a_line_with_before_after_why_and_for_whom(root: Path) -> None:
    lines = writes(root).stdout.splitlines()

    assert lines[1].split()[1:7] == [CARD, "ECAP_AER+10.l", "00000040", "00000041", "->", "00000001"]
    assert lines[1].endswith(f"logged, ereport {EREPORT}")
    assert lines[2].endswith(f"clear 7f3c (case 7f3c1a2e) by uid 0 pid 4711, ereport {EREPORT} and 1 more")
    assert lines[3].split()[3:7] == ["0100", "?", "->", "?"]
    assert lines[4:] == ["writes ever made to hardware: 2, and 1 whose outcome is not known"]


def test_refused_and_needless_ones_are_shown_when_asked_for(root: Path) -> None:
    text = writes(root, "--all").stdout

    assert "not written: owner: native�[31m" in text
    assert "clear by then, nothing written" in text


def test_json_has_every_member_and_a_trailer(root: Path) -> None:
    rows = [json.loads(line) for line in writes(root, "--all", "--json").stdout.splitlines()]

    schema = json.loads((files("pcifma.event") / "schema.json").read_text())
    for row in rows:
        jsonschema.validate(row, schema)
    assert [row.get("outcome") for row in rows] == ["done", "done", "refused", "unknown", "clear", None]
    assert rows[1] == {
        "class": "register.write", "version": 1, "id": "b", "time": "1970-01-01T00:00:00.000000002Z", "boot": "boot", "device": CARD,
        "register": "CAP_EXP+a.w", "width": 2, "before": 9, "written": 9, "after": 0, "outcome": "done", "why": "ordered",
        "ereports": [EREPORT, CASE], "case": CASE, "command": "clear 7f3c", "uid": 0, "pid": 4711,
    }  # fmt: skip
    assert rows[-1] == {"class": "writes.summary", "version": 1, "rows": 5, "writes": 2, "unknown": 1}


def test_log_without_writes_says_none(tmp_path: Path) -> None:
    Paths(tmp_path).state.mkdir(parents=True)
    Log.open(Paths(tmp_path).log, clock=SimulatedClock()).close()
    Paths(tmp_path).log.with_name("log.db.broken-2026").touch()

    lines = writes(tmp_path).stdout.splitlines()

    assert lines[0] == "writes ever made to hardware: 0"
    assert "log.db.broken-2026" in lines[1]
