"""The tables take what they should on every SQLite, and an older log becomes a newer one without risk."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.event import ereport

from pcifma import __version__
from pcifma.access.clock import SimulatedClock
from pcifma.errors import LogError
from pcifma.fmd.log import schema
from pcifma.fmd.log.batch import Batch, RegisterWrite
from pcifma.fmd.log.log import Log
from pcifma.fmd.log.readonly import open_readonly

BOTH = [True, False] if schema.has_strict() else [False]


def add_note(connection: sqlite3.Connection, strict: bool) -> None:
    connection.execute(schema.table("note", "id INTEGER PRIMARY KEY, text TEXT", strict=strict))


def fail_halfway(connection: sqlite3.Connection, strict: bool) -> None:
    add_note(connection, strict)
    raise sqlite3.OperationalError("disk I/O error")


NOW = len(schema.MIGRATIONS)
NEXT = (*schema.MIGRATIONS, add_note)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log of this version with one event."""
    path = tmp_path / "log.db"
    log = Log.open(path, clock=SimulatedClock())
    log.append(Batch(boot_ns=0, ereports=(ereport(0),))).wait()
    log.close()
    return path


@pytest.fixture(params=BOTH, ids=lambda strict: "strict" if strict else "checked")
def tables(request: pytest.FixtureRequest) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    schema.MIGRATIONS[0](connection, bool(request.param))
    yield connection
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO meta VALUES ('key', NULL)",
        "INSERT INTO meta VALUES ('key', x'00')",
        "INSERT INTO latched VALUES ('t', 'r', 'six', 'b', 0, 0, 1)",
        "INSERT INTO latched VALUES ('t', 'r', 6.5, 'b', 0, 0, 1)",
        "INSERT INTO origin VALUES (1, 'c', 'd', 'text')",
        "INSERT INTO module VALUES (NULL, 0, 'b', 0, '')",
    ],
)
def test_value_of_another_type_is_refused(tables: sqlite3.Connection, statement: str) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        tables.execute(statement)


def test_null_is_taken_only_where_the_schema_says_so(tables: sqlite3.Connection) -> None:
    tables.execute("INSERT INTO written VALUES ('id', 0, 'b', 'd', 'r', 4, NULL, 1, NULL, 'why')")
    with pytest.raises(sqlite3.IntegrityError):
        tables.execute("INSERT INTO written VALUES ('id2', 0, 'b', 'd', 'r', 4, NULL, NULL, NULL, 'why')")


@pytest.mark.skipif(not schema.has_strict(), reason="this SQLite has no STRICT tables to compare with")
def test_both_forms_have_the_same_columns() -> None:
    forms = []
    for strict in (True, False):
        connection = sqlite3.connect(":memory:")
        for migration in schema.MIGRATIONS:
            migration(connection, strict)
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        forms.append({name: connection.execute(f"PRAGMA table_info({name})").fetchall() for name in names})
        connection.close()
    strict_form, checked_form = forms
    for name, columns in strict_form.items():
        assert [column[:3] for column in columns] == [column[:3] for column in checked_form[name]]


def test_log_says_who_wrote_it(path: Path) -> None:
    connection = open_readonly(path)
    assert connection.execute("SELECT value FROM meta WHERE key = 'written_by'").fetchone() == (__version__,)
    assert connection.execute("PRAGMA application_id").fetchone() == (schema.APPLICATION_ID,)
    connection.close()


def test_older_log_is_copied_then_brought_up_to_date(path: Path) -> None:
    log = Log.open(path, clock=SimulatedClock(), migrations=NEXT)
    log.append(Batch(boot_ns=0, ereports=(ereport(1),))).wait()
    log.close()
    new, old = open_readonly(path, migrations=NEXT), open_readonly(path.with_name(f"log.db.schema-{NOW}"))
    assert new.execute("SELECT count(*), (SELECT count(*) FROM note) FROM error").fetchone() == (2, 0)
    assert old.execute("SELECT count(*) FROM error").fetchone() == (1,)
    new.close()
    old.close()


def test_newer_log_is_refused_by_the_name_of_its_writer_and_left_alone(path: Path) -> None:
    Log.open(path, clock=SimulatedClock(), migrations=NEXT).close()
    before = path.read_bytes()
    remedy = f"install .* or move back log.db.schema-{NOW}"
    match = rf"written by pcifma {__version__} \(schema {NOW + 1}\); this is .* \(schema {NOW}\): {remedy}"
    with pytest.raises(LogError, match=match):
        Log.open(path, clock=SimulatedClock())
    with pytest.raises(LogError, match=match):
        open_readonly(path)
    assert path.read_bytes() == before
    Log.open(path, clock=SimulatedClock(), migrations=NEXT).close()


