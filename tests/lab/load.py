"""What looking costs on a machine of some hundred Functions: python -m lab.load [--seconds N].

256 multifunction endpoints behind Root Ports of four root buses. For each of pcifma, collectd's pcie_errors and rasdaemon, alone and idle:
processor seconds in a minute (/proc/PID/stat), and system calls that read configuration registers (strace -c, in a run of its own).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from .daemon import Daemon
from .error import LabError, Unavailable
from .machine import Machine
from .matrix.witness import COLLECTD
from .topology import Node, Topology, endpoint, host_bridge, root_port

BOOT_SECONDS = 900.0  # firmware and kernel number so many Functions for minutes where the computer is crowded
BUSES, PORTS, FUNCTIONS = 4, 8, 8
TICKS = 100  # a second, in /proc/PID/stat
PEERS = {
    "collectd": "mkdir -p /var/lib/collectd; collectd -f -C /lab/collectd.conf >/lab/collectd.err 2>&1 & echo $!",
    "rasdaemon": "mkdir -p /var/lib/rasdaemon; rasdaemon -f -r >/lab/ras.log 2>&1 & echo $!",
}


@dataclass(frozen=True, slots=True)
class Cost:
    """What one daemon took: processor seconds a minute, and system calls a second that read."""

    name: str
    processor: float
    reads: float


def topology() -> Topology:
    """Return four root buses, eight Root Ports each, eight Functions behind each."""
    first, *others = ([*_ports(bus)] for bus in range(BUSES))
    return Topology((*first, *(host_bridge(f"hb{bus}", *ports, bus=64 * bus) for bus, ports in enumerate(others, 1))))


def measure(machine: Machine, name: str, pids: Sequence[int], seconds: int) -> Cost:
    """Return what the processes *pids* cost while nothing happens, for *seconds* each way."""
    before = _ticks(machine, pids)
    machine.check(f"sleep {seconds}", seconds * 4 + 60)
    spent = (_ticks(machine, pids) - before) / TICKS
    of = " ".join(f"-p {pid}" for pid in pids)
    traced = machine.check(f"timeout -s INT {seconds} strace -f -c -e trace=read,pread64,preadv {of} 2>&1 || true", seconds * 4 + 60)
    return Cost(name, spent * 60 / seconds, calls(traced) / seconds)


def calls(summary: str) -> int:
    """Return how many calls of the read family the summary of `strace -c` counts."""
    rows = (line.split() for line in summary.splitlines())
    return sum(int(words[3]) for words in rows if len(words) >= 5 and words[-1] in ("read", "pread64", "preadv"))


def run(seconds: int) -> Iterator[str]:
    """Boot, measure each daemon alone, and yield the lines of a table."""
    machine = Machine(topology(), packages=("collectd-core", "strace"), memory=2048)
    machine.boot(BOOT_SECONDS)
    with closing(machine):
        count = len(machine.check("ls /sys/bus/pci/devices").split())
        roots = len(machine.check("ls -d /sys/devices/pci*").split())
        (machine.share / "collectd.conf").write_text(COLLECTD)
        yield f"{count} Functions on {roots} root buses, Linux {machine.release}, {machine.accelerator}; {seconds} s each"
        yield "| daemon | processor seconds a minute | reads a second |"
        yield "|---|---|---|"
        with Daemon(machine) as daemon:
            daemon.looked(5)
            yield _row(measure(machine, "pcifma", daemon.pids(), seconds))
        for name, start in PEERS.items():
            pid = int(machine.check(start).split()[-1])
            machine.check("sleep 5")
            yield _row(measure(machine, name, [pid], seconds))
            machine.check(f"kill {pid}; while test -e /proc/{pid}; do sleep .2; done")


def main() -> int:
    """Measure and print; 2 if that is not possible here."""
    parser = argparse.ArgumentParser(prog="lab.load", description="What looking at some hundred Functions costs.")
    parser.add_argument("--seconds", type=int, default=60)
    given = parser.parse_args()
    try:
        for line in run(given.seconds):
            print(line, flush=True)
    except (Unavailable, LabError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _ports(bus: int) -> Iterator[Node]:
    for number in range(PORTS):
        first = endpoint(f"f{bus}.{number}.0", "virtio-rng-pci,aer=on,addr=0.0,multifunction=on")
        rest = (endpoint(f"f{bus}.{number}.{part}", f"virtio-rng-pci,aer=on,addr=0.{part}") for part in range(1, FUNCTIONS))
        yield root_port(f"rp{bus}.{number}", first, *rest, device="pcie-root-port,hotplug=off,io-reserve=0")


def _ticks(machine: Machine, pids: Sequence[int]) -> int:
    text = machine.check("cat " + " ".join(f"/proc/{pid}/stat" for pid in pids))
    return sum(sum(int(word) for word in line.rpartition(")")[2].split()[11:13]) for line in text.splitlines())


def _row(cost: Cost) -> str:
    return f"| {cost.name} | {cost.processor:.1f} | {cost.reads:.0f} |"


if __name__ == "__main__":
    sys.exit(main())
