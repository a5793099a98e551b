"""A flood through the whole daemon: every Function of a machine raises the same errors again and again, and is diagnosed.

    python bench/flood.py                           # 1,000,000 ereports from 256 Functions
    python bench/flood.py --ereports 100000 --functions 1024

Makes a sysfs tree in memory (bench/tree.py), runs `pcifma fmd --source TREE` with all its modules, and sets and clears error bits in the
tree, each time for as long as the daemon needs to see it, so that what was raised is known exactly. Checks that the sums of `count` in the
log are what was raised. Goals: 100 MiB PSS over all processes, 64 MiB of log, 200 ms at p99 for an answer on the control socket; exit 1 if
one is missed.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from idle import family, pss_kib
from support.daemon import Daemon, configure, daemon
from tree import in_memory, plant

# Where bench/tree.py puts them: Device Status, AER Uncorrectable and Correctable Error Status; and what is raised in them.
RAISED = ((0x4A, 0x0003), (0x104, 1 << 12 | 1 << 14), (0x110, 1 << 0 | 1 << 6 | 1 << 7 | 1 << 12))
CLASSES = tuple(f"ereport.io.pciex.{leaf}" for leaf in ("tl.ptlp", "tl.cto", "pl.re", "dl.btlp", "dl.bdllp", "dl.rto"))
PSS_MIB, LOG_MIB, ANSWER_MS = 100.0, 64.0, 200.0
_PAUSE_S, _PATIENCE_S = 0.05, 600.0


class Watch(threading.Thread):
    """Asks the daemon for its status, twenty times a second, and how large it is, once a second."""

    def __init__(self, running: Daemon) -> None:
        super().__init__(daemon=True)
        self._running, self._ended = running, threading.Event()
        self.answers_ms: list[float] = []
        self.pss_mib = self.log_mib = 0.0

    def run(self) -> None:
        """Until *end*."""
        due_s = 0.0
        while not self._ended.wait(_PAUSE_S):
            started_s = time.monotonic()
            self._running.status()
            self.answers_ms.append((time.monotonic() - started_s) * 1000)
            if started_s >= due_s:
                due_s = started_s + 1.0
                self.pss_mib = max(self.pss_mib, sum(map(pss_kib, family(self._running.process.pid))) / 1024)
                files = self._running.paths.log.parent.glob(f"{self._running.paths.log.name}*")
                self.log_mib = max(self.log_mib, sum(path.stat().st_size for path in files) / (1 << 20))

    def end(self) -> None:
        """Stop watching."""
        self._ended.set()
        self.join()

    @property
    def p99_ms(self) -> float:
        """What 99 of 100 answers did not take longer than."""
        return sorted(self.answers_ms)[len(self.answers_ms) * 99 // 100]


def write(configs: list[Path], *, raised: bool) -> None:
    """Set the bits of every Function, or clear them."""
    for path in configs:
        with path.open("r+b", buffering=0) as file:
            for offset, bits in RAISED:
                file.seek(offset)
                file.write((bits if raised else 0).to_bytes(2, "little"))


def sums(running: Daemon) -> dict[str, int]:
    """What the log holds, and held, of each of CLASSES: the sum of its counts."""
    reader = running.log()
    try:
        rows = reader.connection.execute("SELECT class, sum(count) FROM error JOIN origin ON origin.id = error.origin GROUP BY class")
        kept = dict(rows)
        retired = {class_: count for class_, (_, count) in reader.retired().items()}
    finally:
        reader.close()
    return {class_: kept.get(class_, 0) + retired.get(class_, 0) for class_ in CLASSES}


def flood(running: Daemon, configs: list[Path], times: int) -> float:
    """Raise all bits *times* times; seconds from the last one's until every module has done with everything."""
    for _ in range(times):
        for raised in (True, False):
            write(configs, raised=raised)
            running.until_looks(2)  # one may be under way, and be past some Functions
    ended_s = time.monotonic()
    wanted = dict.fromkeys(CLASSES, times * len(configs))
    while time.monotonic() < ended_s + _PATIENCE_S and (sums(running) != wanted or not is_done(running)):
        time.sleep(0.2)
    return time.monotonic() - ended_s


def is_done(running: Daemon) -> bool:
    """True if every module's cursor is at the end of the log."""
    reader = running.log()
    try:
        last = reader.last()
        return all(one.cursor >= last for one in reader.modules())
    finally:
        reader.close()


def main() -> int:
    """Flood, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--functions", type=int, default=256)
    parser.add_argument("--ereports", type=int, default=1_000_000, help="how many error bits are raised, about")
    options = parser.parse_args()
    with in_memory("flood") as directory:
        return run(directory, options.functions, max(1, options.ereports // (options.functions * len(CLASSES))))


def run(directory: Path, functions: int, times: int) -> int:
    """As *main*, in *directory*."""
    plant(directory / "sys", functions)
    configs = sorted((directory / "sys").glob("bus/pci/devices/*/config"))
    root = directory / "root"
    configure(root, "poll: {interval: 100ms}\n")
    with daemon(root, "--source", str(directory / "sys")) as running:
        running.until_looks(2)
        watch = Watch(running)
        watch.start()
        started_s = time.monotonic()
        late_s = flood(running, configs, times)
        spent_s = time.monotonic() - started_s
        watch.end()
        found, modules = sums(running), running.ask("stat")
    raised, each = times * len(configs), sorted(set(found.values()))
    print(f"{raised * len(CLASSES)} error bits of {len(configs)} Functions in {spent_s:.0f} s; the log's sums: {each} a class")
    print(f"every module had done with all of it {late_s:.1f} s later; diagnosis took {modules['pcie_diagnosis']['delivered']} events")
    print(f"memory {watch.pss_mib:.1f} MiB PSS (goal {PSS_MIB:g}), log {watch.log_mib:.1f} MiB (goal {LOG_MIB:g})")
    print(f"control socket {watch.p99_ms:.0f} ms at p99, {max(watch.answers_ms):.0f} at most (goal {ANSWER_MS:g})")
    met = watch.pss_mib <= PSS_MIB and watch.log_mib <= LOG_MIB and watch.p99_ms <= ANSWER_MS
    return int(not met or found != dict.fromkeys(CLASSES, raised))


if __name__ == "__main__":
    sys.exit(main())
