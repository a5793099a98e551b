"""One-time consent: a file that only root can have put there names the Functions whose logged bits may be written back now.

The daemon has no rights of its own, and the keeper does not believe it; so an operator's command, which is root, leaves this file
beside the control socket while it waits for its answer, and the keeper looks at it before each write. Standard library only.

    pcifma consent 1
    <boot time in ns>
    0000:04:00.0            one Function a line, or * for all
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from pcifma.regs.bdf import Bdf

LASTS_NS = 60_000_000_000
EVERY = "*"
_TITLE = "pcifma consent 1"
_SIZE_LIMIT = 1 << 20
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


@contextlib.contextmanager
def give(path: Path, functions: Iterable[str]) -> Iterator[None]:
    """Consent, as long as this lasts, to writing back at *functions* (addresses, or EVERY); one at a time. OSError where it cannot be."""
    with _alone(path.with_name(f"{path.name}.lock")):
        yield from _give(path, "\n".join([_TITLE, str(now_ns()), *functions, ""]))


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _give(path: Path, text: str) -> Iterator[None]:
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(fd, "w") as file:
            file.write(text)
        yield
    finally:
        path.unlink(missing_ok=True)


def given(path: Path, bdf: Bdf) -> bool:
    """True if whoever runs this (root) consents to writing back at *bdf* now: any doubt is no consent."""
    try:
        text = _text(path) if _is_ours(path.parent.stat()) else b""
    except OSError:
        return False
    lines = text.decode("ascii", "replace").splitlines()
    if len(lines) < 3 or lines[0] != _TITLE or not lines[1].isdecimal():
        return False
    return 0 <= now_ns() - int(lines[1]) <= LASTS_NS and bool({str(bdf), EVERY} & set(lines[2:]))


def _text(path: Path) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        status = os.fstat(fd)
        return os.read(fd, _SIZE_LIMIT) if stat.S_ISREG(status.st_mode) and _is_ours(status) else b""
    finally:
        os.close(fd)


def _is_ours(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & _OTHERS_WRITE


def now_ns() -> int:
    """Boot time, the same for root's command and the keeper."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
