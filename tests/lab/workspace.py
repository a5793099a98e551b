"""The directory of one boot: console log, shared files, initramfs. Removed on close; by the next run if we were killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from . import package


class Workspace:
    """A fresh directory below the cache, locked as long as this process lives."""

    def __init__(self) -> None:
        runs = package.cache() / "run"
        runs.mkdir(exist_ok=True)
        with package.lock(package.cache() / "lock-run"):
            _sweep(runs)
            self.path = Path(tempfile.mkdtemp(dir=runs))
            self._lock = _take(self.path)
        self.console = self.path / "console.log"
        self.log = self.path / "qemu.log"
        self.share = self.path / "share"
        self.share.mkdir()

    def close(self) -> None:
        """Remove the directory."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _take(path: Path) -> int | None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _sweep(runs: Path) -> None:
    # A directory that nobody has locked belongs to a run that was killed.
    for path in runs.iterdir():
        descriptor = _take(path)
        if descriptor is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(descriptor)
