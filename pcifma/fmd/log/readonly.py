"""Opening the log to read it: as any member of its group, while the daemon runs, after it has stopped, and after it has died.

daemon runs            WAL, shared with it through -shm, which the group may read
daemon has closed      one file in rollback mode: plain reading; of an older schema, a copy in memory that is brought up to date
daemon has died        WAL with what only it holds; where -shm is missing and cannot be made, a private copy is read
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from pcifma.errors import LogError, LogUnavailableError
from pcifma.fmd.log import schema
from pcifma.fmd.log.database import bring_up, is_storage, refuse_newer, refuse_strict, version_of


def open_readonly(path: Path, *, migrations: Sequence[schema.Migration] = schema.MIGRATIONS, copied: bool = True) -> sqlite3.Connection:
    """A connection that only reads. LogError if there is no log, it may not be read, it is damaged, or a newer version wrote it;
    LogUnavailableError where storage fails. *copied*: a private copy will do, which sees nothing of what is written later.
    """
    if not _exists(path):
        raise LogError(f"{path}: no log is here: has the daemon run with this root?")
    try:
        return _checked(_connect(path), path, migrations)
    except sqlite3.OperationalError as err:
        if not copied or err.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            kind = LogUnavailableError if is_storage(err) else LogError
            raise kind(f"{path}: the log cannot be read: {err}") from err
    except sqlite3.DatabaseError as err:
        raise LogError(f"{path}: the log cannot be read: {err}") from err
    return _copied(path, migrations)


def _exists(path: Path) -> bool:
    try:
        return path.stat().st_size >= 0
    except FileNotFoundError:
        return False
    except OSError as err:
        raise LogError(f"{path}: the log cannot be read: {err.strerror}: read it as root, or as a member of its group") from err


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)


def _checked(connection: sqlite3.Connection, path: Path, migrations: Sequence[schema.Migration]) -> sqlite3.Connection:
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        refuse_newer(connection, path, len(migrations))
        if (found := version_of(connection)) < len(migrations):
            if not found or path.with_name(path.name + "-wal").exists():
                raise LogError(f"{path}: schema {found} of {len(migrations)}: start the daemon anew, it brings the log up to date")
            connection = _brought_up(connection, migrations)
        connection.execute("PRAGMA query_only=ON")
    except BaseException as err:
        connection.close()
        refuse_strict(err, path)
        raise
    return connection


# Nobody writes an archive, nor the log of a daemon that has stopped: it is read as the newest schema has it.
def _brought_up(connection: sqlite3.Connection, migrations: Sequence[schema.Migration]) -> sqlite3.Connection:
    memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.backup(memory)
    connection.close()
    bring_up(memory, strict=schema.has_strict(), migrations=migrations)
    return memory


# Nobody writes the files now: who runs would have made them readable.
def _copied(path: Path, migrations: Sequence[schema.Migration]) -> sqlite3.Connection:
    import shutil  # noqa: PLC0415 - these two weigh a MiB, and the daemon needs no copy
    import tempfile  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="pcifma-") as directory:
        copy = Path(directory) / path.name
        try:
            for suffix in ("", "-wal"):
                if path.with_name(path.name + suffix).exists():
                    shutil.copyfile(path.with_name(path.name + suffix), copy.with_name(copy.name + suffix))
            connection = sqlite3.connect(copy, isolation_level=None, check_same_thread=False)
            return _checked(connection, path, migrations)
        except (OSError, sqlite3.Error) as err:
            raise LogError(f"{path}: the log cannot be read: {err}: read it as root, or as a member of its group") from err
