"""How fast captures are read: the 1,024-Function machine of tree.py as one text, or the files given.

    python bench/capture.py [FILE...]

Prints, for each, the median of five readings, in processor time.
"""

from __future__ import annotations

import statistics
import sys
import time
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from tree import FUNCTIONS, functions

from pcifma.access.capture import parse_capture

ROUNDS = 5


def measure(name: str, data: bytes) -> str:
    """One line: size, Functions, time, rate."""
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        capture = parse_capture(data, name)
        times.append(time.process_time() - start)
    median = statistics.median(times)
    size = f"{len(data) / 1e6:.2f} MB, {len(capture.configs)} Functions"
    return f"{name}: {size}, {1e3 * median:.0f} ms, {len(data) / median / 1e6:.1f} MB/s"


def main(files: list[str]) -> None:
    """Measure each of *files*, or the machine of tree.py."""
    for file in files:
        print(measure(file, Path(file).read_bytes()))
    if not files:
        print(measure("synthetic", "\n".join(image.text() for image in islice(functions(), FUNCTIONS)).encode()))


if __name__ == "__main__":
    main(sys.argv[1:])