def test_copy_moved_back_is_a_log_of_the_old_version(path: Path) -> None:
    Log.open(path, clock=SimulatedClock(), migrations=NEXT).close()
    path.with_name(f"log.db.schema-{NOW}").rename(path)
    log = Log.open(path, clock=SimulatedClock())
    assert [logged.seq for logged in log.reader().events(0, 10)] == [1]
    log.close()


def test_migration_that_fails_changes_nothing(path: Path) -> None:
    with pytest.raises(LogError, match="disk I/O error"):
        Log.open(path, clock=SimulatedClock(), migrations=(*schema.MIGRATIONS, fail_halfway))
    log = Log.open(path, clock=SimulatedClock())
    assert [logged.seq for logged in log.reader().events(0, 10)] == [1]
    log.close()


def test_reader_of_a_newer_version_asks_for_the_daemon_while_it_runs(path: Path) -> None:
    log = Log.open(path, clock=SimulatedClock())
    with pytest.raises(LogError, match=f"schema {NOW} of {NOW + 1}: start the daemon anew"):
        open_readonly(path, migrations=NEXT)
    log.close()


def test_closed_log_or_archive_of_an_older_version_is_read_as_the_newest_and_left_alone(path: Path) -> None:
    before = path.read_bytes()
    new = open_readonly(path, migrations=NEXT)
    assert new.execute("SELECT count(*), (SELECT count(*) FROM note) FROM error").fetchone() == (1, 0)
    new.close()
    assert path.read_bytes() == before


@pytest.mark.parametrize("strict", BOTH, ids=lambda strict: "strict" if strict else "checked")
def test_ledger_of_the_first_schema_is_read_after_the_upgrade(tmp_path: Path, strict: bool) -> None:
    path = tmp_path / "log.db"
    connection = sqlite3.connect(path)
    schema.MIGRATIONS[0](connection, strict)
    connection.execute("INSERT INTO written VALUES ('id', 5, 'boot', '0000:04:00.0', '6.w', 2, 256, 256, 0, 'logged')")
    connection.execute("INSERT INTO meta VALUES ('written_by', '0.1.0')")
    connection.execute(f"PRAGMA application_id={schema.APPLICATION_ID}")
    connection.execute("PRAGMA user_version=1")
    connection.commit()
    connection.close()

    log = Log.open(path, clock=SimulatedClock(), strict=strict)
    row = RegisterWrite("new", 6, "boot", "0000:04:00.0", "6.w", 2, None, 1, None, "ordered", ("a", "b"), "case", "clear", 0, 7)
    log.append(Batch(boot_ns=0, writes=(row,))).wait()
    reader = log.reader()

    assert list(reader.writes()) == [RegisterWrite("id", 5, "boot", "0000:04:00.0", "6.w", 2, 256, 256, 0, "logged"), row]
    assert [write.outcome for write in reader.writes()] == ["done", "unknown"]
    assert reader.writes_ever() == 1
    reader.close()
    log.close()


def test_strict_tables_that_this_sqlite_cannot_read_are_said_so_and_left_alone(path: Path) -> None:
    # What SQLite before 3.37 finds in a log with STRICT tables: a word that it does not know.
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA writable_schema=ON")
    connection.execute("UPDATE sqlite_master SET sql = sql || ', STRICTER' WHERE name = 'meta'")
    connection.execute("UPDATE sqlite_master SET sql = 'CREATE TABLE meta (key TEXT) STRICTER' WHERE name = 'meta'")
    connection.commit()
    connection.close()
    for opened in (lambda: Log.open(path, clock=SimulatedClock()), lambda: open_readonly(path)):
        with pytest.raises(LogError, match=r"made with SQLite 3.37 or later.*read it on the host that wrote it"):
            opened()
    assert sorted(p.name for p in path.parent.iterdir()) == ["log.db", "log.db.lock"]


def test_database_of_somebody_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE books (title TEXT)")
    connection.execute("PRAGMA user_version=1")
    connection.close()
    before = path.read_bytes()
    for opened in (lambda: Log.open(path, clock=SimulatedClock()), lambda: open_readonly(path)):
        with pytest.raises(LogError, match="no log of pcifma: move it away"):
            opened()
    assert path.read_bytes() == before
