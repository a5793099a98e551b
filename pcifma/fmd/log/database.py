"""The file of the log: opening it for the one writer or for any reader, its lock, its age, and what to do when it is broken.

A cleanly closed log is left in rollback mode, without -wal and -shm beside it, so that a reader who may not write here can
still open it. While the daemon runs, it is in WAL mode, and readers share its -shm.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from pcifma import __version__
from pcifma.errors import LogError, LogUnavailableError
from pcifma.fmd.log import schema

BUSY_TIMEOUT_S = 5.0
FILE_MODE = 0o640
# The largest is 6144 values; SQLite takes 32766 since 3.32.
_CHUNKS = tuple(1 << bit for bit in range(9, -1, -1))
_STORAGE_CODES = frozenset({
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL,
})  # fmt: skip
_BROKEN = ("malformed", "not a database", "file is encrypted")


def connect(path: Path, *, strict: bool, migrations: Sequence[schema.Migration]) -> sqlite3.Connection:
    """The writer's connection, WAL and synchronous=FULL, at the newest schema.

    LogUnavailableError if the storage does not take it now (full, read-only, I/O error); LogError for a log of a newer version;
    sqlite3.DatabaseError if the file is broken.
    """
    try:
        create(path)
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, path, strict=strict, migrations=migrations)
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, OSError) as err:
        refuse_strict(err, path)
        if is_broken(err):
            raise
        raise LogUnavailableError(f"{path}: the log cannot be written: {err}; free or repair the storage") from err
    return connection


def create(path: Path) -> None:
    """Make an empty file that the group may read; SQLite gives -wal and -shm the same mode."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, FILE_MODE))
        path.chmod(FILE_MODE)


def _prepare(connection: sqlite3.Connection, path: Path, *, strict: bool, migrations: Sequence[schema.Migration]) -> None:
    connection.execute("PRAGMA secure_delete=OFF")
    if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    check(connection)
    refuse_newer(connection, path, len(migrations))
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA journal_mode=WAL")
    # A rollback journal that power loss brings back would undo the change to WAL, and with it what the WAL holds.
    sync_directory(path.parent)
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.execute("PRAGMA cache_size=-2048")
    migrate(connection, path, strict=strict, migrations=migrations)


def check(connection: sqlite3.Connection) -> None:
    """sqlite3.DatabaseError if SQLite's quick_check finds the file damaged."""
    found = [row[0] for row in connection.execute("PRAGMA quick_check(5)")]
    if found != ["ok"]:
        raise sqlite3.DatabaseError(f"database disk image is malformed: {found[0]}")


def is_storage(err: Exception) -> bool:
    """True where storage failed, and the same statements may succeed later; False where the statements are at fault."""
    return isinstance(err, OSError | LogUnavailableError) or (
        isinstance(err, sqlite3.Error) and getattr(err, "sqlite_errorcode", 0) & 0xFF in _STORAGE_CODES
    )


def is_broken(err: Exception) -> bool:
    """True where *err* says that the file's content is damaged, and not that storage or a statement failed."""
    return isinstance(err, sqlite3.Error) and any(word in str(err) for word in _BROKEN) and "STRICT" not in str(err)


def version_of(connection: sqlite3.Connection) -> int:
    """The schema's number; 0 for an empty file."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def refuse_newer(connection: sqlite3.Connection, path: Path, known: int) -> None:
    """LogError, naming the version that wrote it, if the schema is newer than *known*; or if this is somebody else's database."""
    found = version_of(connection)
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables and connection.execute("PRAGMA application_id").fetchone()[0] != schema.APPLICATION_ID:
        raise LogError(f"{path}: is a database, but no log of pcifma: move it away, or use another --root")
    if found <= known:
        return
    row = connection.execute("SELECT value FROM meta WHERE key = 'written_by'").fetchone()
    raise LogError(
        f"{path}: written by pcifma {row[0] if row else '(unknown)'} (schema {found}); this is {__version__} (schema {known}): "
        f"install that version again, or move back {path.name}.schema-{known}, the copy that it made"
    )


