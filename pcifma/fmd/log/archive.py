"""Rotation: old rows of the error or the fault log into a file of their own, which every reader of logs can read.

    NAME+ is filled and synced --> renamed to NAME --> the rows leave the log

A crash leaves at worst rows that are in both, under the same seq. What modules have not taken, and what an unresolved case stands
on, stays in the log.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pcifma.errors import LogError
from pcifma.fmd.log import database, schema

LogName = Literal["error", "fault"]
KEEP = 4

_ROWS = {
    "error": "seq <= :upto AND seq NOT IN (SELECT seq FROM main.evidence)",
    "fault": "seq <= :upto AND case_uuid NOT IN (SELECT uuid FROM main.cases WHERE state != 'RESOLVED')",
}


def rotate(
    connection: sqlite3.Connection,
    path: Path,
    which: LogName,
    upto: int,
    *,
    stamp: str,
    strict: bool,
    migrations: Sequence[schema.Migration],
) -> Path | None:
    """Move rows of log *which* up to seq *upto* out of the log at *path*; the archive's path, None if there was nothing to move.

    LogError if an archive of that *stamp* is there; LogUnavailableError or sqlite3.Error if storage fails, with the log as it was.
    """
    if not connection.execute(f"SELECT EXISTS (SELECT 1 FROM {which} WHERE {_ROWS[which]})", {"upto": upto}).fetchone()[0]:
        return None
    target = path.with_name(f"{path.stem}-{which}-{stamp}{path.suffix}")
    if target.exists():
        raise LogError(f"{target}: is there already: wait a second, or move it away")
    unfinished = target.with_name(target.name + "+")
    unfinished.unlink(missing_ok=True)
    database.close(database.connect(unfinished, strict=strict, migrations=migrations), unfinished)
    _copy(connection, unfinished, which, upto)
    unfinished.rename(target)
    database.sync_directory(target.parent)
    _remove(connection, which, upto)
    _drop_oldest(path, which)
    return target


def _copy(connection: sqlite3.Connection, target: Path, which: LogName, upto: int) -> None:
    connection.execute("ATTACH ? AS archive", (str(target),))
    try:
        connection.execute("PRAGMA archive.synchronous=FULL")
        with database.transaction(connection):
            connection.execute(f"INSERT INTO archive.{which} SELECT * FROM main.{which} WHERE {_ROWS[which]}", {"upto": upto})
            if which == "error":
                connection.execute("INSERT INTO archive.origin SELECT * FROM main.origin WHERE id IN (SELECT origin FROM archive.error)")
    finally:
        connection.execute("DETACH archive")


def _remove(connection: sqlite3.Connection, which: LogName, upto: int) -> None:
    with database.transaction(connection):
        connection.execute(f"DELETE FROM {which} WHERE {_ROWS[which]}", {"upto": upto})


def _drop_oldest(path: Path, which: LogName) -> None:
    for old in sorted(path.parent.glob(f"{path.stem}-{which}-*{path.suffix}"))[:-KEEP]:
        with contextlib.suppress(FileNotFoundError):
            old.unlink()
