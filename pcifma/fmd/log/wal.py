"""Keeps the write-ahead log short, without stopping the commits.

size < SOFT            nothing; when the log is idle and it is above IDLE, it is copied into the database at once
SOFT: a second connection copies it into the database beside the commits, then what came meanwhile; the little that is left is copied
between two commits, so that the next one begins the file anew
HARD: all of it is copied between two commits
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes at which something is done."""

    idle: int = 1 * MIB
    soft: int = 16 * MIB
    hard: int = 20 * MIB


class Wal:
    """The -wal file beside the database at *path*; *connection* is the writer's."""

    def __init__(self, path: Path, connection: sqlite3.Connection, sizes: Sizes) -> None:
        self._database = path
        self._file = path.with_name(path.name + "-wal")
        self._connection = connection
        self._beside: threading.Thread | None = None
        self._sizes = sizes
        self._next_soft, self._next_hard = sizes.soft, sizes.hard
        # Once all of it is in the database, the next commit cuts the file to what it needs: its size is what there is to copy.
        connection.execute("PRAGMA journal_size_limit=0")

    @property
    def size(self) -> int:
        """Bytes in the file."""
        try:
            return self._file.stat().st_size
        except FileNotFoundError:
            return 0

    def tend(self, *, idle: bool) -> None:
        """After a commit: copy what is due. sqlite3.Error if the database does not take it; nothing is lost then."""
        size = self.size
        copied_beside = self._beside is not None and not self._beside.is_alive()
        if size >= self._next_hard or copied_beside or (idle and size >= self._sizes.idle):
            self._copy(size)
        elif size >= self._next_soft and self._beside is None:
            self._beside = threading.Thread(target=self._copy_beside, name="wal", daemon=True)
            self._beside.start()

    # A reader may hold the file back: it is tried again only when it has grown.
    def _copy(self, size: int) -> None:
        self._next_soft = self._next_hard = size + MIB
        self.close()
        _, pages, copied = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if pages == copied:
            self._next_soft, self._next_hard = self._sizes.soft, self._sizes.hard

    def _copy_beside(self) -> None:
        # What fails here fails again between two commits, and is reported there.
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(self._database)) as connection:
            connection.execute("PRAGMA synchronous=FULL")
            for _ in range(2):
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def close(self) -> None:
        """Wait for the copy that is under way."""
        if self._beside is not None:
            self._beside.join()
            self._beside = None
