"""Writes one group into the tables: ereports that are known already are recognised, the others get their seq."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from itertools import count

import msgspec

from pcifma.fmd.batch import Checkpoint
from pcifma.fmd.database import transaction
from pcifma.fmd.fold import FOLD_AT, first, last
from pcifma.fmd.group import Group, ListArrival, uuid_bytes
from pcifma.fmd.row import Arrival, origin_of

_ERROR = "INSERT INTO error VALUES (?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (uuid) DO NOTHING"
_FAULT = "INSERT INTO fault VALUES (?,?,?,?,?,?,?) ON CONFLICT (uuid) DO NOTHING"
_FOLD = """UPDATE error SET count = count + ?, first_ns = min(coalesce(first_ns, wall_ns), ?),
           last_ns = max(coalesce(last_ns, wall_ns), ?) WHERE seq = ?"""
_NEW_ORIGIN = "INSERT INTO origin (class, device, body) VALUES (?,?,?)"
_ORIGIN_LIMIT = 16384
DISCARDED = "DISCARDED"


class Writer:
    """The one writer's memory of the tables: the next seq, ids of origins, and which rows may still be folded into."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.seq = _last_seq(connection)
        self.frozen = self.seq
        self.repeated = 0
        self.folded = 0
        self._origins: dict[bytes, int] = {}
        self._open: dict[int, int] = {}

    def write(self, group: Group, taken: int | None) -> None:
        """Commit *group*, or raise sqlite3.Error with nothing changed. Rows up to *taken* were handed out (None: nobody reads)."""
        self.frozen = self.seq if taken is None else taken
        before = self.seq, self.repeated, self.folded
        try:
            with transaction(self.connection):
                self._events(group)
                self._state(group)
        except BaseException:
            self.seq, self.repeated, self.folded = before
            self._origins.clear()
            self._open.clear()
            raise

    def _events(self, group: Group) -> None:
        run: list[Arrival] = []
        for event in group.events:
            if isinstance(event, ListArrival):
                self._errors(run)
                run = []
                self._fault(event)
            else:
                run.append(event)
        self._errors(run)

    def _errors(self, rows: list[Arrival]) -> None:
        if self.seq - self.frozen >= FOLD_AT:
            rows = [row for row in rows if not self._fold(row)]
        if not rows:
            return
        origins = [self._origin(row.origin) for row in rows]
        values = [(seq, row.uuid, origin, *_rest(row)) for seq, row, origin in zip(count(self.seq + 1), rows, origins, strict=False)]
        self.connection.execute("SAVEPOINT fast")
        if self.connection.executemany(_ERROR, values).rowcount == len(rows):
            self._open.update(zip(origins, count(self.seq + 1), strict=False))
            self.seq += len(rows)
        else:
            self.connection.execute("ROLLBACK TO fast")
            self._one_by_one(rows, origins)
        self.connection.execute("RELEASE fast")

    # seq has no gaps: where an ereport is known already, those behind it move up.
    def _one_by_one(self, rows: list[Arrival], origins: list[int]) -> None:
        for row, origin in zip(rows, origins, strict=True):
            if self.connection.execute(_ERROR, (self.seq + 1, row.uuid, origin, *_rest(row))).rowcount:
                self.seq += 1
            else:
                self.repeated += 1
                self._another_source(row)
        self._open.clear()

    # The same error seen a second way: the row keeps its place and gains the source.
    def _another_source(self, row: Arrival) -> None:
        query = "SELECT error.seq, origin.body FROM error JOIN origin ON origin.id = error.origin WHERE uuid = ?"
        seq, body = self.connection.execute(query, (row.uuid,)).fetchone()
        known, new = origin_of(body), origin_of(row.origin)
        sources = list(dict.fromkeys([*known.sources, *new.sources]))
        if sources != known.sources:
            joined = self._origin(known.with_sources(sources))
            self.connection.execute("UPDATE error SET origin = ? WHERE seq = ?", (joined, seq))

    def _fold(self, row: Arrival) -> bool:
        seq = self._open.get(self._origin(row.origin), 0)
        if seq <= self.frozen:
            return False
        self.connection.execute(_FOLD, (row.count, first(row), last(row), seq))
        self.folded += 1
        return True

    def _origin(self, body: bytes) -> int:
        known = self._origins.get(body)
        if known is None:
            known = self._store_origin(body)
        return known

    def _store_origin(self, body: bytes) -> int:
        found = self.connection.execute("SELECT id FROM origin WHERE body = ?", (body,)).fetchone()
        if found is None:
            origin = origin_of(body)
            found = (self.connection.execute(_NEW_ORIGIN, (origin.class_, origin.device, body)).lastrowid,)
        if len(self._origins) >= _ORIGIN_LIMIT:
            self._origins.clear()
        self._origins[body] = int(found[0])
        return int(found[0])

    def _fault(self, row: ListArrival) -> None:
        event, seq = row.event, self.seq + 1
        values = (seq, uuid_bytes(event.event), uuid_bytes(event.uuid), event.class_, row.wall_ns, row.boot_ns, row.body(seq))
        if self.connection.execute(_FAULT, values).rowcount:
            self.seq += 1
        else:
            self.repeated += 1

    def _state(self, group: Group) -> None:
        many = self.connection.executemany
        self._latched(group)
        many("INSERT OR IGNORE INTO fabric VALUES (?,?,?)", [(f.id, f.wall_ns, f.body) for f in group.fabrics.values()])
        many(
            "INSERT INTO written VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET after = excluded.after",
            [(w.id, w.wall_ns, w.boot, w.device, w.register, w.width, w.before, w.value, w.after, w.why) for w in group.writes],
        )
        self._cases(group)
        for checkpoint in group.checkpoints:
            self._checkpoint(checkpoint)

    def _latched(self, group: Group) -> None:
        many = self.connection.executemany
        for table in ("latched", "baseline"):
            many(f"DELETE FROM {table} WHERE target = ?", [(target,) for target in group.forgotten])
        many(
            "INSERT OR REPLACE INTO latched VALUES (?,?,?,?,?,?,?)",
            [(b.target, b.register, b.bit, b.boot, b.occurrence, b.since_ns, int(b.standing)) for b in group.latched.values()],
        )
        many(
            "INSERT OR REPLACE INTO baseline VALUES (?,?,?,?)",
            [(b.target, b.boot, b.last_look_ns, msgspec.json.encode(b.words)) for b in group.baselines.values()],
        )
        if group.position is not None:
            values = (1, group.position.tick, group.position.snapshot)
            self.connection.execute("INSERT OR REPLACE INTO position VALUES (?,?,?)", values)

    def _cases(self, group: Group) -> None:
        many = self.connection.executemany
        kept = [c for c in group.cases.values() if c.state != DISCARDED]
        many("INSERT OR REPLACE INTO cases VALUES (?,?,?,?,?)", [(uuid_bytes(c.uuid), c.module, c.key, c.state, c.body) for c in kept])
        many("DELETE FROM cases WHERE uuid = ?", _uuids(c.uuid for c in group.cases.values() if c.state == DISCARDED))
        many(
            "INSERT OR REPLACE INTO resource VALUES (?,?,?,?,?)",
            [(uuid_bytes(r.case), r.n, r.target, r.state, r.body) for r in group.resources.values()],
        )
        many("INSERT OR IGNORE INTO evidence VALUES (?,?)", [(seq, uuid_bytes(case)) for case, seq in group.evidence])
        many("DELETE FROM evidence WHERE case_uuid = ?", _uuids(group.released))

    def _checkpoint(self, checkpoint: Checkpoint) -> None:
        name = checkpoint.module
        many = self.connection.executemany
        values = (name, checkpoint.cursor, checkpoint.boot, checkpoint.wall_offset_ns, checkpoint.failed)
        self.connection.execute("INSERT OR REPLACE INTO module VALUES (?,?,?,?,?)", values)
        many("INSERT OR REPLACE INTO state VALUES (?,?,?,?)", [(name, kind, key, body) for (kind, key), body in checkpoint.put.items()])
        many("DELETE FROM state WHERE module = ? AND kind = ? AND key = ?", [(name, kind, key) for kind, key in checkpoint.drop])


def _uuids(texts: Iterable[str]) -> list[tuple[bytes]]:
    return [(uuid_bytes(text),) for text in texts]


def _rest(row: Arrival) -> tuple[object, ...]:
    return (
        row.tick, row.wall_ns, row.not_before_ns, row.boot_ns, row.ena, row.count, row.first_ns, row.last_ns, row.payload,
    )  # fmt: skip


# Rotation and retention may have taken the newest rows; they leave the number that was reached.
def _last_seq(connection: sqlite3.Connection) -> int:
    query = """SELECT max(coalesce((SELECT max(seq) FROM error), 0), coalesce((SELECT max(seq) FROM fault), 0),
               coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'seq'), 0))"""
    return int(connection.execute(query).fetchone()[0])
