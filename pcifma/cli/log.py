"""What the commands that read the log share: the reader, times as people write them, cases found by a part of their uuid."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pcifma.errors import UsageError
from pcifma.fmd.engine.case import CaseRecord, load
from pcifma.fmd.log.reader import Reader
from pcifma.fmd.log.readonly import open_readonly
from pcifma.fmd.path import Paths

_AGO = re.compile(r"(\d+)(s|sec|m|min|h|hour|d|day)s?")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# As fmdump takes them, most exact first.
_FORMS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d", "%m/%d/%y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%H:%M:%S", "%H:%M")


@contextmanager
def reader(root: Path) -> Iterator[Reader]:
    """The log of the daemon of *root*, whether it runs or not; LogError."""
    found = Reader(open_readonly(Paths(root).log))
    try:
        yield found
    finally:
        found.close()


def moment(text: str, now: datetime | None = None) -> str:
    """*text* as the log writes times (UTC): `2h` ago, or a date and time of this machine's zone. UsageError."""
    now = now or datetime.now().astimezone()
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return _utc(now - timedelta(seconds=int(ago[1]) * _SECONDS[ago[2][0]]))
    if text.endswith("Z"):
        text, zone = text[:-1], UTC
    else:
        zone = now.tzinfo  # type: ignore[assignment]
    for form in _FORMS:
        try:
            parsed = datetime.strptime(text.partition(".")[0], form)
        except ValueError:
            continue
        if "%d" not in form:
            parsed = parsed.replace(year=now.year, month=now.month, day=now.day)
        return _utc(parsed.replace(tzinfo=zone))
    raise UsageError(f"{text!r} is no time: write 2h (ago), 2026-11-22T20:15:00, 11/22/26 20:15:00, or 20:15")


def _utc(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.000000000Z"


def cases(log: Reader) -> list[CaseRecord]:
    """Every case that the log keeps and that was ever published, oldest first."""
    return [case for case in map(load, log.cases()) if case.diag_time]


def find(log: Reader, text: str) -> CaseRecord:
    """The case whose uuid begins with *text* (4 characters at least); UsageError if there is none, or more than one."""
    found = [case for case in cases(log) if len(text) >= 4 and case.uuid.startswith(text.lower())]
    if len(found) != 1:
        raise UsageError(f"{text!r}: {'more than one case begins' if found else 'no case begins'} so: `pcifma faulty --all` lists them")
    return found[0]
