"""How long `pcifma --help` takes, beside a Python that does nothing.

    python bench/help.py [--count 21]

Goal: 100 ms by the clock, in the median; exit 1 if missed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from statistics import median

from pairs import pairs, row

GOAL_S = 0.1


def main() -> int:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=21, help="runs of each")
    words = parser.parse_args()
    ours, bare = pairs([str(Path(sys.executable).with_name("pcifma")), "--help"], [sys.executable, "-c", "pass"], words.count)
    print(row("pcifma --help", ours))
    print(row("python -c pass", bare))
    return int(median(run.wall for run in ours) > GOAL_S)


if __name__ == "__main__":
    sys.exit(main())
