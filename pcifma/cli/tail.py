"""A log read from its beginning, or from where reading stopped: what was rotated out of it first, each event once, in log order.

A row that rotation moves is for a moment in both files, and never in none: the log is read first, then the directory is listed.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from pcifma.errors import LogError
from pcifma.fmd.log.reader import Damaged, Logged, Reader
from pcifma.fmd.log.readonly import open_readonly

_ROUND = 1000
_ALL = (1 << 63) - 1

Found = Logged | Damaged


class _Archive:
    # A file that does not change any more, read a round at a time.
    def __init__(self, path: Path, after: int, *, needed: bool = False) -> None:
        self._path, self._after, self._needed = path, after, needed
        self._held: deque[Found] = deque()

    def upto(self, bound: int) -> Iterator[Found]:
        while True:
            if not self._held and not self._fill():
                return
            if self._held[0].seq > bound:
                return
            yield self._held.popleft()

    def _fill(self) -> bool:
        try:
            with closing(Reader(open_readonly(self._path))) as log:
                self._held.extend(log.readable(self._after, _ROUND))
        except LogError:
            if self._needed or self._path.exists():
                raise
            return False  # rotation keeps only the newest: it went while we read
        if self._held:
            self._after = self._held[-1].seq
        return bool(self._held)


class Tail:
    """The log at *log* and its archives; or *files* alone, where some are given."""

    def __init__(self, log: Path, files: Sequence[Path] = ()) -> None:
        self._log = None if files else log
        self._archives: dict[Path, _Archive] = {path: _Archive(path, 0, needed=True) for path in files}
        self._after = 0

    def ready(self) -> None:
        """LogError if there is nothing to read from."""
        for path in [self._log] if self._log is not None else list(self._archives):
            open_readonly(path).close()

    def news(self) -> Iterator[Found]:
        """What has come since the last call, in log order. LogError if a file cannot be read."""
        if self._log is None:
            yield from self._fresh([], _ALL)
            return
        with closing(Reader(open_readonly(self._log))) as log:
            while True:
                events = self._round(log)
                self._look_for_archives()
                bound = events[-1].seq if len(events) == _ROUND else _ALL
                yield from self._fresh(events, bound)
                if not events:
                    return

    def _round(self, log: Reader) -> list[Found]:
        try:
            return log.readable(self._after, _ROUND)
        except sqlite3.Error as err:
            raise LogError(f"{self._log}: the log cannot be read: {err}") from err

    def _look_for_archives(self) -> None:
        assert self._log is not None
        for path in sorted(self._log.parent.glob(f"{self._log.stem}-*-*{self._log.suffix}")):
            if path not in self._archives:
                self._archives[path] = _Archive(path, self._after)

    def _fresh(self, events: list[Found], bound: int) -> Iterator[Found]:
        for found in heapq.merge(events, *(archive.upto(bound) for archive in self._archives.values()), key=lambda f: f.seq):
            if found.seq > self._after:
                self._after = found.seq
                yield found
