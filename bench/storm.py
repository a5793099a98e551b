"""A storm: ereports as fast as they can be made, through log and engine to a module with a SERD engine for each Function.

    python bench/storm.py --ereports 1000000

says how long it took, how large log and process became, how long one append or pump kept the caller, and checks that the sum of
`count` is what went in: in the log, and at the module.
"""

from __future__ import annotations

import argparse
import gc
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
from durable import prototype

from pcifma.access.clock import SystemClock
from pcifma.access.host import NoHost
from pcifma.event.case import ListEvent
from pcifma.event.ereport import Ereport
from pcifma.event.identity import utc
from pcifma.fabric.fabric import Fabric
from pcifma.fmd.engine.engine import Engine
from pcifma.fmd.engine.module import Registration
from pcifma.fmd.log.batch import Batch
from pcifma.fmd.log.log import Log
from pcifma.plugin.module import Services

CHUNK = 500


class Counter:
    """Adds up what it is given."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.events = self.errors = 0

    def recv(self, event: Ereport | ListEvent) -> None:
        """Count, and record in the Function's SERD engine."""
        assert isinstance(event, Ereport)
        self.events += 1
        self.errors += event.count
        self.services.serd(event.device, 50, 60.0).record(event)

    def timeout(self, timer: str, data: str) -> None:
        """No timers."""

    def close(self) -> None:
        """Nothing to do."""

    def stats(self) -> Mapping[str, int]:
        """None."""
        return {}

    def topo(self, fabric: Fabric) -> None:
        """No interest."""


def chunks(total: int, origins: int) -> Iterator[tuple[Ereport, ...]]:
    """*total* ereports of *origins* bits in turn, each with a uuid of its own."""
    kinds = [prototype(n % 256, n // 256) for n in range(origins)]
    for start in range(0, total, CHUNK):
        time_ = utc(10**18 + start)
        yield tuple(
            msgspec.structs.replace(kinds[n % origins], uuid=f"{n:08x}-0000-5000-8000-{n:012x}", time=time_, tick=n)
            for n in range(start, min(start + CHUNK, total))
        )


class Storm:
    """The run: *spans* are the seconds that each append and pump took, *largest* the most bytes that the files ever had."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.spans: list[float] = []
        self.largest = 0
        self.log = Log.open(directory / "log.db", clock=SystemClock())
        fabric = Fabric("f" * 16, {})
        self.engine = Engine(self.log, SystemClock(), host="bench", boot="bench", facts=NoHost(), fabric=fabric)
        self.module: Counter | None = None
        self.engine.register(Registration("counter", "1", self._open, ("ereport.io.*",)))

    def _open(self, services: Services) -> Counter:
        self.module = Counter(services)
        return self.module

    def run(self, total: int, origins: int) -> float:
        """Append all, pumping in between as a main loop does; seconds until the module has everything."""
        started = time.perf_counter()
        for n, events in enumerate(chunks(total, origins)):
            before = time.perf_counter()
            self.log.append(Batch(boot_ns=time.monotonic_ns(), ereports=events))
            self._pump(before)
            if n % 100 == 0:
                self._measure()
        while self.module is not None and self.module.errors < total:
            if not self._pump(time.perf_counter()):
                self.log.flush()
        self._measure()
        return time.perf_counter() - started

    def _pump(self, before: float) -> bool:
        more = self.engine.pump()
        self.spans.append(time.perf_counter() - before)
        return more

    def _measure(self) -> None:
        self.largest = max(self.largest, sum(path.stat().st_size for path in self.directory.iterdir()))

    def totals(self) -> tuple[int, int]:
        """Rows of the error log, and the sum of their counts and of what was retired."""
        reader = self.log.reader()
        rows, kept = reader.connection.execute("SELECT count(*), sum(count) FROM error").fetchone()
        retired = sum(count for _, count in reader.retired().values())
        reader.close()
        return rows, kept + retired


def main() -> None:
    """Run and print; exit 1 if a single one is missing."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--ereports", type=int, default=1_000_000)
    options.add_argument("--origins", type=int, default=2048, help="different bits of different Functions")
    options.add_argument("--dir", type=Path, help="where the log is made (default: a temporary directory)")
    given = options.parse_args()
    sys.setswitchinterval(0.0005)
    gc.freeze()
    with tempfile.TemporaryDirectory(dir=given.dir) as directory:
        storm = Storm(Path(directory))
        spent_s = storm.run(given.ereports, given.origins)
        rows, total = storm.totals()
        assert storm.module is not None
        print(f"{given.ereports} ereports in {spent_s:.1f} s, {given.ereports / spent_s:.0f}/s; rows left {rows}, their sum {total}")
        spans = sorted(storm.spans)
        p99, longest = (f"{span * 1000:.0f} ms" for span in (spans[len(spans) * 99 // 100], spans[-1]))
        print(f"module: {storm.module.events} events, sum {storm.module.errors}; an append and pump took {p99} at p99, {longest} at most")
        print(f"files at most {storm.largest >> 10} KiB, process at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss} KiB resident")
        storm.engine.close()
        storm.log.close()
    sys.exit(0 if total == storm.module.errors == given.ereports else 1)


if __name__ == "__main__":
    main()
