"""The log's tables, and how an older log becomes a newer one. `user_version` is the schema's number.

One seq numbers both logs, so that a cursor is one number. Keys rise with time: an index by uuid would touch a page for each row
of a storm, and all of them go through the WAL; questions by uuid read the log through, which takes a fraction of a second.
Tables are STRICT where SQLite has it (3.37); older libraries get the same columns with typeof() checks. `meta.written_by` names
the pcifma version that wrote the schema, in every version of it.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable

APPLICATION_ID = 0x50464D41  # "PFMA"
STRICT_SINCE = (3, 37, 0)

Migration = Callable[[sqlite3.Connection, bool], None]

# A column is `name TYPE`; NULL is allowed only where it says so.
_V1 = {
    "meta": "key TEXT, value TEXT, PRIMARY KEY (key)",
    # What all ereports of one bit of one target on one fabric have in common; folding never joins two origins.
    "origin": "id INTEGER PRIMARY KEY, class TEXT, device TEXT, body BLOB",
    "error": (
        "seq INTEGER PRIMARY KEY, uuid BLOB, origin INTEGER, tick INTEGER, wall_ns INTEGER, not_before_ns INTEGER NULL, boot_ns INTEGER, "
        "ena BLOB, count INTEGER, first_ns INTEGER NULL, last_ns INTEGER NULL, payload BLOB"
    ),
    # What retention has let go, added up by class.
    "retired": "class TEXT, events INTEGER, count INTEGER, last_ns INTEGER, PRIMARY KEY (class)",
    "fault": "seq INTEGER PRIMARY KEY, case_uuid BLOB, class TEXT, wall_ns INTEGER, boot_ns INTEGER, body BLOB",
    "latched": (
        "target TEXT, register TEXT, bit INTEGER, boot TEXT, occurrence INTEGER, since_ns INTEGER, standing INTEGER, "
        "PRIMARY KEY (target, register, bit)"
    ),
    "baseline": "target TEXT, boot TEXT, last_look_ns INTEGER, words BLOB, PRIMARY KEY (target)",
    "position": "one INTEGER, tick INTEGER, snapshot INTEGER, PRIMARY KEY (one)",
    "fabric": "id TEXT, wall_ns INTEGER, body BLOB, PRIMARY KEY (id)",
    "written": (
        "id TEXT, wall_ns INTEGER, boot TEXT, device TEXT, register TEXT, width INTEGER, before INTEGER NULL, value INTEGER, "
        "after INTEGER NULL, why TEXT, PRIMARY KEY (id)"
    ),
    "module": "name TEXT, cursor INTEGER, boot TEXT, wall_offset_ns INTEGER, failed TEXT, PRIMARY KEY (name)",
    "state": "module TEXT, kind TEXT, key TEXT, body BLOB, PRIMARY KEY (module, kind, key)",
    "cases": "id INTEGER PRIMARY KEY, uuid BLOB, module TEXT, key TEXT, state TEXT, body BLOB",
    "resource": "case_id INTEGER, n INTEGER, target TEXT, state TEXT, body BLOB, PRIMARY KEY (case_id, n)",
    "evidence": "seq INTEGER, case_id INTEGER, PRIMARY KEY (seq, case_id)",
}
_INDEXES = ("CREATE INDEX evidence_case ON evidence (case_id)",)
_COLUMN = re.compile(r"(\w+) (INTEGER|TEXT|BLOB)( PRIMARY KEY)?( NULL)?")
_ROWID_TABLES = ("origin", "error", "fault", "cases")


def has_strict() -> bool:
    """True where this SQLite knows STRICT tables."""
    return sqlite3.sqlite_version_info >= STRICT_SINCE


def table(name: str, columns: str, *, strict: bool) -> str:
    """The CREATE TABLE statement of *name*: STRICT, or the same columns with checks that refuse the same values."""
    options = [] if name in _ROWID_TABLES else ["WITHOUT ROWID"]
    if strict:
        options.append("STRICT")
    body = _COLUMN.sub(lambda column: _column(column, strict=strict), columns)
    return f"CREATE TABLE {name} ({body}) {', '.join(options)}"


def _column(match: re.Match[str], *, strict: bool) -> str:
    name, kind, primary, nullable = match.groups()
    if primary:
        return match[0]
    text = f"{name} {kind}" if nullable else f"{name} {kind} NOT NULL"
    if strict:
        return text
    allowed = f"'{kind.lower()}', 'null'" if nullable else f"'{kind.lower()}'"
    return f"{text} CHECK (typeof({name}) IN ({allowed}))"


def _create(connection: sqlite3.Connection, strict: bool) -> None:
    for name, columns in _V1.items():
        connection.execute(table(name, columns, strict=strict))
    for statement in _INDEXES:
        connection.execute(statement)


# Why each register was written, and by whom: what the automatic acknowledgement and an operator's order have in common.
_V2_WRITTEN = {"ereports": "TEXT", "case_uuid": "TEXT", "command": "TEXT", "uid": "INTEGER NULL", "pid": "INTEGER NULL"}


def _add_causes(connection: sqlite3.Connection, strict: bool) -> None:
    for name, kind in _V2_WRITTEN.items():
        column = _COLUMN.sub(lambda match: _column(match, strict=strict), f"{name} {kind}")
        default = "" if kind.endswith("NULL") else " DEFAULT ''"
        connection.execute(f"ALTER TABLE written ADD COLUMN {column}{default}")


# The nth function makes version n of version n - 1, inside a transaction of its own.
MIGRATIONS: tuple[Migration, ...] = (_create, _add_causes)
