"""The store: the log's file as its writer thread holds it, through everything that can happen to a file.

OPEN --commit--> OPEN
 |  1 storage fails (full, read-only, I/O error): nothing of the group is kept                 -> DOWN
 |  2 damaged, or removed under us: moved aside, said so, generation + 1                       -> DOWN
DOWN --3 next commit: opened anew (a new file after 2)--> OPEN, or it still cannot be opened   -> DOWN
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from pcifma.access.seam import Clock
from pcifma.errors import LogUnavailableError
from pcifma.event.identity import utc
from pcifma.fmd.log import database, schema
from pcifma.fmd.log.archive import LogName, rotate
from pcifma.fmd.log.group import Group
from pcifma.fmd.log.retention import Limits, Retention
from pcifma.fmd.log.wal import Wal
from pcifma.fmd.log.writer import Writer

Report = Callable[[str], None]
TIDY_EVERY = 256
# While commits follow each other, the size is looked at when so many events have come.
LOOK_EVERY = 2048


class Opened:
    """A connection with those who work on it."""

    def __init__(self, path: Path, connection: sqlite3.Connection, limits: Limits, seq: int) -> None:
        self.path = path
        self.connection = connection
        self.writer = Writer(connection, seq)
        self.wal = Wal(path, connection, limits.wal)
        self.retention = Retention(connection, limits)
        self.inode = path.stat().st_ino
        self.commits = self.looked_at = 0

    @property
    def file_bytes(self) -> int:
        """Bytes in the file (none where it was taken away: the next commit sees to that) and in the write-ahead log beside it."""
        with contextlib.suppress(FileNotFoundError):
            return self.path.stat().st_size + self.wal.size
        return 0

    def close(self) -> None:
        """Close the file, readable for whoever may read it."""
        self.wal.close()
        database.close(self.connection, self.path)


class Store:
    """The file at *path*. Used by one thread. *seq* is the newest that is durable, *repeated* counts ereports that came again."""

    def __init__(
        self, path: Path, clock: Clock, report: Report, *, strict: bool, migrations: Sequence[schema.Migration], limits: Limits
    ) -> None:
        """Open it, or move it aside if it is damaged. Errors as of database.connect."""
        self.path = path
        self.generation = 0
        self.seq = self.repeated = 0
        self._clock = clock
        self._report = report
        self._strict, self._migrations, self._limits = strict, migrations, limits
        self._open: Opened | None = None
        self._broken = ""  # why the file is to be moved aside, where storage did not take that yet
        try:
            self.opened()
        except sqlite3.DatabaseError as err:
            try:
                self._set_aside(str(err))
            except OSError as second:
                raise LogUnavailableError(f"{path}: damaged ({err}), and cannot be moved aside: {second.strerror}") from second
            self.opened()

    def opened(self) -> Opened:
        """The open file, opened now if it was down. LogUnavailableError if it cannot be; sqlite3.DatabaseError if it is damaged."""
        if self._broken:
            self._set_aside(self._broken)
        if self._open is None:
            connection = database.connect(self.path, strict=self._strict, migrations=self._migrations)
            self._open = Opened(self.path, connection, self._limits, self.seq)
            self.seq = self._open.writer.seq
        return self._open

    def commit(self, group: Group, foldable: int | None, subscribers: frozenset[str] | None = None) -> None:
        """Make *group* durable. If that fails, nothing of it is kept: sqlite3.Error, LogUnavailableError.

        While commits follow each other, room is made inside of them: what is done between two of them has a sync of its own.
        """
        if self._open is not None and not self._is_in_place(self._open):
            self._set_aside("it was removed or replaced while it was open")
        opened = self.opened()
        writer, retention = opened.writer, opened.retention
        if retention.orphans_gone:
            writer.forget_origins()
            retention.orphans_gone = False
        if self._is_time(opened):
            writer.write(group, foldable, lambda: retention.slice(self._upto(subscribers)))
        else:
            writer.write(group, foldable)
        opened.commits += 1
        self.repeated += writer.repeated
        self.seq, writer.repeated = writer.seq, 0

    # Looked at so often that it keeps pace with what comes; a commit that fails is tried again without.
    def _is_time(self, opened: Opened) -> bool:
        if self.seq - opened.looked_at < LOOK_EVERY:
            return False
        opened.looked_at = self.seq
        return self._is_large(opened) and opened.retention.used_bytes > self._limits.database_bytes

    # The size of the files is a bound of what the database holds, and asked for in no time.
    def _is_large(self, opened: Opened) -> bool:
        return opened.file_bytes > self._limits.database_bytes

    def recover(self, err: Exception) -> None:
        """After a commit failed: make the next one possible. A connection that saw an I/O error may hold pages that the disk has not."""
        if database.is_broken(err):
            self._set_aside(str(err))
        elif self._open is not None:
            self._open.connection.close()
            self._open = None

    def resize(self, limits: Limits) -> None:
        """Keep within *limits* from now on."""
        self._limits = limits
        if self._open is not None:
            self._open.retention.limits = limits

    def check(self) -> None:
        """Somebody has found the log damaged: look, and have the next commit begin a new one if it is."""
        try:
            database.check(self.opened().connection)
        except sqlite3.DatabaseError as err:
            self.recover(err)

    def tend(self, subscribers: frozenset[str] | None, *, idle: bool) -> bool:
        """After a commit: keep WAL and database within their sizes; True if there is more of that to do."""
        if self._open is None:
            return False
        self._open.wal.tend(idle=idle)
        if not idle:
            return False
        more = self._is_large(self._open) and self._open.retention.step(self._upto(subscribers))
        if self._open.commits >= TIDY_EVERY and not more:
            self.tidy()
        return more

    def _upto(self, subscribers: frozenset[str] | None) -> int:
        return min(self._done_with(subscribers), self.seq - self._limits.newest)

    def tidy(self) -> None:
        """Bound the smaller tables."""
        opened = self.opened()
        opened.commits = 0
        opened.retention.tidy()
        opened.writer.reload()

    def rotate(self, which: LogName, subscribers: frozenset[str] | None) -> Path | None:
        """Move what of log *which* is done with into a file of its own; errors as of archive.rotate."""
        opened = self.opened()
        stamp, upto = self._stamp(), self._done_with(subscribers)
        opened.writer.reload()
        made = rotate(opened.connection, self.path, which, upto, stamp=stamp, strict=self._strict, migrations=self._migrations)
        opened.retention.gone = True
        self.tidy()
        return made

    def _stamp(self) -> str:
        return utc(self._clock.wall_ns())[:19].replace(":", "")

    # What every subscriber has durably done with; before they are known, what every module ever has.
    def _done_with(self, subscribers: frozenset[str] | None) -> int:
        rows = self.opened().connection.execute("SELECT name, cursor FROM module")
        return min((int(cursor) for name, cursor in rows if subscribers is None or name in subscribers), default=self.seq)

    def _set_aside(self, why: str) -> None:
        if self._open is not None:
            self._open.connection.close()
            self._open = None
        self._broken = why
        aside = database.move_aside(self.path, self._stamp())
        self._broken = ""
        self._report(
            f"{self.path}: damaged ({why}): kept as {aside.name}, a new log begins; `sqlite3 {aside.name} .recover` shows what is left"
        )
        self.generation += 1

    def _is_in_place(self, opened: Opened) -> bool:
        try:
            return self.path.stat().st_ino == opened.inode
        except FileNotFoundError:
            return False
        except OSError:
            return True  # the storage's trouble shows in the commit

    def close(self) -> None:
        """Close the file, readable for whoever may read it."""
        if self._open is not None:
            self._open.close()
            self._open = None
