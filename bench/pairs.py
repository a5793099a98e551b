"""Time two commands in turn, A B A B, so that whatever else the machine does hits both alike."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple


class Run(NamedTuple):
    """What one run of a command took, in seconds: by the clock, and of processor time."""

    wall: float
    cpu: float


def run(command: Sequence[str]) -> Run:
    """Run *command*, its output thrown away; ChildProcessError where it fails otherwise than by finding errors (exit 1)."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise ChildProcessError(f"{command[0]}: exit status {process.returncode}")
    return Run(wall, used.ru_utime + used.ru_stime)


def pairs(a: Sequence[str], b: Sequence[str], count: int) -> tuple[list[Run], list[Run]]:
    """*count* runs of each, in turn, after one of each that does not count."""
    run(a), run(b)
    found = [(run(a), run(b)) for _ in range(count)]
    return [one for one, _ in found], [other for _, other in found]


def row(name: str, runs: Sequence[Run]) -> str:
    """A line with the medians, in ms."""
    return f"{name:<24} wall {1e3 * median(r.wall for r in runs):7.1f} ms   cpu {1e3 * median(r.cpu for r in runs):7.1f} ms"


def ratio(a: Sequence[Run], b: Sequence[Run]) -> Run:
    """The ratios of the medians."""
    return Run(median(r.wall for r in a) / median(r.wall for r in b), median(r.cpu for r in a) / median(r.cpu for r in b))
