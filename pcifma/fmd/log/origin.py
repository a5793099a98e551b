"""The origins that the log holds, by a digest of their content. Each is stored once; one that was forgotten here may be stored again,
which is harmless.
"""

from __future__ import annotations

import sqlite3
from hashlib import blake2b

from pcifma.fmd.log.database import insert_many
from pcifma.fmd.log.row import origin_of

REMEMBERED = 8192
_TAKEN_UP = 1024
_DIGEST_BYTES = 16


class Origins:
    """Ids of origins. What a transaction adds is kept or dropped with it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._added: list[tuple[bytes, bytes]] = []
        self._unsaved = 0
        rows = connection.execute("SELECT body, id FROM origin ORDER BY id DESC LIMIT ?", (_TAKEN_UP,)).fetchall()
        self._known: dict[bytes, int] = {_digest(body): number for body, number in reversed(rows)}
        self._last = rows[0][1] if rows else 0

    def reload(self) -> None:
        """Rows were removed from the table: know no more of them. What is still there stays known, else a storm would store it anew."""
        there = {number for (number,) in self._connection.execute("SELECT id FROM origin")}
        self._known = {digest: number for digest, number in self._known.items() if number in there}
        self._last = max(there, default=0)

    def id_of(self, body: bytes) -> int:
        """The id of the encoded origin *body*; a new one must be saved before the transaction ends."""
        digest = _digest(body)
        known = self._known.get(digest)
        if known is None:
            self._last += 1
            known = self._known[digest] = self._last
            self._added.append((digest, body))
        return known

    def save(self) -> None:
        """Insert the new origins, many to a statement."""
        flat: list[object] = []
        for digest, body in self._added[self._unsaved :]:
            origin = origin_of(body)
            flat += (self._known[digest], origin.class_, origin.device, body)
        insert_many(self._connection, "INSERT INTO origin", 4, flat)
        self._unsaved = len(self._added)

    def keep(self) -> None:
        """The transaction is durable."""
        self._end()
        if len(self._known) > 2 * REMEMBERED:
            self._known = dict(list(self._known.items())[-REMEMBERED:])

    def drop(self) -> None:
        """The transaction has failed."""
        for digest, _ in self._added:
            del self._known[digest]
        self._last -= len(self._added)
        self._end()

    def _end(self) -> None:
        self._added.clear()
        self._unsaved = 0


def _digest(body: bytes) -> bytes:
    # Thousands of origins are remembered: a fortieth of their bytes.
    return blake2b(body, digest_size=_DIGEST_BYTES).digest()
