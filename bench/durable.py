"""Received to durable: appends ereports to a log at a given rate and says how long each took until it was synced to disk.

    strace -f --seccomp-bpf -o /dev/null -e trace=fdatasync,fsync -e inject=fdatasync,fsync:delay_enter=10000 \
        python bench/durable.py --rate 20000 --seconds 10

holds every sync for 10 ms. Ereports differ in target, register, bit and occurrence as those of a large host do, so none is folded.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from pcifma.access.clock import SystemClock
from pcifma.event.ereport import Ereport
from pcifma.event.identity import ena, ereport_uuid, utc
from pcifma.fmd.log.batch import Batch
from pcifma.fmd.log.log import Log
from pcifma.fmd.log.ticket import Ticket

BATCH = 20
FUNCTIONS, BITS = 256, 4


def prototype(function: int, bit: int) -> Ereport:
    """An ereport of one bit of one of 256 Functions."""
    address = f"0000:{function >> 3 & 0x1F:02x}:{function & 7:02x}.0"
    return Ereport(
        class_="ereport.io.pciex.dl.btlp",
        uuid="",
        host="bench",
        boot="2b8cf2f4-0000-4000-8000-000000000001",
        seq=0,
        tick=0,
        time=utc(0),
        not_before=utc(0),
        first_look=False,
        residue=False,
        ena=ena(1),
        device=address,
        detector={"scheme": "dev", "device-path": f"/devices/pci0000:00/0000:00:03.0/0000:01:00.0/{address}"},
        resource=f"hc:///hostbridge=0000-00/pciexrc=18/pciexbus=01/pciexdev=0/pciexfn=0/pciexbus=02/pciexdev={function}/pciexfn=0",
        fabric="f" * 16,
        severity="correctable",
        plugin="pcie_aer",
        sources=["poll"],
        trust="host",
        payload={"register": "ECAP_AER+10.l", "bit": bit, "name": "Bad TLP", "value": 1 << bit, "pcie_ce_status": 1 << bit},
    )


def batches(count: int) -> list[tuple[Ereport, ...]]:
    """*count* batches of distinct ereports."""
    made = []
    for n in range(count):
        one = []
        for i in range(n * BATCH, (n + 1) * BATCH):
            kind = prototype(i % FUNCTIONS, i // FUNCTIONS % BITS)
            uuid = ereport_uuid("bench", kind.boot, kind.device, "ECAP_AER+10.l", i % BITS, occurrence=i)
            one.append(msgspec.structs.replace(kind, uuid=uuid, tick=n, ena=ena(n), time=utc(10**18 + n)))
        made.append(tuple(one))
    return made


def run(log: Log, work: list[tuple[Ereport, ...]], rate: int) -> tuple[list[float], float]:
    """Append *work* at *rate* ereports a second; each batch's latency in ms, and the seconds until all were durable."""
    latency: list[float] = []
    pause_s = BATCH / rate
    started, due = time.perf_counter(), time.perf_counter()
    for events in work:
        while (left := due - time.perf_counter()) > 0:
            time.sleep(left)
        received = due
        due += pause_s
        log.append(Batch(boot_ns=0, ereports=events)).then(_note(latency, received))
    log.flush()
    return latency, time.perf_counter() - started


def _note(latency: list[float], received: float):  # type: ignore[no-untyped-def]
    def note(ticket: Ticket) -> None:
        latency.append((time.perf_counter() - received) * 1000)

    return note


def main() -> None:
    """Run and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rate", type=int, default=20000, help="ereports a second")
    options.add_argument("--seconds", type=int, default=10)
    options.add_argument("--switch-ms", type=float, default=0.5, help="how long one thread may keep the interpreter (the daemon: 0.5)")
    options.add_argument("--dir", type=Path, help="where the log is made (default: a temporary directory)")
    given = options.parse_args()
    sys.setswitchinterval(given.switch_ms / 1000)
    work = batches(given.rate * given.seconds // BATCH)
    gc.freeze()  # the prepared work is the bench's own, and no collection should walk through it
    with tempfile.TemporaryDirectory(dir=given.dir) as directory:
        log = Log.open(Path(directory) / "log.db", clock=SystemClock())
        before_s = time.process_time()
        latency, spent_s = run(log, work, given.rate)
        cpu_us = (time.process_time() - before_s) * 1e6 / (len(work) * BATCH)
        sizes = {path.name: path.stat().st_size >> 10 for path in Path(directory).iterdir()}
        log.close()
    latency.sort()
    marks = {name: f"{latency[int(len(latency) * share)]:.1f}" for name, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))}
    total = len(work) * BATCH
    print(f"{total} ereports in {spent_s:.2f} s: {total / spent_s:.0f}/s, ms to durable: {marks}, max {latency[-1]:.1f}")
    print(f"{cpu_us:.1f} us of CPU each, commits {log.counters['commits']}, folded {log.counters['folded']}, KiB: {sizes}")


if __name__ == "__main__":
    main()
