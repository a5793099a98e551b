"""Retention: keeps the log within its size. What modules have not taken, and what an unresolved case stands on, is never touched.

When the error log is too large, its oldest ereports of one origin are folded into the first of them (the sum of `count` stays
exact). When a whole pass of that has not gained enough, the oldest go, and are added up by class in the table `retired`: nothing
leaves uncounted. Size alone decides; a clock that is wrong must not empty a log.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field, fields

from pcifma.fmd.log.database import transaction
from pcifma.fmd.log.wal import Sizes

MIB = 1 << 20
# Row of `meta`: registers written whose row of the ledger is gone.
WRITES_GONE = "writes_gone"
# Ereports in one step: some 15 ms.
SLICE = 10000
# A pass that leaves more than this part of the rows was not worth another one.
_WORTH = 0.9
_KEPT = "seq > :after AND seq <= :upto AND seq NOT IN (SELECT seq FROM evidence WHERE seq > :after AND seq <= :upto)"
_ORPHANS = "DELETE FROM origin WHERE id NOT IN (SELECT origin FROM error)"
_OLD_WRITES = "wall_ns <= (SELECT wall_ns FROM written ORDER BY wall_ns DESC LIMIT 1 OFFSET :writes)"
_RESOLVED = "state = 'RESOLVED' AND id <= (SELECT max(id) FROM cases) - :cases"


@dataclass(frozen=True, slots=True)
class Limits:
    """*database_bytes* in use, of which the newest *newest* ereports are kept as they are; bytes of list events of resolved cases,
    and rows of the smaller tables; *wal* as of Wal.
    """

    database_bytes: int = 32 * MIB
    newest: int = 4096
    fault_bytes: int = 8 * MIB
    cases: int = 1000
    writes: int = 100000
    fabrics: int = 32
    wal: Sizes = field(default_factory=Sizes)


class Retention:
    """Works in steps on the writer's connection, inside commits or between them. *gone*: something was removed since the last tidy;
    *orphans_gone*: origins were, of which the writer must not know any more.
    """

    def __init__(self, connection: sqlite3.Connection, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._connection = connection
        self._page_bytes = int(connection.execute("PRAGMA page_size").fetchone()[0])
        self._at = self._seen = self._left = 0
        self.gone = self.orphans_gone = False
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.execute("CREATE TEMP TABLE folding (keep INTEGER PRIMARY KEY, origin INTEGER, n INTEGER, f INTEGER, l INTEGER)")

    @property
    def used_bytes(self) -> int:
        """Bytes of the database that hold something."""
        pages, free = (int(self._connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count"))
        return (pages - free) * self._page_bytes

    def step(self, upto: int) -> bool:
        """Where the log is too large, fold or retire one slice of the ereports up to *upto*; True if something was done."""
        if self.used_bytes <= self.limits.database_bytes:
            return False
        with transaction(self._connection):
            return self.slice(upto)

    def slice(self, upto: int) -> bool:
        """Fold or retire one slice, inside a transaction of the caller's; True if something was done."""
        moved = self._fold(upto) or self._retire(upto)
        self.gone = self.gone or moved
        return moved

    def _slice(self, after: int, upto: int) -> tuple[int, int]:
        query = "SELECT count(*), max(seq) FROM (SELECT seq FROM error WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?)"
        rows, last = self._connection.execute(query, (after, upto, SLICE)).fetchone()
        return int(rows), int(last or 0)

    def _fold(self, upto: int) -> bool:
        rows, last = self._slice(self._at, upto)
        if rows < SLICE and (rows == 0 or self._seen >= SLICE):
            return self._next_pass()
        bounds = {"after": self._at, "upto": last}
        execute = self._connection.execute
        execute(
            f"""INSERT INTO folding SELECT min(seq), origin, sum(count), min(coalesce(first_ns, wall_ns)), max(coalesce(last_ns, wall_ns))
                FROM error WHERE {_KEPT} GROUP BY origin HAVING count(*) > 1""",
            bounds,
        )
        # By the key of what is kept: joined, SQLite would read every ereport of the log for it.
        execute(
            """UPDATE error SET (count, first_ns, last_ns) = (SELECT n, f, l FROM folding WHERE keep = seq)
               WHERE seq IN (SELECT keep FROM folding)"""
        )
        gone = execute(
            f"""DELETE FROM error WHERE {_KEPT} AND origin IN (SELECT origin FROM folding) AND seq NOT IN (SELECT keep FROM folding)""",
            bounds,
        ).rowcount
        execute("DELETE FROM folding")
        self._at, self._seen, self._left = last, self._seen + rows, self._left + rows - gone
        return True

    # True where the pass that ended was worth another one over what is left.
    def _next_pass(self) -> bool:
        worth = self._left < self._seen * _WORTH
        self._seen = self._left = 0
        if worth:
            self._at = 0
        return worth

    def _retire(self, upto: int) -> bool:
        _, last = self._slice(0, upto)
        bounds = {"after": 0, "upto": last}
        self._connection.execute(
            f"""INSERT INTO retired SELECT class, count(*), sum(count), max(coalesce(last_ns, wall_ns))
                FROM error JOIN origin ON origin.id = error.origin WHERE {_KEPT} GROUP BY class
                ON CONFLICT (class) DO UPDATE SET events = events + excluded.events, count = count + excluded.count,
                last_ns = max(last_ns, excluded.last_ns)""",
            bounds,
        )
        gone = self._connection.execute(f"DELETE FROM error WHERE {_KEPT}", bounds).rowcount
        if self._connection.execute(_ORPHANS).rowcount > 0:
            self.orphans_gone = True
        return gone > 0

    def tidy(self) -> None:
        """Bound the smaller tables, and give free pages back to the file system."""
        values = {each.name: getattr(self.limits, each.name) for each in fields(self.limits)}
        with transaction(self._connection):
            for statement in _TIDY:
                self._connection.execute(statement, values)
            if self.gone:
                self._connection.execute(_ORPHANS)
        self._connection.execute("PRAGMA incremental_vacuum(256)").fetchall()
        self.gone = False


_TIDY = (
    f"DELETE FROM resource WHERE case_id IN (SELECT id FROM cases WHERE {_RESOLVED})",
    f"DELETE FROM cases WHERE {_RESOLVED}",
    """DELETE FROM fault WHERE seq <= (SELECT max(seq) FROM (SELECT seq, sum(length(body)) OVER (ORDER BY seq DESC) AS size FROM fault)
       WHERE size > :fault_bytes) AND case_uuid NOT IN (SELECT uuid FROM cases WHERE state != 'RESOLVED')""",
    f"""INSERT INTO meta SELECT '{WRITES_GONE}', CAST(count(*) AS TEXT) FROM written
        WHERE value != 0 AND after IS NOT NULL AND {_OLD_WRITES} ON CONFLICT (key)
        DO UPDATE SET value = CAST(CAST(value AS INTEGER) + CAST(excluded.value AS INTEGER) AS TEXT)""",
    f"DELETE FROM written WHERE {_OLD_WRITES}",
    "DELETE FROM fabric WHERE wall_ns <= (SELECT wall_ns FROM fabric ORDER BY wall_ns DESC LIMIT 1 OFFSET :fabrics)",
)
