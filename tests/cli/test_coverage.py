"""`pcifma coverage` and `topology` as commands: exit statuses, JSON lines by the schema, what a person reads."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support.image import Image, capture
from support.server import CARD, COMMAND, DEVICE_CONTROL, PORT, images

FIXTURE = Path(__file__).parents[2] / "fixtures/malformed-tlp-nomsi"


def pcifma(*words: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-c", "from pcifma.cli.main import run; run()", *map(str, words)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    path = tmp_path / "dump.txt"
    found = images()
    found[CARD].put(DEVICE_CONTROL, 0, 2).put(COMMAND, 6, 2)
    path.write_text(capture(*found.values(), Image("0000:00:1f.0", "LPC").header(0x8086, 0xA2CA, 0x060100)))
    return path


def test_coverage_ends_with_its_trailer_and_follows_the_schema(dump: Path) -> None:
    done = pcifma("coverage", dump, "--json")
    schema = json.loads((files("pcifma.event") / "schema.json").read_text())
    for line in lines(done):
        jsonschema.validate(line, schema)
    assert [line["class"] for line in lines(done)] == ["coverage"] * 5 + ["coverage.summary"]
    assert (done.returncode, lines(done)[-1]["deaf"], lines(done)[-1]["unknown"]) == (0, 2, 3)


def test_strict_coverage_exits_1_for_a_deaf_function_and_3_for_an_unread_one(dump: Path, tmp_path: Path) -> None:
    assert pcifma("coverage", dump, "--strict").returncode == 1
    short = tmp_path / "short.txt"
    short.write_text(images()[PORT].text(64))
    assert pcifma("coverage", short, "--strict").returncode == 3


def test_waived_functions_leave_strict_coverage_content(dump: Path, tmp_path: Path) -> None:
    waivers = tmp_path / "waivers.yaml"
    waivers.write_text(
        "waivers:\n" + "".join(f"- {{cause: {c}, reason: r, until: 2027-01-01}}\n" for c in ("conventional", "device-control"))
    )
    done = pcifma("coverage", dump, "--strict", "--waivers", waivers)
    assert done.returncode == 0
    assert 'waived until 2027-01-01 "r"' in done.stdout


def test_coverage_of_the_golden_fixture_reads_well() -> None:
    done = pcifma("coverage", FIXTURE)
    assert "malformed-tlp-nomsi  Xen dom0   heard: 0 of 4   deaf: 4   unknown: 0" in done.stdout
    assert "bridge 0000:02:00.0: SERR# forwarding off" in done.stdout
    assert "What would help most" in done.stdout


def test_missing_waiver_file_is_refused_in_one_line(dump: Path) -> None:
    done = pcifma("coverage", dump, "--waivers", "/nonexistent")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_topology_draws_the_tree_with_slots_and_latched_errors(dump: Path) -> None:
    dump.write_text(dump.read_text().replace("110: 00 00", "110: 40 00"))
    done = pcifma("topology", dump)
    assert done.returncode == 0
    assert "└── 0000:04:00.0  endpoint" in done.stdout
    assert "ERROR pciex.dl.btlp" in done.stdout


def test_topology_lines_name_parents_and_fmris(dump: Path) -> None:
    done = lines(pcifma("topology", dump, "--json"))
    schema = json.loads((files("pcifma.event") / "schema.json").read_text())
    for line in done:
        jsonschema.validate(line, schema)
    card = next(line for line in done if line.get("device") == CARD)
    assert (card["parent"], card["type"]) == ("0000:02:00.0", "endpoint")
    assert card["resource"].endswith("/pciexbus=04/pciexdev=0/pciexfn=0")
    assert (done[-1]["class"], done[-1]["functions"]) == ("topology.summary", 5)


def test_hostile_names_reach_no_terminal(tmp_path: Path) -> None:
    dump = tmp_path / "evil\x1b[2J.txt"
    dump.write_text(capture(*images().values()))
    for verb in ("coverage", "topology"):
        assert "\x1b" not in pcifma(verb, dump).stdout
