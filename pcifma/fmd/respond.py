"""Responses: parts taken out of service, and given back, by a keeper of their own. One thread asks it, one response at a time.

It is another process than the one that opens configuration space: a driver that does not let go of its device, or a page that nobody
lets go of, holds up further responses and nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

from pcifma.errors import PcifmaError, PluginError
from pcifma.fmd.keeper.client import KeeperClient
from pcifma.fmd.keeper.message import Verb
from pcifma.fmd.keeper.retire import RESTORE, RETIRE, RETIRE_HARD
from pcifma.fmd.loop import Loop
from pcifma.plugin.module import Response
from pcifma.regs.bdf import Bdf

_WAITING_LIMIT = 64
_VERBS = {"cpu": Verb.CPU, "page": Verb.PAGE, "io": Verb.FUNCTION}
Done = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Asked:
    response: Response
    done: Done


class Responder:
    """*keeper* None: the operator allowed nothing, or nobody is root."""

    def __init__(self, loop: Loop, keeper: KeeperClient | None) -> None:
        self._loop, self._keeper = loop, keeper
        self._queue: SimpleQueue[_Asked | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def respond(self, module: str, response: Response, done: Done) -> None:
        """Ask the keeper; *done* is told on the loop's thread: `done WHAT`, or `refused WHY`. PluginError for a part that is none."""
        try:
            _part(response)
        except ValueError as err:
            raise PluginError(f"module {module}: {response.name!r} is no part of kind {response.kind}: {err}") from None
        if self._keeper is None or self._queue.qsize() >= _WAITING_LIMIT:
            allowed = self._keeper is not None
            why = "too many wait" if allowed else "the setting `retire` allows nothing, or the daemon was not started by root"
            self._loop.post(lambda: done(f"refused {why}"))
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, args=(self._keeper,), name="responder", daemon=True)
            self._thread.start()
        self._queue.put(_Asked(response, done))

    def close(self) -> None:
        """Ask for nothing more, and let the keeper go; what it is doing it ends by itself."""
        self._queue.put(None)
        if self._keeper is not None:
            self._keeper.close()

    def _work(self, keeper: KeeperClient) -> None:
        while (asked := self._queue.get()) is not None:
            outcome = _outcome(keeper, asked.response)
            done = asked.done
            self._loop.post(lambda done=done, outcome=outcome: done(outcome))  # type: ignore[misc]


def _outcome(keeper: KeeperClient, response: Response) -> str:
    number, bdf = _part(response)
    how = RESTORE if response.restore else RETIRE_HARD if response.hard else RETIRE
    try:
        return f"done {keeper.retire(_VERBS[response.kind], how, number=number, bdf=bdf)}"
    except PcifmaError as err:
        return f"refused {err}"


def _part(response: Response) -> tuple[int, Bdf]:
    if response.kind == "io":
        return 0, Bdf.parse(response.name)
    number = int(response.name, 0)
    if number < 0:
        raise ValueError("below zero")
    return number, Bdf(0, 0, 0, 0)
