"""Diagnosis against the log: a large machine, many faults at once, and a storm of ereports, through the real log and engine.

    python bench/diagnosis.py                                  # 10,000 Functions, 100 faults, 1,000,000 ereports
    python bench/diagnosis.py --ereports 100000 --dir /dev/shm

Three faults in five are links that corrupt data, two are devices that time out or poison; all of them go on all the time. Time is
simulated, a thousand ereports a second, and goes on as fast as the engine takes them. Prints how many ereports a second of CPU the
engine hands out with the module at work; docs/performance.md has the log's own rate.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import msgspec
from durable import prototype

from pcifma.access.clock import EPOCH_2000_NS, SimulatedClock
from pcifma.access.host import NoHost
from pcifma.event.ereport import Ereport
from pcifma.event.identity import utc
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.function import FoundCapability, Function
from pcifma.fmd.engine.engine import Engine
from pcifma.fmd.log.batch import Batch
from pcifma.fmd.log.log import Log
from pcifma.fmd.rehearsal import registration
from pcifma.plugin.loader import builtin
from pcifma.regs.bdf import Bdf
from pcifma.regs.exp import DevType

PORTS, CARDS, FUNCTIONS = 25, 8, 4  # Root Ports a segment, cards below the switch of each, Functions a card
PER_SECOND, BATCH = 1000, 500
_AER = (FoundCapability("CAP_EXP", 0x10, False, 2, 0x40), FoundCapability("ECAP_AER", 0x1, True, 2, 0x100))
_DURABLE_S = 60.0


def machine(functions: int) -> Fabric:
    """A fabric of at least *functions* Functions: Root Ports, below each a switch, below that cards of four Functions."""
    found: dict[Bdf, Function] = {}

    def add(bdf: Bdf, kind: DevType, parent: Bdf | None) -> Bdf:
        below = (0, 0) if kind is not DevType.ENDPOINT else None
        found[bdf] = Function(
            bdf=bdf, vendor=0x1DE5, device=1, subsystem_vendor=0, subsystem_device=0, class_code=0, revision=0, header_type=0,
            multifunction=True, dev_type=kind, capabilities=_AER, size=4096, parent=parent, bus_range=below,
        )  # fmt: skip
        return bdf

    root = 0
    while len(found) < functions:
        segment, bus = root // PORTS, 1 + root % PORTS * (CARDS + 2)
        port = add(Bdf(segment, 0, 1 + root % PORTS, 0), DevType.ROOT_PORT, None)
        up = add(Bdf(segment, bus, 0, 0), DevType.UPSTREAM_PORT, port)
        for n in range(CARDS):
            down = add(Bdf(segment, bus + 1, n, 0), DevType.DOWNSTREAM_PORT, up)
            for function in range(FUNCTIONS):
                add(Bdf(segment, bus + 2 + n, 0, function), DevType.ENDPOINT, down)
        root += 1
    below: dict[Bdf, tuple[Bdf, ...]] = {}
    for one in found.values():
        if one.parent is not None:
            below[one.parent] = (*below.get(one.parent, ()), one.bdf)
    return Fabric("f" * 16, found, below)


Fault = tuple[tuple[str, str, str, dict[str, str]], ...]


def faults(fabric: Fabric, many: int) -> list[Fault]:
    """*many* faults on as many cards: what each shows, as (leaf, device, severity, names)."""
    cards = [one for one in fabric if one.dev_type == DevType.ENDPOINT and one.bdf.function == 0]
    found: list[Fault] = []
    for n, card in enumerate(Random(1).sample(cards, many)):
        me, path = str(card.bdf), [str(step.bdf) for step in fabric.path(card)]
        if n % 5 < 3:
            found.append((("dl.btlp", me, "correctable", {}), ("dl.rto", path[-2], "correctable", {}), ("pl.re", me, "correctable", {})))
        elif n % 5 == 3:
            found.append((("tl.cto", path[0], "nonfatal", {"tlp-target": me}),))
        else:
            found.append(tuple(("tl.ptlp", device, "nonfatal", {"tlp-requester": me}) for device in path[:-1]))
    return found


def storm(shown: list[Fault], total: int) -> Iterator[Ereport]:
    """*total* ereports of all faults in turn."""
    kind = prototype(0, 6)
    for n in range(total):
        symptoms = shown[n % len(shown)]
        leaf, device, severity, names = symptoms[n // len(shown) % len(symptoms)]
        at_ns, tick = EPOCH_2000_NS + n * 10**9 // PER_SECOND, n // PER_SECOND
        changes = {"class_": f"ereport.io.pciex.{leaf}", "device": device, "severity": severity, "payload": names}
        times = {"time": utc(at_ns), "not_before": utc(at_ns - 10**9)}
        yield msgspec.structs.replace(kind, uuid=f"{n:08x}-0000-5000-8000-{n:012x}", tick=tick, ena="", **changes, **times)


def run(directory: Path, fabric: Fabric, shown: list[Fault], total: int) -> tuple[float, int]:
    """Seconds of CPU that the engine with the module took, and cases that were told."""
    clock = SimulatedClock()
    log = Log.open(directory / "log.db", clock=clock)
    engine = Engine(log, clock, host="bench", boot="bench", facts=NoHost(), fabric=fabric)
    module = engine.register(registration(builtin(["pcie_diagnosis"])[0]))
    spent_s, batch = 0.0, []  # of this thread's CPU: the machine may be busy with other things
    for event in storm(shown, total):
        batch.append(event)
        if len(batch) == BATCH:
            clock.wait_until(clock.boot_ns() + BATCH * 10**9 // PER_SECOND)
            log.append(Batch(boot_ns=clock.boot_ns(), ereports=tuple(batch))).wait(_DURABLE_S)
            batch = []
            started = time.thread_time()
            while engine.pump():
                pass
            spent_s += time.thread_time() - started
    engine.wait()
    told = len({one.uuid for one in log.reader().lists() if one.class_ == "list.suspect"})
    if module.failed:
        raise SystemExit(f"the module was set aside: {module.failed}")
    engine.close()
    log.close()
    return spent_s, told


def main() -> None:
    """Run and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--functions", type=int, default=10_000)
    options.add_argument("--faults", type=int, default=100)
    options.add_argument("--ereports", type=int, default=1_000_000)
    options.add_argument("--dir", type=Path, help="where the log is made (default: a temporary directory)")
    given = options.parse_args()
    sys.setswitchinterval(0.0005)
    fabric = machine(given.functions)
    with tempfile.TemporaryDirectory(dir=given.dir) as directory:
        spent_s, told = run(Path(directory), fabric, faults(fabric, given.faults), given.ereports)
    print(f"{len(fabric.functions)} Functions, {given.faults} faults, {given.ereports} ereports: {told} cases")
    print(f"engine and module {given.ereports / spent_s:.0f} ereports/s ({spent_s:.1f} s of CPU)")


if __name__ == "__main__":
    main()
