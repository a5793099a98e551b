"""System calls a tick, beside collectd's pcie_errors plugin on the same tree: one open and two preads a Function there.

    python bench/calls.py [--functions 1024] [--ticks 10]

Both run under `strace -f -c` on a tree in memory (bench/tree.py): the poller for its first look and *ticks* quiet ones (fast and slow
tier as they fall due), less the first look alone; collectd for some *ticks* intervals of a second, divided by the opens of one
Function's config. Goal: fewer than collectd; exit 1 if missed. Needs strace and collectd (collectd-core).
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from tree import FUNCTIONS, in_memory, plant

LOOKS = """
import sys
from pcifma.access.open import open_source
from pcifma.fabric.build import build
from pcifma.plugin.loader import sources
from pcifma.poll.poller import Poller
machine = open_source(sys.argv[1])
poller = Poller(machine, build(machine), sources())
for _ in range(int(sys.argv[2]) + 1):
    poller.look()
"""
COLLECTD = """
Interval 1
BaseDir "{directory}"
PIDFile "{directory}/pid"
LoadPlugin pcie_errors
<Plugin pcie_errors>
  Source "sysfs"
  AccessDir "{tree}/bus/pci"
</Plugin>
"""


def calls(command: list[str], out: Path) -> str:
    """strace's table for *command*."""
    subprocess.run(
        ["strace", "-f", "-c", "-o", str(out), *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=300, check=False
    )
    return out.read_text()


def count(table: str, name: str = "total") -> int:
    """The calls column of the row *name*."""
    for line in table.splitlines():
        words = line.split()
        if words and words[-1] == name:
            return int(words[3])
    return 0


def ours(tree: Path, ticks: int, out: Path) -> float:
    """Calls a quiet look."""
    looked = [count(calls([sys.executable, "-c", LOOKS, str(tree), str(n)], out)) for n in (0, ticks)]
    return (looked[1] - looked[0]) / ticks


def collectds(tree: Path, ticks: int, functions: int, out: Path) -> float:
    """Calls an interval, by the opens of the Functions' files."""
    (out.parent / "collectd.conf").write_text(COLLECTD.format(directory=out.parent, tree=tree))
    words = ["timeout", "-k", "5", str(ticks), "collectd", "-f", "-C", str(out.parent / "collectd.conf")]
    table = calls(words, out)
    calls_of = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+).*\b(openat|pread64|close|lseek|fstat|newfstatat|read)$", table, re.M)
    opens = sum(int(n) for n, name in calls_of if name == "openat")
    preads = sum(int(n) for n, name in calls_of if name == "pread64")
    intervals = max(1, round(opens / functions))
    print(f"  collectd: {opens} opens, {preads} preads of {functions} Functions: {intervals} intervals and one scan")
    return count(table) / intervals


def main() -> int:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--functions", type=int, default=FUNCTIONS)
    parser.add_argument("--ticks", type=int, default=10)
    words = parser.parse_args()
    with in_memory("calls") as directory:
        plant(directory / "sys", words.functions)
        mine = ours(directory / "sys", words.ticks, directory / "calls")
        its = collectds(directory / "sys", words.ticks, words.functions, directory / "calls")
    print(f"system calls a tick: pcifma {mine:.0f}, collectd {its:.0f}")
    return int(mine >= its)


if __name__ == "__main__":
    sys.exit(main())
