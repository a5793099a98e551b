"""Plugin to case: ereports that are in the log, through dispatch and a diagnosing module, to cases whose list events are on disk.

    python bench/case.py                 # each ereport opens and solves a case of its own (the worst)
    python bench/case.py --functions 256 # evidence for one case a Function, solved by its SERD engine

Ends when an agent has been given every list.suspect.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
from durable import prototype

from pcifma.access.clock import SystemClock
from pcifma.access.host import NoHost
from pcifma.event.case import ListEvent, Suspect
from pcifma.event.ereport import Ereport
from pcifma.event.identity import ena
from pcifma.fabric.fabric import Fabric
from pcifma.fmd.engine.engine import Engine
from pcifma.fmd.engine.module import Registration
from pcifma.fmd.log.batch import Batch
from pcifma.fmd.log.log import Log
from pcifma.plugin.module import Services


class Quiet:
    """What every module has, doing nothing."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.seen = 0

    def timeout(self, timer: str, data: str) -> None:
        """No timers."""

    def close(self) -> None:
        """Nothing to do."""

    def stats(self) -> Mapping[str, int]:
        """None."""
        return {}

    def topo(self, fabric: Fabric) -> None:
        """No interest."""


class Diagnosis(Quiet):
    """Solves a case on the third error of a device."""

    def recv(self, event: Ereport | ListEvent) -> None:
        """Evidence, and a verdict when the SERD engine fires."""
        assert isinstance(event, Ereport)
        self.seen += 1
        device = event.device
        case = self.services.open_case(device)
        case.add_ereport(event)
        if case.state == "UNSOLVED" and self.services.serd(device, int(str(self.services.properties["n"])), 3600.0).record(event):
            case.add_suspect(_suspect(device))
            case.solve("PCIEX-8000-0A", severity="Major", urgency="working-hours")


class Agent(Quiet):
    """Takes list events."""

    def recv(self, event: Ereport | ListEvent) -> None:
        """Count."""
        self.seen += 1


def _suspect(device: str) -> Suspect:
    return Suspect(
        class_="fault.io.pciex.device-interr-corr", certainty=100, status="faulty", device=device, asru=f"dev:///{device}",
        fru=f"hc:///{device}", location="Slot 3", resource=f"hc:///{device}",
    )  # fmt: skip


def ereports(total: int, functions: int) -> list[Ereport]:
    """*total* ereports of *functions* Functions in turn."""
    kind = prototype(0, 6)
    return [
        msgspec.structs.replace(kind, uuid=f"{n:08x}-0000-5000-8000-{n:012x}", tick=n, ena=ena(n), device=f"{n % functions:04x}:00:00.0")
        for n in range(total)
    ]


def run(directory: Path, total: int, functions: int) -> tuple[float, float, int, int]:
    """Seconds, and seconds of CPU, from the first dispatch until the agent has every case, cases solved, and ereports diagnosed."""
    log, clock = Log.open(directory / "log.db", clock=SystemClock()), SystemClock()
    engine = Engine(log, clock, host="bench", boot="bench", facts=NoHost(), fabric=Fabric("f" * 16, {}))
    made: dict[str, Quiet] = {}
    n = 0 if functions == total else 2
    for name, kind, globs in (("diagnosis", Diagnosis, "ereport.io.*"), ("agent", Agent, "list.suspect")):
        open_ = lambda services, name=name, kind=kind: made.setdefault(name, kind(services))  # noqa: E731 # bound here
        engine.register(Registration(name, "1", open_, (globs,), {"n": n}))
    events = ereports(total, functions)
    gc.freeze()
    for start in range(0, total, 500):
        log.append(Batch(boot_ns=clock.boot_ns(), ereports=tuple(events[start : start + 500]))).wait()
    started, cpu_s = time.perf_counter(), time.process_time()
    while made["agent"].seen < functions:
        if not engine.pump():
            log.flush()
    spent_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_s
    engine.close()
    log.close()
    return spent_s, cpu_s, made["agent"].seen, made["diagnosis"].seen


def main() -> None:
    """Run and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--ereports", type=int, default=9000)
    options.add_argument("--functions", type=int, help="default: as many as ereports")
    options.add_argument("--dir", type=Path, help="where the log is made (default: a temporary directory)")
    given = options.parse_args()
    sys.setswitchinterval(0.0005)
    with tempfile.TemporaryDirectory(dir=given.dir) as directory:
        spent_s, cpu_s, cases, diagnosed = run(Path(directory), given.ereports, given.functions or given.ereports)
    rates = f"{diagnosed / spent_s:.0f} ereports/s, {cases / spent_s:.0f} cases/s"
    print(f"{diagnosed} ereports, {cases} cases announced in {spent_s:.2f} s ({cpu_s:.2f} s of CPU): {rates}")


if __name__ == "__main__":
    main()
