"""Writes one group into the tables: ereports that are known already are recognised, the others get their seq."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from itertools import chain, groupby

import msgspec

from pcifma.fmd.log.batch import Checkpoint, RegisterWrite
from pcifma.fmd.log.database import insert_many, transaction
from pcifma.fmd.log.fold import FOLD_AT, first, last
from pcifma.fmd.log.group import Group, ListArrival
from pcifma.fmd.log.origin import Origins
from pcifma.fmd.log.recent import Recent
from pcifma.fmd.log.row import Arrival, uuid_bytes, with_sources

_FOLD = """UPDATE error SET count = count + ?, first_ns = min(coalesce(first_ns, wall_ns), ?),
           last_ns = max(coalesce(last_ns, wall_ns), ?) WHERE seq = ?"""
_COLUMNS = "seq, uuid, origin, tick, wall_ns, not_before_ns, boot_ns, ena, count, payload"
_INSERT, _INSERT_FOLDED = f"INSERT INTO error ({_COLUMNS})", f"INSERT INTO error ({_COLUMNS}, first_ns, last_ns)"
DISCARDED = "DISCARDED"
NOTE = "note:"

_WRITTEN = """INSERT INTO written (id, wall_ns, boot, device, register, width, before, value, after, why, ereports, case_uuid, command,
              uid, pid) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE
              SET before = excluded.before, value = excluded.value, after = excluded.after, why = excluded.why"""


class Writer:
    """The one writer's memory of the tables: the next seq, ids of origins, and which rows may still be folded into."""

    def __init__(self, connection: sqlite3.Connection, seq: int = 0) -> None:
        """Go on after the newest seq that the log holds, or after *seq* if that is newer."""
        self.connection = connection
        self.seq = max(seq, _last_seq(connection))
        self.frozen = self.seq
        self.repeated = 0
        self.folded = 0
        self._origins = Origins(connection)
        self._open: dict[int, int] = {}
        self._recent = Recent(connection)

    def write(self, group: Group, taken: int | None, also: Callable[[], object] = lambda: None) -> None:
        """Commit *group*, and what *also* does, or raise sqlite3.Error with nothing changed. Rows up to *taken* were handed out (None:
        nobody reads).
        """
        self.frozen = self.seq if taken is None else taken
        before = self.seq, self.repeated, self.folded
        try:
            with transaction(self.connection):
                self._events(group)
                self._state(group)
                self._origins.save()
                also()
        except BaseException:
            self.seq, self.repeated, self.folded = before
            self._open.clear()
            self._origins.drop()
            self._recent.drop()
            raise
        self._origins.keep()
        self._recent.keep()

    def forget_origins(self) -> None:
        """Origins were removed from the table, by retention."""
        self._origins.reload()
        self._open.clear()

    def reload(self) -> None:
        """Rows were removed by retention or rotation; the newest may be among them."""
        with transaction(self.connection):
            self.connection.execute("INSERT OR REPLACE INTO meta VALUES ('seq', ?)", (str(self.seq),))
        self.forget_origins()

    def _events(self, group: Group) -> None:
        for is_list, run in groupby(group.events, lambda event: isinstance(event, ListArrival)):
            if is_list:
                self._faults([event for event in run if isinstance(event, ListArrival)])
            else:
                self._errors([event for event in run if isinstance(event, Arrival)])

    def _errors(self, rows: list[Arrival]) -> None:
        fresh: list[Arrival] = []
        folds: dict[int, list[int]] = {}
        storm = self.seq - self.frozen >= FOLD_AT
        for row in rows:
            known = self._recent.get(row.uuid)
            if known is not None:
                self._repeat(row, known, fresh)
            elif not (storm and self._fold(row, folds)):
                fresh.append(row)
                self._recent.add(row.uuid, self.seq + len(fresh))
        self.connection.executemany(_FOLD, [(*fold, seq) for seq, fold in folds.items()])
        origins = [self._origins.id_of(row.origin) for row in fresh]
        numbers = range(self.seq + 1, self.seq + 1 + len(fresh))
        self._insert(fresh, origins)
        self._open.update(zip(origins, numbers, strict=True))
        self.seq += len(fresh)

    # Every value costs time to bind; what only folded ereports have is NULL without being said.
    def _insert(self, rows: list[Arrival], origins: list[int]) -> None:
        flat: list[object] = []
        folded = any(row.first_ns is not None or row.last_ns is not None for row in rows)
        for seq, (row, origin) in enumerate(zip(rows, origins, strict=True), self.seq + 1):
            flat += (seq, row.uuid, origin, row.tick, row.wall_ns, row.not_before_ns, row.boot_ns, row.ena, row.count, row.payload)
            if folded:
                flat += (row.first_ns, row.last_ns)
        insert_many(self.connection, _INSERT_FOLDED if folded else _INSERT, 12 if folded else 10, flat)

    # The same error once more, or seen a second way: its row keeps its place, and gains the source.
    def _repeat(self, row: Arrival, seq: int, fresh: list[Arrival]) -> None:
        self.repeated += 1
        if seq > self.seq:
            pending = fresh[seq - self.seq - 1]
            pending.origin = with_sources(pending.origin, row.origin)
            return
        query = "SELECT origin.body FROM error JOIN origin ON origin.id = error.origin WHERE seq = ?"
        found = self.connection.execute(query, (seq,)).fetchone()
        if found is not None and (joined := with_sources(found[0], row.origin)) != found[0]:
            self.connection.execute("UPDATE error SET origin = ? WHERE seq = ?", (self._origins.id_of(joined), seq))

    def _fold(self, row: Arrival, folds: dict[int, list[int]]) -> bool:
        seq = self._open.get(self._origins.id_of(row.origin), 0)
        if seq <= self.frozen:
            return False
        fold = folds.setdefault(seq, [0, first(row), last(row)])
        fold[:] = fold[0] + row.count, min(fold[1], first(row)), max(fold[2], last(row))
        self.folded += 1
        return True

    def _faults(self, rows: list[ListArrival]) -> None:
        flat: list[object] = []
        for seq, row in enumerate(rows, self.seq + 1):
            flat += (seq, uuid_bytes(row.event.uuid), row.event.class_, row.wall_ns, row.boot_ns, row.body(seq))
        insert_many(self.connection, "INSERT INTO fault", 6, flat)
        self.seq += len(rows)

    def _state(self, group: Group) -> None:
        many = self.connection.executemany
        self._latched(group)
        many("INSERT OR IGNORE INTO fabric VALUES (?,?,?)", [(f.id, f.wall_ns, f.body) for f in group.fabrics.values()])
        many(_WRITTEN, [_ledger_row(write) for write in group.writes])
        many("REPLACE INTO meta VALUES (?,?)", [(f"{NOTE}{name}", text) for name, text in group.notes.items()])
        self._cases(group)
        for checkpoint in group.checkpoints:
            self._checkpoint(checkpoint)

    def _latched(self, group: Group) -> None:
        many = self.connection.executemany
        forgotten = [(target,) for target in group.forgotten]
        many("UPDATE latched SET standing = 0 WHERE target = ?", forgotten)
        many("DELETE FROM baseline WHERE target = ?", forgotten)
        rows = [(b.target, b.register, b.bit, b.boot, b.occurrence, b.since_ns, int(b.standing)) for b in group.latched.values()]
        self._put("REPLACE INTO latched", rows)
        looks = [(b.target, b.boot, b.last_look_ns, msgspec.json.encode(b.words)) for b in group.baselines.values()]
        self._put("REPLACE INTO baseline", looks)
        if group.position is not None:
            values = (1, group.position.tick, group.position.snapshot)
            self.connection.execute("INSERT OR REPLACE INTO position VALUES (?,?,?)", values)

    def _cases(self, group: Group) -> None:
        cases = group.cases.values()
        self._put(
            "REPLACE INTO cases", [(c.id, uuid_bytes(c.uuid), c.module, c.key, c.state, c.body) for c in cases if c.state != DISCARDED]
        )
        self._put("REPLACE INTO resource", [(r.case, r.n, r.target, r.state, r.body) for r in group.resources.values()])
        self._put("INSERT OR IGNORE INTO evidence", [(seq, case) for case, seq in group.evidence])
        many = self.connection.executemany
        many("DELETE FROM cases WHERE id = ?", [(c.id,) for c in cases if c.state == DISCARDED])
        many("DELETE FROM evidence WHERE case_id = ?", [(case,) for case in group.released])

    def _checkpoint(self, checkpoint: Checkpoint) -> None:
        name = checkpoint.module
        values = (name, checkpoint.cursor, checkpoint.boot, checkpoint.wall_offset_ns, checkpoint.failed)
        self.connection.execute("REPLACE INTO module VALUES (?,?,?,?,?)", values)
        self._put("REPLACE INTO state", [(name, kind, key, body) for (kind, key), body in checkpoint.put.items()])
        gone = [(name, kind, key) for kind, key in checkpoint.drop]
        self.connection.executemany("DELETE FROM state WHERE module = ? AND kind = ? AND key = ?", gone)

    def _put(self, insert: str, rows: Sequence[tuple[object, ...]]) -> None:
        if rows:
            insert_many(self.connection, insert, len(rows[0]), list(chain.from_iterable(rows)))


def _ledger_row(w: RegisterWrite) -> tuple[object, ...]:
    what = (w.id, w.wall_ns, w.boot, w.device, w.register, w.width, w.before, w.value, w.after, w.why)
    return (*what, " ".join(w.ereports), w.case, w.command, w.uid, w.pid)


# Rotation and retention may have taken the newest rows; they leave the number that was reached.
def _last_seq(connection: sqlite3.Connection) -> int:
    query = """SELECT max(coalesce((SELECT max(seq) FROM error), 0), coalesce((SELECT max(seq) FROM fault), 0),
               coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'seq'), 0))"""
    return int(connection.execute(query).fetchone()[0])
