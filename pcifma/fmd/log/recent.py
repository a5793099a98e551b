"""The newest ereports of the log by uuid, so that one which comes again (after a crash, or seen a second way) is recognised.

What comes again comes soon; an index over the whole log would cost more than the ereports themselves.
"""

from __future__ import annotations

import sqlite3
from collections import deque

WINDOW = 16384


class Recent:
    """Seq by uuid of the newest WINDOW ereports. What a transaction adds is kept or dropped with it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute("SELECT uuid, seq FROM error ORDER BY seq DESC LIMIT ?", (WINDOW,)).fetchall()
        self._known: dict[bytes, int] = dict(reversed(rows))
        self._order = deque(self._known)
        self._added: list[bytes] = []

    def get(self, uuid: bytes) -> int | None:
        """The seq of that ereport, if it is known."""
        return self._known.get(uuid)

    def add(self, uuid: bytes, seq: int) -> None:
        """Note an ereport of the transaction under way."""
        self._known[uuid] = seq
        self._added.append(uuid)

    def keep(self) -> None:
        """The transaction is durable. As many of the oldest go as have come, so that no commit waits for a long clearing up."""
        self._order += self._added
        self._added.clear()
        while len(self._order) > WINDOW:
            del self._known[self._order.popleft()]

    def drop(self) -> None:
        """The transaction has failed."""
        for uuid in self._added:
            del self._known[uuid]
        self._added.clear()
