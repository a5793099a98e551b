"""A daemon's life in miniature, run as a process of its own so that it can be killed at any system call.

    python crash.py ROOT [SYNCHRONOUS]

Bits rise one by one; each is logged, then acknowledged (a byte in ROOT/acks stands for the write that clears it), then diagnosed.
Started again, it goes on: what was acknowledged stays clear, what was logged is not news. ROOT/result says what came of it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.event import BOOT, HOST, ereport, suspect

from pcifma.access.clock import SimulatedClock
from pcifma.access.host import NoHost
from pcifma.event.case import ListEvent
from pcifma.event.ereport import Ereport
from pcifma.fabric.fabric import Fabric
from pcifma.fmd.engine.engine import Engine
from pcifma.fmd.engine.module import Registration
from pcifma.fmd.log.batch import Batch
from pcifma.fmd.log.log import Log
from pcifma.plugin.module import Services
from pcifma.poll.latched import Standing

BITS = 8


class Diagnosis:
    """Writes down what it is given, and solves a case on the fourth error."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def recv(self, event: Ereport | ListEvent) -> None:
        noted = json.loads(self.services.get("noted") or b"[]")
        noted.append(event.tick if isinstance(event, Ereport) else event.class_)
        self.services.put("noted", json.dumps(noted).encode())
        if isinstance(event, Ereport):
            case = self.services.open_case("link")
            case.add_ereport(event)
            if self.services.serd("link", 3, 1e6).record(event) and case.state == "UNSOLVED":
                case.add_suspect(suspect())
                case.solve("PCIEX-8000-0A", severity="Major", urgency="now")

    def timeout(self, timer: str, data: str) -> None: ...

    def close(self) -> None: ...

    def stats(self) -> Mapping[str, int]:
        return {}

    def topo(self, fabric: Fabric) -> None: ...


def look(log: Log, engine: Engine, acks: int, cleared: set[int]) -> None:
    """Log, acknowledge and diagnose each bit that is not clear yet."""
    reader = log.reader()
    known = {row.bit for row in reader.latched()}
    reader.close()
    for bit in range(BITS):
        if bit in cleared:
            continue
        if bit not in known:
            standing = Standing("card", "ECAP_AER+10.l", bit, BOOT, 0, bit, True)
            log.append(Batch(boot_ns=bit, ereports=(ereport(bit),), latched=(standing,))).wait()
        os.write(acks, bytes([bit]))
        engine.pump()


def result(log: Log) -> dict[str, object]:
    """What the log holds in the end."""
    reader = log.reader()
    logged = [entry.event for entry in reader.events(0, 1000)]
    found = {
        "events": [event.tick if isinstance(event, Ereport) else event.class_ for event in logged],
        "noted": json.loads(reader.state("diag")["buffer", "noted"]),
        "cases": [(row.state, len(reader.evidence(row.id))) for row in reader.cases()],
    }
    reader.close()
    return found


def main(root: Path, synchronous: str = "") -> None:
    """Live from the last crash to the end."""
    acks = os.open(root / "acks", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    cleared = set(os.read(acks, 1000))
    clock = SimulatedClock()
    log = Log.open(root / "log.db", clock=clock)
    if synchronous:
        log.do(lambda store: store.opened().connection.execute(f"PRAGMA synchronous={synchronous}").close()).wait()
    engine = Engine(log, clock, host=HOST, boot=BOOT, facts=NoHost(), fabric=Fabric("f" * 16, {}))
    engine.register(Registration("diag", "1", Diagnosis, ("ereport.io.*", "list.*")))
    look(log, engine, acks, cleared)
    for _ in range(10):
        while engine.pump():
            pass
        log.flush()
    engine.close()
    (root / "result").write_text(json.dumps(result(log)))
    log.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
