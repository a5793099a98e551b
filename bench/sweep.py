"""`pcifma sweep --json` of a tree of 1,024 Functions, whole process, beside `lspci -vvv` of the same tree.

    python bench/sweep.py [--functions 1024] [--count 15]

Makes the tree in memory (bench/tree.py) and runs both in turn. Goal: at most twice lspci, by the clock; exit 1 if missed. Needs
pciutils, and pcifma installed from its wheel: a checkout has no compiled plugins.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pairs import pairs, ratio, row
from tree import FUNCTIONS, in_memory, plant

TIMES = 2.0


def main() -> int:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--functions", type=int, default=FUNCTIONS)
    parser.add_argument("--count", type=int, default=15, help="runs of each")
    words = parser.parse_args()
    with in_memory("sweep") as directory:
        plant(directory, words.functions)
        sweep = [str(Path(sys.executable).with_name("pcifma")), "sweep", "--json", str(directory)]
        lspci = ["lspci", "-O", f"sysfs.path={directory}/bus/pci", "-vvv"]
        ours, theirs = pairs(sweep, lspci, words.count)
    found = ratio(ours, theirs)
    print(row("pcifma sweep --json", ours))
    print(row("lspci -vvv", theirs))
    print(f"ratio of medians: wall {found.wall:.2f}, cpu {found.cpu:.2f} (goal {TIMES:g})")
    return int(found.wall > TIMES)


if __name__ == "__main__":
    sys.exit(main())
