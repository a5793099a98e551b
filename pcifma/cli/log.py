"""What the commands that read the log share: the reader, cases found by a part of their uuid."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pcifma.errors import UsageError
from pcifma.fmd.engine.case import CaseRecord, load
from pcifma.fmd.log.reader import Reader
from pcifma.fmd.log.readonly import open_readonly
from pcifma.fmd.path import Paths

CLOSED = ("REPAIRED", "RESOLVED", "DISCARDED")


@contextmanager
def reader(root: Path) -> Iterator[Reader]:
    """The log of the daemon of *root*, whether it runs or not; LogError."""
    found = Reader(open_readonly(Paths(root).log))
    try:
        yield found
    finally:
        found.close()


def cases(log: Reader) -> list[CaseRecord]:
    """Every case that the log keeps and that was ever published, oldest first."""
    return [case for case in map(load, log.cases()) if case.diag_time]


def is_open(case: CaseRecord) -> bool:
    """True while a suspect of it is faulty."""
    return case.state not in CLOSED and case.faulty


def host_of(log: Reader) -> str:
    """The host that wrote the log, or this one where the log is empty."""
    newest = log.events(log.last() - 1, 1)
    return newest[-1].event.host if newest else socket.gethostname()


def find(log: Reader, text: str) -> CaseRecord:
    """The case whose uuid begins with *text* (4 characters at least); UsageError if there is none, or more than one."""
    found = [case for case in cases(log) if len(text) >= 4 and case.uuid.startswith(text.lower())]
    if len(found) != 1:
        raise UsageError(f"{text!r}: {'more than one case begins' if found else 'no case begins'} so: `pcifma faulty --all` lists them")
    return found[0]
