"""A quiet look in steady state, beside a C loop (cc -O2) that makes the same preads and compares.

    python bench/triage.py                          # real config files of this machine, then a tree of 1,024 Functions in memory
    python bench/triage.py --looks 2000 --rounds 9

Triage is the reading and comparing of a look's fast tier, the look all that is done around it too (clocks, who sleeps, what is due).
Goals for triage: 1.15 times the C loop on real config files, 1.8 times on the tree; exit 1 if one is missed. All are timed by the
processor time of their processes, in turn, many looks a round; the figure is the ratio of the medians. Real config files need root.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from cloop import built
from tree import FUNCTIONS, in_memory, plant

from pcifma.access.open import open_source
from pcifma.access.seam import Machine
from pcifma.fabric.build import build
from pcifma.plugin.loader import sources
from pcifma.poll.poller import Poller

C_LOOP = r"""
    long looks = atol(argv[1]);
    unsigned char (*last)[64] = calloc(n, 64);
    struct timespec t;
    for (char line[8]; fgets(line, sizeof line, stdin);) {
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        double start = t.tv_sec + t.tv_nsec / 1e9;
        for (long look = 0; look < looks; look++)
            for (int i = 0; i < n; i++) {
                unsigned char now[64];
                if (pread(reads[i].fd, now, reads[i].length, reads[i].offset) != reads[i].length) return 1;
                if (memcmp(now, last[i], reads[i].length)) memcpy(last[i], now, reads[i].length);
            }
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        printf("%.9f\n", t.tv_sec + t.tv_nsec / 1e9 - start);
        fflush(stdout);
    }
}
"""


def measure(machine: Machine, devices: Path, looks: int, rounds: int, directory: Path) -> float:
    """The ratio on *machine*, whose Functions lie in *devices*; printed too."""
    poller = Poller(machine, build(machine), sources())
    poller.look()
    poller.slow_due_ns = 1 << 62  # the fast tier alone
    poller.look()
    tiers = [poller._rota.tier(tier) for tier in ("fast", "saturated")]
    reads = [(devices / str(e.config.bdf) / "config", e.offset, e.length) for tier in tiers for e in tier._entries]
    binary = directory / "loop"
    words = [str(word) for one in reads for word in one]
    triage, look, theirs = [], [], []
    with subprocess.Popen([str(binary), str(looks), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as loop:
        assert loop.stdin is not None and loop.stdout is not None
        for _ in range(rounds):
            triage.append(timed(lambda: [tier.changed() for tier in tiers], looks))
            look.append(timed(poller.look, looks))
            loop.stdin.write("\n")
            theirs.append(float(loop.stdout.readline()))
        loop.stdin.close()
    each = 1e9 / (len(reads) * looks)
    print(f"{len(reads)} reads a look, C loop {each * median(theirs):.0f} ns a read")
    for name, ours in (("triage", triage), ("look", look)):
        print(f"  {name:<7} {each * median(ours):.0f} ns a read: {median(ours) / median(theirs):.2f} times the C loop")
    return median(triage) / median(theirs)


def timed(work: Callable[[], object], times: int) -> float:
    """Processor time of *times* calls, in seconds."""
    start = time.process_time()
    for _ in range(times):
        work()
    return time.process_time() - start


def main() -> int:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--looks", type=int, default=200, help="looks a round")
    parser.add_argument("--rounds", type=int, default=15)
    words = parser.parse_args()
    with in_memory("triage") as directory:
        built(C_LOOP, directory)
        missed = False
        real = Path("/sys/bus/pci/devices")
        if real.is_dir() and any(real.iterdir()):
            missed |= measure(open_source("/sys"), real, words.looks, words.rounds, directory) > 1.15
        else:
            print("no PCI devices here: no real config files")
        plant(directory, FUNCTIONS)
        missed |= measure(open_source(str(directory)), directory / "bus/pci/devices", words.looks, words.rounds, directory) > 1.8
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
