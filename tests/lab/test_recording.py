"""A machine is recorded while errors are injected; its replay elsewhere must give what the registers said, error by error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lab import product
from lab.error import Unavailable
from lab.machine import Machine
from lab.matrix.session import options
from lab.recording import SCENARIOS, came_out, keep, record

FIXTURES = Path(__file__).parents[2] / "fixtures"


@pytest.mark.lab_full
@pytest.mark.parametrize("name", SCENARIOS)
def test_replay_of_a_recording_gives_what_the_registers_said(name: str, update_expected: bool, tmp_path: Path) -> None:
    scenario = SCENARIOS[name]
    try:
        with Machine(scenario.topology, **options(scenario.boot, tmp_path)) as machine:
            expected = record(scenario, machine)
            replayed = product.outside("replay", "--json", str(machine.share / "recording"))
            lines = [json.loads(line) for line in replayed.stdout.splitlines()]
            ereports = [line for line in lines if line["class"].startswith("ereport.")]
            assert came_out(ereports) == expected, replayed.stderr
            if update_expected:
                keep(name, machine.share / "recording", FIXTURES, ereports)
    except Unavailable as reason:
        pytest.skip(f"no laboratory here: {reason}")
