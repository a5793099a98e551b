"""docs/fixtures.md: its examples load, and it has every key that the grammar has."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from pcifma.access.capture import parse_capture
from pcifma.access.host import TreeHost
from pcifma.access.playback import open_fixture
from pcifma.access.script import ANSWERS, PLATFORM, POWER_STATES, STREAMS, Step
from pcifma.access.tree import MemoryTree
from pcifma.errors import FormatError

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/fixtures.md").read_text(encoding="utf-8")
CONFIG = (ROOT / "fixtures/malformed-tlp-nomsi/config.lspci").read_bytes()


def examples(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("case", examples("yaml"))
def test_example_case_loads_and_plays_to_its_end(case: str, tmp_path: Path) -> None:
    (tmp_path / "case.yaml").write_text(case)
    (tmp_path / "config.lspci").write_bytes(CONFIG)

    fixture = open_fixture(tmp_path)
    fixture.clock.advance_to_end()

    assert len(fixture.steps_ns) == case.count("at: ")
    assert fixture.clock.boot_ns() == fixture.end_ns > 0


def test_example_capture_and_reasons_are_read() -> None:
    capture, reasons = examples("text")

    assert parse_capture(capture, "doc").complaints == ()
    host = TreeHost(MemoryTree({"/.why": reasons.encode()}, {}), recorded=True)
    assert host.why("/sys/firmware/acpi/tables/HEST") == "absent"
    assert host.why("/sys/firmware/dmi/tables/DMI") == "permission denied"
    assert host.why("/sys/bus/pci/devices/0000:04:00.0/aer_dev_fatal") == "absent"


def test_example_expectation_is_json() -> None:
    assert [set(json.loads(text)) for text in examples("json")] == [{"ereports", "writes"}]


def test_document_has_every_key_in_the_order_of_the_grammar() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", TEXT.partition("### Steps")[2], re.MULTILINE)

    assert rows == [field.name for field in fields(Step) if field.name not in ("path", "at_ns")]


@pytest.mark.parametrize("word", [*POWER_STATES, *ANSWERS, *STREAMS, *PLATFORM])
def test_document_has_every_word(word: str) -> None:
    assert f"`{word}`" in TEXT


def test_complaint_in_the_document_is_the_real_one(tmp_path: Path) -> None:
    steps = 'steps: [{at: 0s}, {at: 1s, latch: {"0000:04:00.0": {ECAP_DPC+8.w: 1}}}]\n'
    (tmp_path / "case.yaml").write_text(f"about: x\n{steps}")
    (tmp_path / "config.lspci").write_bytes(CONFIG)

    with pytest.raises(FormatError) as caught:
        open_fixture(tmp_path)

    assert str(caught.value).removeprefix(f"{tmp_path}/") in TEXT
