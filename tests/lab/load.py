"""What looking costs on a machine of some hundred Functions: python -m lab.load [--seconds N] [--write FILE].

256 multifunction endpoints behind Root Ports of four root buses. For each of pcifma, collectd's pcie_errors and rasdaemon, alone:
processor seconds in a minute (/proc/PID/stat) while nothing happens, and while errors come; and, from a run of its own under
`strace -c`, system calls that read.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from .daemon import Daemon
from .error import LabError, Unavailable
from .expect import CORRECTABLE
from .machine import Machine
from .matrix.witness import COLLECTD
from .topology import Node, Topology, endpoint, host_bridge, root_port

BOOT_SECONDS = 900.0  # firmware and kernel number so many Functions for minutes where the computer is crowded
BUSES, PORTS, FUNCTIONS = 4, 8, 8
# Without interrupts and doorbells of their own: each of these costs QEMU a rebuild of its whole memory map, for all others too.
DEVICE = "virtio-rng-pci,aer=on,vectors=0,ioeventfd=off"
TICKS = 100  # a second, in /proc/PID/stat
ERRORS_A_SECOND = 4
PEERS = {
    "collectd": "mkdir -p /var/lib/collectd; collectd -f -C /lab/collectd.conf >/lab/collectd.err 2>&1 & echo $!",
    "rasdaemon": "mkdir -p /var/lib/rasdaemon; rasdaemon -f -r >/lab/ras.log 2>&1 & echo $!",
}


@dataclass(frozen=True, slots=True)
class Cost:
    """What one daemon took: processor seconds a minute while nothing happens and while errors come, and system calls a second that
    read.
    """

    name: str
    idle: float
    reads: float
    loaded: float


def topology() -> Topology:
    """Return four root buses, eight Root Ports each, eight Functions behind each."""
    first, *others = ([*_ports(bus)] for bus in range(BUSES))
    return Topology((*first, *(host_bridge(f"hb{bus}", *ports, bus=64 * bus) for bus, ports in enumerate(others, 1))))


def measure(machine: Machine, name: str, pids: Sequence[int], seconds: int, errors: Iterator[tuple[str, str]]) -> Cost:
    """Return what the processes *pids* cost, for *seconds* each way; *errors* to come are (Function, error)."""
    idle = _minute(machine, pids, lambda: time.sleep(seconds))
    of = " ".join(f"-p {pid}" for pid in pids)
    traced = machine.check(f"timeout -s INT {seconds} strace -f -c -e trace=read,pread64,preadv {of} 2>&1 || true", seconds * 4 + 60)

    def inject() -> None:
        for _ in range(seconds):
            for node, error in itertools.islice(errors, ERRORS_A_SECOND):
                machine.inject(node, error)
            time.sleep(1)

    return Cost(name, idle, calls(traced) / seconds, _minute(machine, pids, inject))


def errors() -> Iterator[tuple[str, str]]:
    """Errors without end, until each Function has had each correctable one."""
    yield from ((node, error.name) for error in CORRECTABLE for node in topology().names("endpoint"))


def calls(summary: str) -> int:
    """Return how many calls of the read family the summary of `strace -c` counts."""
    rows = (line.split() for line in summary.splitlines())
    return sum(int(words[3]) for words in rows if len(words) >= 5 and words[-1] in ("read", "pread64", "preadv"))


def run(seconds: int) -> Iterator[str]:
    """Boot, measure each daemon alone, and yield the lines of a table."""
    machine = Machine(topology(), packages=("collectd-core", "strace"), memory=2048)
    started = time.monotonic()
    machine.boot(BOOT_SECONDS)
    with closing(machine):
        count = len(machine.check("ls /sys/bus/pci/devices").split())
        roots = len(machine.check("ls -d /sys/devices/pci*").split())
        (machine.share / "collectd.conf").write_text(COLLECTD)
        come = errors()
        yield f"{count} Functions on {roots} root buses, Linux {machine.release}, {machine.accelerator}; {seconds} s each way;"
        yield f"up after {time.monotonic() - started:.0f} s.\n"
        yield f"| daemon | processor seconds a minute | reads a second | processor seconds a minute, {ERRORS_A_SECOND} errors a second |"
        yield "|---|---|---|---|"
        with Daemon(machine) as daemon:
            daemon.looked(5)
            yield _row(measure(machine, "pcifma", daemon.pids(), seconds, come))
            _heard(daemon)
        for name, start in PEERS.items():
            pid = int(machine.check(start).split()[-1])
            machine.check("sleep 5")
            yield _row(measure(machine, name, [pid], seconds, come))
            machine.check(f"kill {pid}; while test -e /proc/{pid}; do sleep .2; done")


def main() -> int:
    """Measure and print; 2 if that is not possible here."""
    parser = argparse.ArgumentParser(prog="lab.load", description="What looking at some hundred Functions costs.")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--write", type=Path, help="where the table goes too")
    given = parser.parse_args()
    lines = []
    try:
        for line in run(given.seconds):
            print(line, flush=True)
            lines.append(line)
    except (Unavailable, LabError) as error:
        print(error, file=sys.stderr)
        return 2
    if given.write:
        given.write.write_text("\n".join(lines) + "\n")
    return 0


def _ports(bus: int) -> Iterator[Node]:
    for number in range(PORTS):
        first = endpoint(f"f{bus}.{number}.0", f"{DEVICE},addr=0.0,multifunction=on")
        rest = (endpoint(f"f{bus}.{number}.{part}", f"{DEVICE},addr=0.{part}") for part in range(1, FUNCTIONS))
        yield root_port(f"rp{bus}.{number}", first, *rest, device="ioh3420")


def _heard(daemon: Daemon) -> None:
    # What came was told, so that the figures are of a daemon that works.
    leaves = {f"ereport.io.pciex.{error.leaf}" for error in CORRECTABLE}
    told = sum(event["class"] in leaves and not event["first_look"] for event in daemon.events())
    print(f"pcifma has told of {told} errors", file=sys.stderr)
    if not told:
        raise LabError("pcifma has told of none of the errors")


def _minute(machine: Machine, pids: Sequence[int], meanwhile: Callable[[], None]) -> float:
    # Processor seconds in a minute of the machine's own time.
    before, since = _ticks(machine, pids), _uptime(machine)
    meanwhile()
    return (_ticks(machine, pids) - before) / TICKS * 60 / (_uptime(machine) - since)


def _uptime(machine: Machine) -> float:
    return float(machine.check("cat /proc/uptime").split()[0])


def _ticks(machine: Machine, pids: Sequence[int]) -> int:
    text = machine.check("cat " + " ".join(f"/proc/{pid}/stat" for pid in pids))
    return sum(sum(int(word) for word in line.rpartition(")")[2].split()[11:13]) for line in text.splitlines())


def _row(cost: Cost) -> str:
    return f"| {cost.name} | {cost.idle:.1f} | {cost.reads:.0f} | {cost.loaded:.1f} |"


if __name__ == "__main__":
    sys.exit(main())
