"""Diagnosis against the log: a large machine, many faults at once, and a storm of ereports, through the real log and engine.

    python bench/diagnosis.py                                  # 10,000 Functions, 100 faults, 1,000,000 ereports
    python bench/diagnosis.py --ereports 100000 --dir /dev/shm

Three faults in five are links that corrupt data, two are devices that time out or poison; all of them go on all the time. Time is
simulated, a thousand ereports a second, and goes on as fast as log and engine take them, in turn. Prints how many ereports a second of
CPU the log makes durable, and how many the engine with the module diagnoses; how large process and files are; whether the cases are right.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random

import msgspec
from durable import prototype

from pcifma.access.clock import EPOCH_2000_NS, SimulatedClock
from pcifma.access.host import NoHost
from pcifma.event.case import ListEvent
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
LINK_STATUS = 0x1043  # 8 GT/s x4
TOLD = 5  # times that the sizes are printed
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
    """*many* faults on as many cards: what each shows, as (leaf, device, severity, names).

    Each card is below a Root Port of its own: two cards of one switch that time out together are one fault of that switch, likelier.
    """
    draw, below = Random(1), dict[Bdf, list[Function]]()
    for one in fabric:
        if one.dev_type == DevType.ENDPOINT and one.bdf.function == 0:
            below.setdefault(fabric.path(one)[0].bdf, []).append(one)
    found: list[Fault] = []
    for n, root in enumerate(draw.sample(sorted(below), many)):
        card = draw.choice(below[root])
        me, path = str(card.bdf), [str(step.bdf) for step in fabric.path(card)]
        if n % 5 < 3:
            found.append((("dl.btlp", me, "correctable", {}), ("dl.rto", path[-2], "correctable", {}), ("pl.re", me, "correctable", {})))
        elif n % 5 == 3:
            found.append((("tl.cto", path[0], "nonfatal", {"tlp-target": me}),))
        else:
            found.append(tuple(("tl.ptlp", device, "nonfatal", {"tlp-requester": me}) for device in path[:-1]))
    return found


def batched(events: Iterator[Ereport]) -> Iterator[tuple[Ereport, ...]]:
    """*events* as they come to the log."""
    while batch := tuple(islice(events, BATCH)):
        yield batch


def storm(shown: list[Fault], total: int) -> Iterator[Ereport]:
    """*total* ereports of all faults in turn."""
    kind = prototype(0, 6)
    for n, device in enumerate(sorted({device for symptoms in shown for _, device, _, _ in symptoms})):  # as the first look tells them
        changes = {"class_": "ereport.io.pci.fabric", "device": device, "severity": "info", "payload": {"pcie_link_status": LINK_STATUS}}
        yield msgspec.structs.replace(kind, uuid=f"{n:08x}-0000-4000-8000-{n:012x}", **changes)
    for n in range(total):
        symptoms = shown[n % len(shown)]
        leaf, device, severity, names = symptoms[n // len(shown) % len(symptoms)]
        at_ns, tick = EPOCH_2000_NS + n * 10**9 // PER_SECOND, n // PER_SECOND
        changes = {"class_": f"ereport.io.pciex.{leaf}", "device": device, "severity": severity, "payload": names}
        times = {"time": utc(at_ns), "not_before": utc(at_ns - 10**9)}
        yield msgspec.structs.replace(kind, uuid=f"{n:08x}-0000-5000-8000-{n:012x}", tick=tick, ena="", **changes, **times)


class Run:
    """A log with the engine and the module on it. *log_s*, *engine_s*: CPU that each took, its share of writing to disk included."""

    def __init__(self, directory: Path, fabric: Fabric) -> None:
        self.directory, self.log_s, self.engine_s = directory, 0.0, 0.0
        self._clock = SimulatedClock()
        self._log = Log.open(directory / "log.db", clock=self._clock)
        self._engine = Engine(self._log, self._clock, host="bench", boot=prototype(0, 0).boot, facts=NoHost(), fabric=fabric)
        self._module = self._engine.register(registration(builtin(["pcie_diagnosis"])[0]))

    def take(self, batch: tuple[Ereport, ...]) -> None:
        """Log *batch*, then diagnose it; the process does nothing else meanwhile, so that its CPU time is theirs in turn."""
        self._clock.wait_until(self._clock.boot_ns() + len(batch) * 10**9 // PER_SECOND)
        started = time.process_time()
        self._log.append(Batch(boot_ns=self._clock.boot_ns(), ereports=batch)).wait(_DURABLE_S)
        logged = time.process_time()
        while self._engine.pump():
            pass
        self._engine.wait()
        self.log_s += logged - started
        self.engine_s += time.process_time() - logged

    def end(self) -> list[ListEvent]:
        """Close; all that was told, in order."""
        reader = self._log.reader()
        told = list(reader.lists())
        reader.close()
        if self._module.failed:
            raise SystemExit(f"the module was set aside: {self._module.failed}")
        self._engine.close()
        self._log.close()
        return told

    def size(self) -> str:
        """What the process and the files take now."""
        resident = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
        return f"process {resident >> 20} MiB resident, files {sum(path.stat().st_size for path in self.directory.iterdir()) >> 20} MiB"


def wrong(shown: list[Fault], told: list[ListEvent]) -> list[str]:
    """What is wrong with the cases: each fault must have one, whose first suspect is its card, and nothing else may."""
    cards = {fault[0][3].get("tlp-target") or fault[0][3].get("tlp-requester") or fault[0][1] for fault in shown}
    first = {event.uuid: event.fault_list[0] for event in told if event.class_ == "list.suspect"}
    blamed = [suspect.device for suspect in first.values()]
    missed = [f"no case for {card}" for card in sorted(cards - set(blamed))]
    beside = [one for one in first.values() if one.device not in cards or blamed.count(one.device) > 1]
    return missed + [f"{one.class_} at {one.device} is no fault, or has a second case" for one in beside]


def main() -> int:
    """Run and print; exit 1 if a case is wrong."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--functions", type=int, default=10_000)
    options.add_argument("--faults", type=int, default=100)
    options.add_argument("--ereports", type=int, default=1_000_000)
    options.add_argument("--dir", type=Path, help="where the log is made (default: a temporary directory)")
    given = options.parse_args()
    sys.setswitchinterval(0.0005)
    fabric = machine(given.functions)
    shown = faults(fabric, given.faults)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=given.dir) as directory:
        run = Run(Path(directory), fabric)
        for n, batch in enumerate(batched(storm(shown, given.ereports))):
            run.take(batch)
            if (n + 1) % (given.ereports // BATCH // TOLD or 1) == 0:
                print(f"{(n + 1) * BATCH:9d} ereports: {run.size()}", flush=True)
        told = run.end()
    mistakes = wrong(shown, told)
    print(f"{len(fabric.functions)} Functions, {given.faults} faults, {given.ereports} ereports in {time.perf_counter() - started:.0f} s")
    print(f"log {given.ereports / run.log_s:.0f} ereports/s of CPU, diagnosis {given.ereports / run.engine_s:.0f} ereports/s of CPU")
    print(f"{len({event.uuid for event in told})} cases, wrong or missing: {len(mistakes)}", *mistakes[:20], sep="\n  ")
    return int(bool(mistakes))


if __name__ == "__main__":
    sys.exit(main())
