"""pcifma as it is installed beside this interpreter, run inside a machine or on this computer."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .channel import Result
from .error import LabError
from .machine import Machine

PROGRAM = Path(sys.executable).parent / "pcifma"
SECONDS = 300.0  # a first sweep in dom0 takes 18 s of processor time under TCG


@dataclass(frozen=True, slots=True)
class Bit:
    """One error bit as pcifma reports it: the Function, the class without `ereport.io.`, the register and the bit."""

    device: str
    leaf: str
    register: str
    bit: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """One sweep: its exit status and its JSON lines."""

    status: int
    lines: tuple[dict[str, Any], ...]

    @property
    def bits(self) -> list[Bit]:
        """Every error bit, residue too, in the order of the output."""
        return [
            Bit(line["device"], line["class"].removeprefix("ereport.io."), line["payload"]["register"], line["payload"]["bit"])
            for line in self.lines
            if line["class"].startswith("ereport.io.") and line["class"] != "ereport.io.pci.fabric"
        ]

    def classes(self, device: str) -> list[str]:
        """Return the classes of the Function *device*, sorted, as expect.classes() does."""
        return sorted(bit.leaf for bit in self.bits if bit.device == device)


def inside(machine: Machine, *arguments: str) -> Result:
    """Run pcifma in *machine*."""
    return machine.run(f"{PROGRAM} {' '.join(arguments)}", seconds=SECONDS)


def outside(*arguments: str) -> Result:
    """Run pcifma on this computer."""
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL)
    return Result(done.returncode, done.stdout, done.stderr)


def sweep(result: Result) -> Sweep:
    """Return the lines of `sweep --json`. LabError with standard error if it failed or died before its trailer."""
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    if result.status not in (0, 1, 3) or not lines or lines[-1]["class"] != "sweep.summary":
        raise LabError(f"sweep: status {result.status}\n{result.stdout[-2000:]}{result.stderr}")
    return Sweep(result.status, tuple(lines))
