"""The live machine's host: its files, and the kernel's streams, opened when somebody first listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from pcifma.access import uevent, xenstore
from pcifma.access.event_trace import AER_EVENT, opened
from pcifma.access.host import TreeHost
from pcifma.access.mca import xen_tree
from pcifma.access.mca.bank_tree import MOUNT, BankTree
from pcifma.access.seam import HYPERCALL, MCE_RECORD, Record
from pcifma.access.tree import MountedTree
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
        base = xenstore.machine_tree(Path("/"))
        self._banks = BankTree(base)
        super().__init__(MountedTree(MountedTree(base, MOUNT, self._banks), xen_tree.MOUNT, xen_tree.XenTree()))
        self._streams: dict[str, Listening] = {}
        self._refused: dict[str, str] = {}

    def stream(self, name: str) -> Iterator[Record]:
        """Records of *name* (`aer_event`, `uevent`, `mce_record`, `hypercall`) since the last call."""
        if name in _STREAMS and name not in self._streams and name not in self._refused:
            try:
                self._streams[name] = _STREAMS[name](self)
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
        self._banks.close()


def _machine_checks(host: LiveHost) -> Listening:
    from pcifma.access.mca.stream import open_stream  # noqa: PLC0415 - a sweep does not listen

    return open_stream(host)


def _hypercalls(host: LiveHost) -> Listening:
    from pcifma.access.hypercall import open_stream  # noqa: PLC0415 - only where it was asked for

    return open_stream()


_STREAMS: dict[str, Callable[[LiveHost], Listening]] = {
    AER_EVENT.stream: lambda host: opened(AER_EVENT),
    uevent.STREAM: lambda host: uevent.Uevents(),
    MCE_RECORD: _machine_checks,
    HYPERCALL: _hypercalls,
}
