"""A guest program that plays the daemon: a poller with every source, a look a second, each ereport a line in the shared directory."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from .machine import Machine

WATCH = """
import pathlib, sys
from pcifma.access.open import open_live
from pcifma.event.line import encode
from pcifma.fabric.build import build
from pcifma.plugin.loader import builtin
from pcifma.poll.ear import streams_of
from pcifma.poll.poller import Poller
machine = open_live()
plugins = [p for p in builtin() if p.manifest.kind == "source"]
poller = Poller(machine, build(machine), plugins, streams=streams_of(plugins))
out, stop = open("/lab/events", "ab", buffering=0), pathlib.Path("/lab/stop")
looks = 0
while not stop.exists():
    for event in poller.look().ereports:
        out.write(encode(event) + b"\\n")
    looks += 1
    pathlib.Path("/lab/looks").write_text(str(looks))
    machine.clock.wait_until(poller.due_ns)
machine.host.close()
pathlib.Path("/lab/done").write_text("done")
"""


class Daemon:
    """The guest program, from start to stop."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        for name in ("events", "stop", "looks", "done"):
            (machine.share / name).unlink(missing_ok=True)
        (machine.share / "watch.py").write_text(WATCH)
        machine.run(f"{sys.executable} -I /lab/watch.py >/lab/watch.log 2>&1 &")
        self.after(2, seconds=240)

    def looks(self) -> int:
        path = self.machine.share / "looks"
        return int(path.read_text() or 0) if path.exists() else 0

    def after(self, looks: int, seconds: float = 120) -> None:
        """Wait until so many looks more have been made."""
        end, wanted = time.monotonic() + seconds, self.looks() + looks
        while self.looks() < wanted:
            assert time.monotonic() < end, (self.machine.share / "watch.log").read_text()
            time.sleep(0.1)

    def events(self, leaf: str) -> list[dict[str, Any]]:
        path = self.machine.share / "events"
        found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [event for event in found if event["class"].endswith(leaf)]

    def stop(self) -> None:
        (self.machine.share / "stop").write_text("")
        self.machine.check("for i in $(seq 100); do test -e /lab/done && exit 0; sleep .2; done; exit 1")
