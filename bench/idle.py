"""What the daemon costs when nothing happens: CPU a second and memory, beside a C loop that makes the same reads.

    python bench/idle.py [--functions 256] [--interval 1] [--seconds 60]

Makes a sysfs tree in memory (bench/tree.py), runs `pcifma fmd --source TREE` and the C loop one after the other, and reads what the
kernel counted: run time of all threads of all the daemon's processes (/proc/PID/task/*/schedstat), PSS (smaps_rollup). Goals: at most
1.3 times the C loop plus 2 ms a second; at most 45 MiB over all processes. Exit 1 if missed. Needs a C compiler.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from cloop import built
from support.daemon import configure, daemon
from tree import in_memory

DEVICE_STATUS, ROOT_ERROR_STATUS = (0x4A, 2), (0x130, 4)  # where bench/tree.py puts them
ROOT_PORT = 0x4
TIMES, SLACK_MS, PSS_MIB = 1.3, 2.0, 45.0

C_LOOP = r"""
    double interval = atof(argv[1]);
    unsigned char (*last)[8] = calloc(n, 8);
    struct timespec pause = { (time_t)interval, (long)((interval - (time_t)interval) * 1e9) };
    for (;;) {
        for (int i = 0; i < n; i++) {
            unsigned char now[8] = {0};
            if (pread(reads[i].fd, now, reads[i].length, reads[i].offset) != reads[i].length) return 1;
            if (memcmp(now, last[i], 8)) memcpy(last[i], now, 8);
        }
        nanosleep(&pause, NULL);
    }
}
"""


def reads_of(tree: Path) -> list[tuple[Path, int, int]]:
    """The reads of one look in the fast tier."""
    found = []
    for config in sorted(tree.glob("bus/pci/devices/*/config")):
        found.append((config, *DEVICE_STATUS))
        if config.read_bytes()[0x42] >> 4 == ROOT_PORT:
            found.append((config, *ROOT_ERROR_STATUS))
    return found


def run_ns(pids: list[int]) -> int:
    """Time that the threads of *pids* have run, in ns."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                total += int((task / "schedstat").read_text().split()[0])
    return total


def pss_kib(pid: int) -> int:
    """Proportional set size of *pid*."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def family(pid: int) -> list[int]:
    """*pid* and its descendants."""
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def measure(pids: list[int], seconds: float) -> float:
    """Milliseconds of run time a second, over *seconds*."""
    start_ns, before = time.monotonic_ns(), run_ns(pids)
    time.sleep(seconds)
    return (run_ns(pids) - before) / (time.monotonic_ns() - start_ns) * 1000


@contextlib.contextmanager
def c_loop(directory: Path, reads: list[tuple[Path, int, int]], interval: float) -> Iterator[int]:
    """The process id of the C loop."""
    program = built(C_LOOP, directory)
    arguments = [str(word) for one in reads for word in one]
    process = subprocess.Popen([str(program), str(interval), *arguments])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def main() -> int:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--functions", type=int, default=256)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between two looks")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to measure each")
    options = parser.parse_args()
    with in_memory("idle") as directory:
        return run(directory, options)


def run(directory: Path, options: argparse.Namespace) -> int:
    """As *main*, in *directory*."""
    tree, root = directory / "sys", directory / "root"
    subprocess.run([sys.executable, str(Path(__file__).with_name("tree.py")), str(tree), "--functions", str(options.functions)], check=True)
    reads = reads_of(tree)
    with c_loop(directory, reads, options.interval) as pid:
        time.sleep(2)
        loop_ms = measure([pid], options.seconds)
    configure(root, f"poll: {{interval: {options.interval:g}s}}\n")
    with daemon(root, "--source", str(tree)) as running:
        running.until_looks(3)
        pids = family(running.process.pid)
        daemon_ms = measure(pids, options.seconds)
        status = running.status()
        sizes = {pid: pss_kib(pid) / 1024 for pid in pids}
    goal_ms, pss_mib = TIMES * loop_ms + SLACK_MS, sum(sizes.values())
    print(f"functions {options.functions}, reads a look {len(reads)}, looks {status['looks']}, unread {sum(status['unread'].values())}")
    print(f"C loop    {loop_ms:.2f} ms a second")
    print(f"daemon    {daemon_ms:.2f} ms a second (goal {goal_ms:.2f})")
    print(f"memory    {pss_mib:.1f} MiB PSS (goal {PSS_MIB:g}): " + ", ".join(f"{size:.1f}" for size in sizes.values()))
    return int(daemon_ms > goal_ms or pss_mib > PSS_MIB or bool(status["unread"]))


if __name__ == "__main__":
    sys.exit(main())
