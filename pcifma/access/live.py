"""The live machine's host: its files, and the kernel's streams, opened when somebody first listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from pcifma.access import aer_trace, uevent, xenstore
from pcifma.access.host import TreeHost
from pcifma.access.seam import Record
from pcifma.errors import SourceError


class Listening(Protocol):
    """An open stream."""

    def records(self) -> list[Record]:
        """What has come since the last call."""

    def close(self) -> None:
        """Stop listening, and leave nothing behind."""


class LiveHost(TreeHost):
    """Facts below `/`. A stream that cannot be opened has no records, and `why` says why."""

    def __init__(self) -> None:
        super().__init__(xenstore.machine_tree(Path("/")))
        self._streams: dict[str, Listening] = {}
        self._refused: dict[str, str] = {}

    def stream(self, name: str) -> Iterator[Record]:
        """Records of *name* (`aer_event`, `uevent`) since the last call."""
        if name in _STREAMS and name not in self._streams and name not in self._refused:
            try:
                self._streams[name] = _STREAMS[name]()
            except SourceError as err:
                self._refused[name] = str(err)
        return iter(self._streams[name].records() if name in self._streams else ())

    def why(self, path: str) -> str:
        """As TreeHost.why; for the name of a stream, why it is silent."""
        return self._refused.get(path) or super().why(path)

    def close(self) -> None:
        """Close every stream."""
        for stream in self._streams.values():
            stream.close()
        self._streams.clear()


def _aer_event() -> Listening:
    root = aer_trace.mounted()
    if root is None:
        raise SourceError(f"{aer_trace.PLACES[0]}: no tracefs: mount -t tracefs tracefs {aer_trace.PLACES[0]}")
    trace = aer_trace.AerTrace(root)
    trace.open()
    return trace


_STREAMS: dict[str, Callable[[], Listening]] = {aer_trace.STREAM: _aer_event, uevent.STREAM: uevent.Uevents}
