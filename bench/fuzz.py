"""Throw made-up sources at the whole path, from opening to ereports, for as long as one likes.

    python bench/fuzz.py --count 200000          # of each maker; seeds 0 to count - 1
    python bench/fuzz.py --seed 4711 --maker tar # one input again, with its traceback

Prints one line for each find (maker, seed, what happened) and the rate; exits 1 if there was a find.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.host_tree import images
from support.hunt import Maker, Target, hunt
from support.image import capture
from support.mutate import hostile_capture, hostile_case, hostile_log, hostile_registers, hostile_tar

from pcifma.access.fixture import make_fixture, parts_of_files
from pcifma.access.kernlog.reader import reports
from pcifma.access.open import open_data
from pcifma.access.seam import Machine
from pcifma.errors import PcifmaError
from pcifma.fabric.build import build
from pcifma.plugin.loader import builtin
from pcifma.poll.logged import Logged
from pcifma.poll.poller import Poller

SOURCES = [plugin for plugin in builtin() if plugin.manifest.kind == "source"]
CONFIG = capture(*images()).encode()


def look(machine: Machine) -> None:
    """One sweep."""
    Poller(machine, build(machine), SOURCES).look()


def look_at_data(data: bytes) -> None:
    """Open a capture or tar, and sweep it."""
    look(open_data(data, "input"))


def play(data: bytes) -> None:
    """Play a case.yaml to its end, with a look after each step."""
    fixture = make_fixture(parts_of_files({"case.yaml": data, "config.lspci": CONFIG}, {}, "", "input"), "boot")
    poller = Poller(fixture, build(fixture), SOURCES)
    for at_ns in fixture.steps_ns:
        fixture.clock.advance_to(at_ns)
        poller.look()


def explain(data: bytes) -> None:
    """Make ereports of a log."""
    for _ in Logged("input", "boot", SOURCES).events(reports(io.BytesIO(data))):
        pass


MAKERS: dict[str, tuple[Maker[bytes], Target[bytes]]] = {
    "capture": (hostile_capture, look_at_data),
    "registers": (hostile_registers, look_at_data),
    "case": (hostile_case, play),
    "tar": (hostile_tar, look_at_data),
    "log": (hostile_log, explain),
}


def main() -> int:
    """Hunt; see the module's words."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--maker", choices=list(MAKERS))
    words = parser.parse_args()
    chosen = [words.maker] if words.maker else list(MAKERS)
    if words.seed is not None:
        return _again(*MAKERS[chosen[0]], words.seed)
    return 1 if sum(_hunt(name, words.count, print) for name in chosen) else 0


def _hunt(name: str, count: int, say: Callable[[str], None]) -> int:
    make, target = MAKERS[name]
    start = time.monotonic()
    finds = hunt(target, make, range(count), allowed=(PcifmaError,))
    for find in finds:
        say(f"{name} seed {find.seed}: {find.what}")
    say(f"{name}: {count} inputs, {len(finds)} finds, {count / (time.monotonic() - start):.0f} a second")
    return len(finds)


def _again(make: Maker[bytes], target: Target[bytes], seed: int) -> int:
    made = make(random.Random(seed))
    sys.stdout.buffer.write(made + b"\n")
    try:
        target(made)
    except PcifmaError as err:
        print(err)
    return 0


if __name__ == "__main__":
    sys.exit(main())
