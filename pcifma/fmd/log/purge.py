"""Taking synthetic events out of a log and its archives: those of drills, once their cases are over.

Nothing else is touched, and nothing is counted as retired: what was injected never happened.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pcifma.event.case import ListEvent
from pcifma.fmd.log.database import transaction
from pcifma.fmd.log.row import origin_of
from pcifma.fmd.log.store import Store

_LIST = msgspec.json.Decoder(ListEvent)


class _Case(msgspec.Struct):
    injected: bool = False


_CASE = msgspec.json.Decoder(_Case)


@dataclass(frozen=True, slots=True)
class Purged:
    """How much was taken out; *cases* are the numbers of the cases that went."""

    ereports: int
    lists: int
    cases: tuple[int, ...] = ()


def forget(store: Store, resources: Sequence[tuple[int, int]]) -> None:
    """Drop these entries (case, n) of the resource cache. On the log's thread."""
    connection = store.opened().connection
    with transaction(connection):
        connection.executemany("DELETE FROM resource WHERE case_id = ? AND n = ?", resources)


def purge(store: Store) -> Purged:
    """Take synthetic events out of the log and its archives. On the log's thread; sqlite3.Error, and that file is as it was."""
    opened = store.opened()
    with transaction(opened.connection):
        found = _purge(opened.connection)
    opened.writer.reload()
    for path in sorted(store.path.parent.glob(f"{store.path.stem}-*-*{store.path.suffix}")):
        more = _purge_archive(path)
        found = Purged(found.ereports + more.ereports, found.lists + more.lists, found.cases)
    return found


def _purge_archive(path: Path) -> Purged:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection, transaction(connection):
        return _purge(connection)


def _purge(connection: sqlite3.Connection) -> Purged:
    many = connection.executemany
    over = [row for row, body in connection.execute("SELECT id, body FROM cases WHERE state = 'RESOLVED'") if _CASE.decode(body).injected]
    rows = connection.execute("SELECT seq, body FROM fault WHERE case_uuid NOT IN (SELECT uuid FROM cases WHERE state != 'RESOLVED')")
    lists = [(seq,) for seq, body in rows if _LIST.decode(body).injected is True]
    origins = [(row,) for row, body in connection.execute("SELECT id, body FROM origin") if origin_of(body).injected is True]
    before = connection.total_changes
    many("DELETE FROM error WHERE origin = ? AND seq NOT IN (SELECT seq FROM evidence)", origins)
    ereports = connection.total_changes - before
    many("DELETE FROM fault WHERE seq = ?", lists)
    for table, column in (("cases", "id"), ("resource", "case_id"), ("evidence", "case_id")):
        many(f"DELETE FROM {table} WHERE {column} = ?", [(number,) for number in over])
    many("DELETE FROM origin WHERE id = ? AND id NOT IN (SELECT origin FROM error)", origins)
    return Purged(ereports, len(lists), tuple(over))
