"""The exec hook: a program of the site's own is run for each event, one at a time, with the event on its standard input.

    event ──> queue (checkpointed, bounded) ──(rate)──> program ──> its end is counted, the event leaves the queue

An event that was waiting when the daemon ended is handed over after the next start; one whose program was running is handed over
again. Nothing goes through a shell.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import cast

import msgspec

from pcifma.plugin import HOST, Ereport, Evidence, Finding, ListEvent, PluginError, Services, encode

WAITING = 64  # events; a storm of them is a matter for `dump`, not for a pager
WAITING_BYTES = 512 << 10
CLASS = "ereport.pcifma.exec"
QUEUE, RUN, NEXT = "queue", "run", "next"

_QUEUE = msgspec.json.Decoder(list[str])


def open(services: Services) -> Hook:
    """Start the hook; PluginError if the program has no absolute path."""
    return Hook(services)


class Hook:
    """The module. Buffer `queue`: the events that wait, the one whose program runs first."""

    def __init__(self, services: Services) -> None:
        properties = services.properties
        self._services = services
        self._program = cast("list[str]", properties["program"])
        self._limit_s, self._per_s = (float(cast(float, properties[name])) for name in ("limit", "per"))
        self._rate = max(1, int(cast(int, properties["rate"])))
        self._running = False
        self._failing = False
        self._started: deque[int] = deque(maxlen=self._rate)
        kept = services.get(QUEUE)
        self._queue: deque[str] = deque(_QUEUE.decode(kept) if kept else [])
        if not self._program:
            return
        if not self._program[0].startswith("/"):
            raise PluginError(f"modules.exec.program: {self._program[0]!r}: give the program's absolute path")
        services.subscribe(*cast("list[str]", properties["subscribe"]))
        if self._queue:
            services.arm(NEXT, 0.0, keep=False)

    def recv(self, event: Ereport | ListEvent) -> None:
        """Queue *event*; what does not fit is dropped, and counted."""
        if event.class_ == CLASS:
            return  # its own failure is no news to it
        line = encode(event).decode()
        if len(self._queue) >= WAITING or sum(map(len, self._queue)) + len(line) > WAITING_BYTES:
            self._services.count("events-dropped")
            return
        self._queue.append(line)
        self._keep()
        self._next()

    def timeout(self, timer: str, data: str) -> None:
        """A program has ended (*data* says how), or there is room for another."""
        if timer == RUN:
            self._running = False
            self._settle(data)
        self._next()

    def _next(self) -> None:
        if self._running or not self._queue or not self._program:
            return
        now_ns = self._services.now_ns()
        wait_s = self._per_s - (now_ns - self._started[0]) / 1e9 if len(self._started) == self._rate else 0.0
        if wait_s > 0:
            self._services.arm(NEXT, wait_s, keep=False)
            return
        try:
            self._services.execute(RUN, self._program, f"{self._queue[0]}\n".encode(), self._limit_s)
        except PluginError as err:  # a replay, or too many run: the next timer tries again
            self._services.count("refused")
            self._say(str(err))
            self._services.arm(NEXT, self._per_s, keep=False)
            return
        self._running = True
        self._started.append(now_ns)

    def _settle(self, outcome: str) -> None:
        kind = outcome.partition(":")[0]
        self._services.count("succeeded" if kind == "exit 0" else kind if kind in ("late", "start") else "failed")
        if self._queue:
            self._queue.popleft()
            self._keep()
        if kind == "exit 0":
            self._failing = False
        else:
            self._say(outcome)

    def _say(self, outcome: str) -> None:
        # Once until it works again: an operator has to know that nobody is paged.
        if not self._failing:
            self._failing = True
            payload = {"program": self._program[0][:200], "outcome": outcome[:400]}
            self._services.post(Finding(CLASS, Evidence(HOST, "exec", 0), "info", payload))

    def _keep(self) -> None:
        self._services.put(QUEUE, msgspec.json.encode(list(self._queue)))

    def close(self) -> None:
        """The daemon ends what still runs."""

    def stats(self) -> Mapping[str, int]:
        """How many events wait."""
        return {"waiting": len(self._queue)}

    def topo(self, fabric: object) -> None:
        """The fabric is no matter."""
