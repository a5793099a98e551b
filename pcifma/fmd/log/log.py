"""The log: what was seen, durable before anything is done about it.

One thread writes. It commits whatever arrived during the last sync (group commit, no timer); a Ticket says when a batch is on
disk. Order of use: append, wait for the ticket, only then acknowledge in hardware, only then dispatch.

    log = Log.open(root / "log.db", clock=clock, report=print)
    ticket = log.append(Batch(boot_ns=now, ereports=(...), latched=(...)))
    ticket.then(wake_the_main_loop)
    log.reader().events(after=cursor, limit=1000)

Storage that fails (full, read-only, I/O error) is reported once, counted and tried again; meanwhile batches wait, and when the
queue is full append raises LogBusyError: the poller then has not seen those bits, and reports them at a later look. A file that
is damaged or taken away is moved aside, said so, and `generation` rises: what is kept elsewhere must be stored again.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from pcifma.access.seam import Clock
from pcifma.errors import LogBusyError, LogError
from pcifma.fmd.log import database, schema
from pcifma.fmd.log.archive import LogName
from pcifma.fmd.log.batch import Batch
from pcifma.fmd.log.group import Group, Rows
from pcifma.fmd.log.reader import Reader
from pcifma.fmd.log.readonly import open_readonly
from pcifma.fmd.log.retention import Limits
from pcifma.fmd.log.store import Report, Store
from pcifma.fmd.log.ticket import Ticket

QUEUE_LIMIT = 16384
RETRY_FIRST_S, RETRY_LONGEST_S = 0.1, 5.0
# An append that finds the queue full waits this long for the disk before it gives the batch back.
PATIENCE_S = 2.0
_COMMITS_KNOWN = 256
# For whoever runs a log beside a busy thread: how long one may keep the interpreter. CPython's own 5 ms, waited for at each step of
# SQLite, would make a commit ten times as long.
SWITCH_INTERVAL_S = 0.0005


class Log:
    """One log file with its writer thread. Thread safe.

    *on_commit* is called on that thread after each commit, and must not block. *subscribers* are the modules whose cursors hold
    retention back (None: all that ever were). *trouble* is what keeps storage from taking the log now, or empty.
    """

    def __init__(self, store: Store, lock: int, report: Report) -> None:
        self.path = store.path
        self.counters = {"batches": 0, "commits": 0, "folded": 0, "repeated": 0, "refused": 0, "errors": 0}
        self.trouble = self._untended = ""
        self.on_commit: Callable[[], None] = lambda: None
        self.subscribers: frozenset[str] | None = None
        self._lock_fd = lock
        self._report = report
        self._store = store
        self._committed = store.seq
        self._taken: int | None = None
        # When the newest commits were durable: (their last seq, monotonic ns).
        self._durable: deque[tuple[int, int]] = deque([(store.seq, time.monotonic_ns())], maxlen=_COMMITS_KNOWN)
        # While a transaction is under way that may fold into rows above this one, they cannot be handed out.
        self._foldable: int | None = None
        self._group = self._under_way = Group()
        self._jobs: deque[tuple[Callable[[Store], None], Ticket]] = deque()
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
        limits: Limits | None = None,
        strict: bool | None = None,
        migrations: Sequence[schema.Migration] = schema.MIGRATIONS,
    ) -> Self:
        """Open the log at *path* (made if absent) for writing; *report* gets one line for each thing an operator must know.

        A damaged file is moved aside, said so, and a new one begun. LogError: another daemon has it, or a newer version wrote
        it. LogUnavailableError: storage does not take it now. *strict* and *migrations* are for tests of older libraries and logs.
        """
        lock = database.lock(path)
        try:
            strict = schema.has_strict() if strict is None else strict
            store = Store(path, clock, report, strict=strict, migrations=migrations, limits=limits or Limits())
            return cls(store, lock, report)
        except BaseException:
            os.close(lock)
            raise

    @property
    def committed(self) -> int:
        """The newest seq that is on disk."""
        return self._committed

    def commits(self) -> list[tuple[int, int]]:
        """The newest commits, oldest first: the last seq of each, and when it was durable in monotonic ns."""
        with self._change:
            return list(self._durable)

    @property
    def generation(self) -> int:
        """How often a damaged file was replaced by a new one since the log was opened."""
        return self._store.generation

    def append(self, batch: Batch) -> Ticket:
        """Queue *batch*; the ticket is done when all of it is durable.

        LogBusyError if the queue is full and storage does not take it; ValueError if an ereport does not follow the contract.
        Nothing of the batch is kept then. In a storm ereports of one origin are folded.
        """
        ticket, rows = Ticket(), Rows.of(batch)
        with self._change:
            self._wait_for_room(len(batch.ereports))
            self._group.add(batch, rows, ticket)
            self.counters["batches"] += 1
            self._change.notify_all()
        return ticket

    def _wait_for_room(self, rows: int) -> None:
        self._refuse_closed()

        def has_room() -> bool:
            return not self._group.events or len(self._group.events) + rows <= QUEUE_LIMIT

        if not self._change.wait_for(has_room, 0 if self.trouble else PATIENCE_S):
            self.counters["refused"] += rows
            raise LogBusyError(f"{self.path}: the queue is full: {self.trouble or 'storage is too slow'}")

    def _refuse_closed(self) -> None:
        if self._closing:
            raise LogError(f"{self.path}: the log is closed")

    def take(self) -> int:
        """For the one who dispatches: the newest seq that may be handed out. What is, does not change any more."""
        with self._change:
            self._taken = self._committed
            return self._taken if self._foldable is None else min(self._foldable, self._taken)

    def reader(self) -> Reader:
        """A reader of its own connection, for the calling thread. LogUnavailableError where storage does not let it be opened now."""
        return Reader(open_readonly(self.path, copied=False))

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until all that was appended before is durable."""
        return self.append(Batch(boot_ns=0)).wait(timeout_s)

    def resize(self, limits: Limits) -> Ticket:
        """Keep within *limits* from now on."""
        return self.do(lambda store: store.resize(limits))

    def check(self) -> None:
        """A reader has found the log damaged: have the writer look, and begin a new one if that is so."""
        self.do(Store.check)

    def rotate(self, which: LogName) -> Path | None:
        """Move what of the error or the fault log is done with into a file beside the log: its path, None if there was nothing.

        LogError if that fails; the log is as it was then. The newest four such files are kept.
        """
        made: list[Path | None] = []
        self.do(lambda store: made.append(store.rotate(which, self.subscribers))).wait()
        return made[0]

    def do(self, job: Callable[[Store], None]) -> Ticket:
        """Run *job* on the log's thread, between two commits."""
        ticket = Ticket()
        with self._change:
            self._refuse_closed()
            self._jobs.append((job, ticket))
            self._change.notify_all()
        return ticket

    def close(self) -> None:
        """Commit what is queued and close; the file is left readable for whoever may read it. Again: nothing."""
        with self._change:
            if self._closing:
                return
            self._closing = True
            self._change.notify_all()
        self._thread.join()
        self._store.close()
        os.close(self._lock_fd)

    # The log's thread.

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as err:  # ours, and no storage's: a log that seems to run and keeps nothing would be worse than none
            self._report(f"{self.path}: the log's thread has failed: {type(err).__name__}: {err}: restart pcifma fmd")
            self.trouble = str(err)
            with self._change:
                self._closing = True
                left, self._group = self._group, Group()
                waiting = [*left.tickets, *self._under_way.tickets, *(ticket for _, ticket in self._jobs)]
                self._change.notify_all()
            for ticket in waiting:
                if not ticket.done:
                    ticket.finish(LogError(f"{self.path}: {err}"))

    def _work(self) -> None:
        more = False
        while True:
            with self._change:
                if not more:
                    self._change.wait_for(lambda: self._group.tickets or self._jobs or self._closing)
                if self._closing and not self._group.tickets and not self._jobs:
                    return
                group, self._group = self._group, Group()
                self._under_way = group
                self._foldable = self._taken if group.tickets else None
                self._change.notify_all()
            if group.tickets:
                self._commit(group)
            while self._jobs:
                self._run_job(*self._jobs.popleft())
            more = self._tend()

    def _commit(self, group: Group) -> None:
        delay_s = RETRY_FIRST_S
        while (err := self._attempt(group)) is not None:
            if self._closing or not (database.is_storage(err) or database.is_broken(err)):
                return self._refuse(group, err)
            self._note_trouble(err)
            self._recover(err)
            with self._change:
                self._change.wait_for(lambda: self._closing, delay_s)
            delay_s = min(delay_s * 2, RETRY_LONGEST_S)
        self._finish(group)
        return None

    def _attempt(self, group: Group) -> Exception | None:
        try:
            self._store.commit(group, self._foldable, self.subscribers)
        except (sqlite3.Error, LogError, OSError, ValueError, OverflowError) as err:
            return err
        return None

    def _recover(self, err: Exception) -> None:
        # Moving a damaged file aside is storage's work too, and may fail like the rest: the next attempt finds it again.
        try:
            self._store.recover(err)
        except (sqlite3.Error, OSError) as second:
            self._note_trouble(second)

    def _finish(self, group: Group) -> None:
        if self.trouble:
            self._report(f"{self.path}: storage takes the log again; what waited is written")
            self.trouble = ""
        self.counters["commits"] += 1
        self.counters["folded"] += group.folded
        self.counters["repeated"] = self._store.repeated
        with self._change:
            self._committed = self._store.seq
            self._durable.append((self._committed, time.monotonic_ns()))
            self._foldable = None
        for ticket in group.tickets:
            ticket.finish()
        self.on_commit()

    def _refuse(self, group: Group, err: Exception) -> None:
        self._report(f"{self.path}: {len(group.events)} events could not be stored: {err}")
        with self._change:
            self._foldable = None
        for ticket in group.tickets:
            ticket.finish(LogError(f"{self.path}: {err}"))

    def _note_trouble(self, err: Exception) -> None:
        self.counters["errors"] += 1
        if not self.trouble:
            self._report(
                f"{self.path}: storage does not take the log: {err}: events wait in memory and nothing is cleared; free or repair it"
            )
        self.trouble = str(err)

    def _run_job(self, job: Callable[[Store], None], ticket: Ticket) -> None:
        try:
            job(self._store)
        except (sqlite3.Error, LogError, OSError) as err:
            ticket.finish(LogError(f"{self.path}: {err}"))
        else:
            ticket.finish()

    # Where no commit waits, room is made here, else inside of commits; where that fails, what is committed is safe in the WAL, and the
    # next commit tries again.
    def _tend(self) -> bool:
        try:
            more = self._store.tend(self.subscribers, idle=not self._group.tickets)
        except (sqlite3.Error, LogError, OSError) as err:
            self.counters["errors"] += 1
            if database.is_broken(err):
                self._recover(err)
            elif str(err) != self._untended:
                self._report(f"{self.path}: no room can be made in the log: {err}")
            self._untended = str(err)
            return False
        self._untended = ""
        return more
