"""What the matrix's modes look like, recorded as fixtures that the fast suite replays: python -m lab.matrix --record DIR."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

from .. import product
from ..error import LabError
from ..machine import Machine
from ..recording import BY_MODE, Scenario, came_out, keep, name_of, pack, record
from .mode import MODES
from .session import options


def record_modes(names: Collection[str], fixtures: Path) -> list[str]:
    """Record each mode of *names* into *fixtures*; what went wrong, a line each, and then nothing is kept of that mode."""
    fixtures.mkdir(exist_ok=True)
    troubles = []
    for name in (name_of(mode) for mode in MODES if mode.name in names and not mode.control):
        try:
            trouble = _recorded(name, BY_MODE[name], fixtures)
        except LabError as error:
            trouble = str(error)
        print(f"{name}: {'failed' if trouble else 'done'}", file=sys.stderr)
        troubles += [f"{name}: {trouble}"] if trouble else []
    return troubles


def _recorded(name: str, scenario: Scenario, fixtures: Path) -> str:
    with tempfile.TemporaryDirectory() as scratch, Machine(scenario.topology, **options(scenario.boot, Path(scratch))) as machine:
        expected = record(scenario, machine)
        made = machine.share / "recording"
        lines = [json.loads(line) for line in product.outside("replay", "--json", str(made)).stdout.splitlines()]
        ereports = [line for line in lines if line["class"].startswith("ereport.")]
        found = came_out(ereports)
        if found != expected:
            return f"missed {dict(expected - found)}, too much {dict(found - expected)}"
        keep(name, made, fixtures, ereports)
        pack(name, fixtures)
        return ""
