"""Questions to the log, for the engine, the poller, and every command that reads. Needs a connection that may only read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import msgspec

from pcifma.event.case import ListEvent
from pcifma.event.ereport import Ereport
from pcifma.event.value import FABRIC_CLASS
from pcifma.fmd.log.batch import CaseRow, Checkpoint, FabricSnapshot, Position, RegisterWrite, ResourceRow
from pcifma.fmd.log.retention import WRITES_GONE
from pcifma.fmd.log.row import Arrival, ereport, uuid_bytes, uuid_text
from pcifma.poll.latched import Baseline, Standing


class Logged(NamedTuple):
    """An event as the log holds it, with its boot time in ns (of the boot that its ereport names)."""

    event: Ereport | ListEvent
    boot_ns: int

    @property
    def seq(self) -> int:
        """Its place in the log."""
        return self.event.seq

    @property
    def uuid(self) -> str:
        """Its own uuid."""
        return self.event.uuid if isinstance(self.event, Ereport) else self.event.event


@dataclass(frozen=True, slots=True)
class Damaged:
    """An event whose row cannot be made out, and *why*, on one line."""

    seq: int
    why: str


_UNREADABLE = (msgspec.MsgspecError, ValueError, AssertionError, TypeError)
_ROW = """seq, origin.body, uuid, tick, wall_ns, not_before_ns, boot_ns, ena, count, first_ns, last_ns, payload
          FROM error JOIN origin ON origin.id = error.origin"""
# Both logs merged as they are walked: nothing is sorted, and no more is read than is wanted.
_AFTER = f"""SELECT {_ROW} WHERE seq > :after AND seq <= :upto
             UNION ALL SELECT seq, NULL, NULL, NULL, NULL, NULL, boot_ns, NULL, NULL, NULL, NULL, body FROM fault
             WHERE seq > :after AND seq <= :upto ORDER BY seq LIMIT :limit"""
_WORDS = msgspec.json.Decoder(tuple[tuple[str, int], ...])
_LIST = msgspec.json.Decoder(ListEvent)


class Reader:
    """Reads from one connection; each call sees one consistent state of the log."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def events(self, after: int, limit: int, upto: int = (1 << 63) - 1) -> list[Logged]:
        """At most *limit* events of both logs with after < seq <= upto, in log order."""
        rows = self.connection.execute(_AFTER, {"after": after, "limit": limit, "upto": upto})
        return [_logged(row) for row in rows]

    def readable(self, after: int, limit: int, upto: int = (1 << 63) - 1) -> list[Logged | Damaged]:
        """As *events*, but a row that cannot be made out is no end of it."""
        rows = self.connection.execute(_AFTER, {"after": after, "limit": limit, "upto": upto})
        return [_readable(row) for row in rows]

    def boot_ns(self, seq: int) -> int | None:
        """Boot time of the ereport numbered *seq*, if the log still has it."""
        row = self.connection.execute("SELECT boot_ns FROM error WHERE seq = ?", (seq,)).fetchone()
        return None if row is None else int(row[0])

    def last(self) -> int:
        """The newest seq in either log; 0 if both are empty."""
        query = "SELECT max(coalesce((SELECT max(seq) FROM error), 0), coalesce((SELECT max(seq) FROM fault), 0))"
        return int(self.connection.execute(query).fetchone()[0])

    def errors(self, uuids: list[str]) -> list[Ereport]:
        """The ereports with those uuids that the log still has, in log order."""
        wanted = [uuid_bytes(text) for text in uuids]
        query = f"SELECT {_ROW} WHERE uuid IN ({','.join('?' * len(wanted))}) ORDER BY seq"
        return [ereport(row[0], _arrival(row)) for row in self.connection.execute(query, wanted)]

    def snapshots(self, events: list[Ereport]) -> list[Ereport]:
        """The raw snapshots that *events* came from, as far as the log still has them, in log order."""
        enas = sorted({bytes.fromhex(event.ena) for event in events})
        query = f"SELECT {_ROW} WHERE ena IN ({','.join('?' * len(enas))}) AND origin.class = ? ORDER BY seq"
        known = {(event.ena, event.device) for event in events}
        found = (ereport(row[0], _arrival(row)) for row in self.connection.execute(query, (*enas, FABRIC_CLASS)))
        return [event for event in found if (event.ena, event.device) in known]

    def devices(self, case: int) -> set[str]:
        """Where the ereports that the case of that id stands on were seen."""
        query = """SELECT DISTINCT origin.device FROM evidence JOIN error USING (seq) JOIN origin ON origin.id = error.origin
                   WHERE case_id = ?"""
        return {device for (device,) in self.connection.execute(query, (case,))}

    def lists(self, case: str | None = None) -> Iterator[ListEvent]:
        """List events, of one *case* or of all, in log order."""
        where, values = ("", ()) if case is None else ("WHERE case_uuid = ?", (uuid_bytes(case),))
        for (body,) in self.connection.execute(f"SELECT body FROM fault {where} ORDER BY seq", values):
            yield _LIST.decode(body)

    def latched(self) -> list[Standing]:
        """The latched set's rows."""
        rows = self.connection.execute("SELECT target, register, bit, boot, occurrence, since_ns, standing FROM latched")
        return [Standing(t, r, bit, boot, n, since, bool(standing)) for t, r, bit, boot, n, since, standing in rows]

    def baselines(self) -> list[Baseline]:
        """The latched set's last looks."""
        rows = self.connection.execute("SELECT target, boot, last_look_ns, words FROM baseline")
        return [Baseline(target, boot, last_look_ns, _WORDS.decode(words)) for target, boot, last_look_ns, words in rows]

    def position(self) -> Position:
        """Where the poller's numbers go on."""
        row = self.connection.execute("SELECT tick, snapshot FROM position").fetchone()
        return Position() if row is None else Position(*row)

    def fabric(self, id: str) -> FabricSnapshot | None:
        """The fabric snapshot *id*, if it is kept."""
        row = self.connection.execute("SELECT id, wall_ns, body FROM fabric WHERE id = ?", (id,)).fetchone()
        return None if row is None else FabricSnapshot(*row)

    def newest_fabric(self) -> FabricSnapshot | None:
        """The newest fabric snapshot."""
        row = self.connection.execute("SELECT id, wall_ns, body FROM fabric ORDER BY wall_ns DESC LIMIT 1").fetchone()
        return None if row is None else FabricSnapshot(*row)

    def counted(self, class_: str, device: str, since_ns: int) -> int:
        """How many ereports of *class_* at *device* the log has since then (ns since 1970): the sum of their counts."""
        query = "SELECT sum(count) FROM error JOIN origin ON origin.id = error.origin WHERE class = ? AND device = ? AND wall_ns >= ?"
        return int(self.connection.execute(query, (class_, device, since_ns)).fetchone()[0] or 0)

    def writes(self) -> Iterator[RegisterWrite]:
        """The ledger of configuration writes, oldest first."""
        query = """SELECT id, wall_ns, boot, device, register, width, before, value, after, why, ereports, case_uuid, command, uid, pid
                   FROM written ORDER BY wall_ns, id"""
        for row in self.connection.execute(query):
            yield _write(row)

    def writes_ever(self) -> int:
        """How many registers were ever written and read back, rows that the ledger no longer has included."""
        query = f"""SELECT (SELECT count(*) FROM written WHERE value != 0 AND after IS NOT NULL)
                    + coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = '{WRITES_GONE}'), 0)"""
        return int(self.connection.execute(query).fetchone()[0])

    def written_by(self) -> str:
        """The version of pcifma that brought the log to its schema."""
        return str(self.connection.execute("SELECT value FROM meta WHERE key = 'written_by'").fetchone()[0])

    def note(self, name: str) -> str | None:
        """The daemon's note of that name."""
        row = self.connection.execute("SELECT value FROM meta WHERE key = ?", (f"note:{name}",)).fetchone()
        return None if row is None else str(row[0])

    def cases(self) -> list[CaseRow]:
        """All cases that are kept."""
        rows = self.connection.execute("SELECT id, uuid, module, key, state, body FROM cases")
        return [CaseRow(number, uuid_text(key), *rest) for number, key, *rest in rows]

    def resources(self) -> list[ResourceRow]:
        """The resource cache."""
        return [ResourceRow(*row) for row in self.connection.execute("SELECT target, case_id, n, state, body FROM resource")]

    def evidence(self, case: int) -> dict[str, int]:
        """The ereports that the case of that id stands on: seq by uuid, in log order."""
        query = "SELECT error.uuid, error.seq FROM evidence JOIN error USING (seq) WHERE case_id = ? ORDER BY seq"
        return {uuid_text(key): seq for key, seq in self.connection.execute(query, (case,))}

    def retired(self) -> dict[str, tuple[int, int]]:
        """What retention has let go: events and the sum of their counts, by class."""
        rows = self.connection.execute("SELECT class, events, count FROM retired ORDER BY class")
        return {class_: (events, count) for class_, events, count in rows}

    def modules(self) -> list[Checkpoint]:
        """The latest checkpoint of each module, without its state."""
        query = "SELECT name, cursor, boot, wall_offset_ns, failed FROM module"
        return [Checkpoint(*row) for row in self.connection.execute(query)]

    def state(self, module: str) -> dict[tuple[str, str], bytes]:
        """What *module* has checkpointed, by (kind, key)."""
        rows = self.connection.execute("SELECT kind, key, body FROM state WHERE module = ?", (module,))
        return {(kind, key): body for kind, key, body in rows}


def _arrival(row: tuple[object, ...]) -> Arrival:
    return Arrival(*row[1:])  # type: ignore[arg-type]


def _write(row: tuple[Any, ...]) -> RegisterWrite:
    ereports, case, command, uid, pid = row[10:]
    return replace(RegisterWrite(*row[:10]), ereports=tuple(ereports.split()), case=case, command=command, uid=uid, pid=pid)


def _logged(row: tuple[object, ...]) -> Logged:
    seq, boot_ns, payload = row[0], row[6], row[11]
    assert isinstance(seq, int) and isinstance(boot_ns, int) and isinstance(payload, bytes)
    return Logged(_LIST.decode(payload) if row[1] is None else ereport(seq, _arrival(row)), boot_ns)


def _readable(row: tuple[object, ...]) -> Logged | Damaged:
    try:
        return _logged(row)
    except _UNREADABLE as err:
        return Damaged(int(str(row[0])), " ".join(str(err).split())[:200] or type(err).__name__)