def refuse_strict(err: BaseException, path: Path) -> None:
    """LogError if *err* says that the log has STRICT tables and this SQLite has not."""
    if isinstance(err, sqlite3.Error) and "STRICT" in str(err):
        known = ".".join(map(str, schema.STRICT_SINCE[:2]))
        raise LogError(
            f"{path}: made with SQLite {known} or later, which {sqlite3.sqlite_version} cannot read: read it on the host that wrote it"
        ) from err


def migrate(connection: sqlite3.Connection, path: Path, *, strict: bool, migrations: Sequence[schema.Migration]) -> None:
    """Bring the schema up to date, each step in its own transaction; an older log is copied beside itself first."""
    found = version_of(connection)
    if 0 < found < len(migrations):
        _copy(connection, path.with_name(f"{path.name}.schema-{found}"))
    bring_up(connection, strict=strict, migrations=migrations)


def bring_up(connection: sqlite3.Connection, *, strict: bool, migrations: Sequence[schema.Migration]) -> None:
    """The steps from the schema that *connection* has to the newest."""
    found = version_of(connection)
    for number, migration in enumerate(migrations[found:], found + 1):
        with transaction(connection):
            migration(connection, strict)
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('written_by', ?)", (__version__,))
            connection.execute(f"PRAGMA application_id={schema.APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={number}")


def _copy(connection: sqlite3.Connection, target: Path) -> None:
    unfinished = target.with_name(target.name + "+")
    unfinished.unlink(missing_ok=True)
    create(unfinished)
    copy = sqlite3.connect(unfinished)
    try:
        connection.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
    finally:
        copy.close()
    unfinished.rename(target)


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the statements inside, or none."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def insert_many(connection: sqlite3.Connection, insert: str, columns: int, flat: list[object]) -> None:
    """*insert* (`INSERT INTO table`) the rows that *flat* holds one after the other, *columns* values each, in as few statements as
    there are bits in their number: each step of SQLite gives the interpreter away, and getting it back can cost more than many rows.
    """
    at, left = 0, len(flat) // columns
    for size in _CHUNKS:
        while left >= size:
            connection.execute(_values(insert, columns, size), flat[at : at + size * columns])
            at, left = at + size * columns, left - size


@functools.cache
def _values(insert: str, columns: int, rows: int) -> str:
    row = f"({','.join('?' * columns)})"
    return f"{insert} VALUES {','.join([row] * rows)}"


def move_aside(path: Path, stamp: str) -> Path:
    """Rename a broken log, and what SQLite keeps beside it, to `<name>.broken-<stamp>`; the new name of the log itself."""
    names = (f"{path.name}.broken-{stamp}{number}" for number in ("", *(f"-{n}" for n in range(2, 10**6))))
    target = next(path.with_name(name) for name in names if not path.with_name(name).exists())
    for suffix in ("-wal", "-shm", "-journal", ""):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(target.with_name(target.name + suffix))
    return target


def sync_directory(path: Path) -> None:
    """Make names in the directory *path* durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def close(connection: sqlite3.Connection, path: Path) -> None:
    """Close the writer, leaving one file in rollback mode; where a reader holds it open, WAL stays and is readable too."""
    with contextlib.suppress(sqlite3.Error):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA busy_timeout=0")
        connection.execute("PRAGMA journal_mode=DELETE")
    connection.close()
    with contextlib.suppress(OSError):
        sync_directory(path.parent)


def lock(path: Path) -> int:
    """Take the writer's lock beside *path*; a file descriptor to close when done. LogError if another daemon has it."""
    name = path.with_name(path.name + ".lock")
    try:
        fd = os.open(name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, FILE_MODE)
    except OSError as err:
        raise LogUnavailableError(f"{name}: the log's lock cannot be made: {err.strerror}; free or repair the storage") from err
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as err:
        holder = os.read(fd, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        raise LogError(f"{path}: another daemon (process {holder}) writes this log: stop it, or use another --root") from err
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd
