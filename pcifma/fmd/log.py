"""The log: what was seen, durable before anything is done about it.

One thread writes. It commits whatever arrived during the last sync (group commit, no timer); a Ticket says when a batch is on
disk. Order of use: append, wait for the ticket, only then acknowledge in hardware, only then dispatch.

    log = Log.open(root / "log.db", clock=clock, report=print)
    ticket = log.append(Batch(boot_ns=now, ereports=(...), latched=(...)))
    ticket.then(wake_the_main_loop)
    log.reader().events(after=cursor, limit=1000)

Storage that fails (full, read-only, I/O error) is reported once, counted and tried again; meanwhile batches wait, and when the
queue is full append raises LogBusyError: the poller then has not seen those bits, and reports them at a later look.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from pcifma.access.seam import Clock
from pcifma.errors import LogBusyError, LogError
from pcifma.event.identity import utc
from pcifma.fmd import database, schema
from pcifma.fmd.batch import Batch
from pcifma.fmd.group import Group
from pcifma.fmd.reader import Reader
from pcifma.fmd.ticket import Ticket
from pcifma.fmd.writer import Writer

QUEUE_LIMIT = 16384
RETRY_FIRST_S, RETRY_LONGEST_S = 0.1, 5.0
# An append that finds the queue full waits this long for the disk before it gives the batch back.
PATIENCE_S = 2.0

Report = Callable[[str], None]


class Log:
    """One log file with its writer thread. Thread safe."""

    def __init__(self, path: Path, lock: int, connection: sqlite3.Connection, report: Report) -> None:
        self.path = path
        self.counters = {"batches": 0, "commits": 0, "folded": 0, "repeated": 0, "refused": 0, "errors": 0}
        self.trouble = ""
        self._lock_fd = lock
        self._report = report
        self._writer = Writer(connection)
        self._committed = self._writer.seq
        self._taken: int | None = None
        # While a transaction is under way that may fold into rows above this one, they cannot be handed out.
        self._foldable: int | None = None
        self._group = Group()
        self._change = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        clock: Clock,
        report: Report = print,
        strict: bool | None = None,
        migrations: Sequence[schema.Migration] = schema.MIGRATIONS,
    ) -> Self:
        """Open the log at *path* (made if absent) for writing; *report* gets one line for each thing an operator must know.

        A damaged file is moved aside, said so, and a new one begun. LogError: another daemon has it, or a newer version wrote
        it. LogUnavailableError: storage does not take it now. *strict* and *migrations* are for tests of older libraries and logs.
        """
        lock = database.lock(path)
        try:
            connection = _connect(path, clock, report, schema.has_strict() if strict is None else strict, migrations)
            return cls(path, lock, connection, report)
        except BaseException:
            os.close(lock)
            raise

    @property
    def committed(self) -> int:
        """The newest seq that is on disk."""
        return self._committed

    def append(self, batch: Batch) -> Ticket:
        """Queue *batch*; the ticket is done when all of it is durable.

        LogBusyError if the queue is full and storage does not take it; ValueError if an ereport does not follow the contract.
        Nothing of the batch is kept then. In a storm ereports of one origin are folded.
        """
        ticket = Ticket()
        with self._change:
            self._wait_for_room(len(batch.ereports))
            self._group.add(batch, ticket)
            self.counters["batches"] += 1
            self._change.notify_all()
        return ticket

    def _wait_for_room(self, rows: int) -> None:
        if self._closing:
            raise LogError(f"{self.path}: the log is closed")

        def has_room() -> bool:
            return not self._group.events or len(self._group.events) + rows <= QUEUE_LIMIT

        if not self._change.wait_for(has_room, 0 if self.trouble else PATIENCE_S):
            self.counters["refused"] += rows
            raise LogBusyError(f"{self.path}: the queue is full: {self.trouble or 'storage is too slow'}")

    def take(self) -> int:
        """For the one who dispatches: the newest seq that may be handed out. What is, does not change any more."""
        with self._change:
            self._taken = self._committed
            return self._taken if self._foldable is None else min(self._foldable, self._taken)

    def reader(self) -> Reader:
        """A reader of its own connection, for the calling thread."""
        return Reader(open_readonly(self.path))

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until all that was appended before is durable."""
        return self.append(Batch(boot_ns=0)).wait(timeout_s)

    def close(self) -> None:
        """Commit what is queued and close; the file is left readable for whoever may read it."""
        with self._change:
            self._closing = True
            self._change.notify_all()
        self._thread.join()
        database.close(self._writer.connection)
        os.close(self._lock_fd)

    def _run(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._group.tickets or self._closing)
                if not self._group.tickets:
                    return
                group, self._group = self._group, Group()
                self._foldable = self._taken
                self._change.notify_all()
            self._commit(group)

    def _commit(self, group: Group) -> None:
        delay = RETRY_FIRST_S
        while (error := self._attempt(group)) is not None:
            if self._closing:
                return self._give_up(group, error)
            time.sleep(delay)
            delay = min(delay * 2, RETRY_LONGEST_S)
        for ticket in group.tickets:
            ticket.finish()
        return None

    def _attempt(self, group: Group) -> sqlite3.Error | None:
        try:
            self._writer.write(group, self._foldable)
        except sqlite3.Error as err:
            self.counters["errors"] += 1
            if str(err) != self.trouble:
                self.trouble = str(err)
                self._report(f"{self.path}: {err}: events wait in memory; free or repair the storage")
            return err
        self._after_commit(group)
        return None

    def _after_commit(self, group: Group) -> None:
        if self.trouble:
            self._report(f"{self.path}: storage takes the log again; nothing was lost")
            self.trouble = ""
        self.counters["commits"] += 1
        self.counters["folded"] += group.folded
        self.counters["repeated"] = self._writer.repeated
        with self._change:
            self._committed = self._writer.seq
            self._foldable = None

    def _give_up(self, group: Group, error: sqlite3.Error) -> None:
        self._report(f"{self.path}: closed with {len(group.events)} events that storage did not take: {error}")
        for ticket in group.tickets:
            ticket.finish(LogError(f"{self.path}: {error}"))


def _connect(path: Path, clock: Clock, report: Report, strict: bool, migrations: Sequence[schema.Migration]) -> sqlite3.Connection:
    try:
        return database.connect(path, strict=strict, migrations=migrations)
    except sqlite3.DatabaseError as err:
        aside = database.move_aside(path, utc(clock.wall_ns())[:19].replace(":", ""))
        report(f"{path}: damaged ({err}): moved to {aside.name}, and a new log begins; `sqlite3 {aside.name} .recover` shows what is left")
        return database.connect(path, strict=strict, migrations=migrations)


def open_readonly(path: Path) -> sqlite3.Connection:
    """A connection that only reads, as any member of the log's group may, while the daemon runs or not; LogError if there is no log."""
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
        with contextlib.closing(connection.execute("SELECT count(*) FROM sqlite_master")) as cursor:
            cursor.fetchone()
    except sqlite3.Error as err:
        raise LogError(f"{path}: the log cannot be read: {err}") from err
    return connection
