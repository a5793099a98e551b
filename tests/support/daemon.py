"""A real daemon process on a root of its own, and what tests ask of it."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pcifma.errors import DaemonError
from pcifma.event.ereport import Ereport
from pcifma.fmd.client import Client
from pcifma.fmd.log.reader import Reader
from pcifma.fmd.log.readonly import open_readonly
from pcifma.fmd.path import Paths

PATIENCE_S = 30.0
_PAUSE_S = 0.01


@dataclass
class Daemon:
    """The process, its root, and the file that its standard error goes to."""

    process: subprocess.Popen[bytes]
    paths: Paths
    errors: Path

    @property
    def said(self) -> str:
        """What it has said on standard error."""
        return self.errors.read_text(errors="replace")

    def ask(self, verb: str, **arguments: object) -> Any:
        """The result of *verb*."""
        with Client(self.paths.socket) as client:
            return client.ask(verb, arguments)

    def until(self, condition: Callable[[], object], what: str = "it") -> None:
        """Wait until *condition* gives something true; AssertionError if that takes too long or the daemon ends."""
        end_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < end_s:
            with contextlib.suppress(DaemonError):
                if condition():
                    return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_PAUSE_S)
                break
        raise AssertionError(f"{what} did not happen; exit {self.process.poll()}; it said:\n{self.said}")

    def status(self) -> Any:
        """The daemon's status."""
        return self.ask("status")

    def until_looks(self, more: int = 1) -> None:
        """Wait for *more* looks."""
        self.until(lambda: self.status()["looks"] >= 1)
        target = self.status()["looks"] + more
        self.until(lambda: self.status()["looks"] >= target, f"look {target}")

    def plugins(self) -> dict[str, dict[str, str]]:
        """What `config` says of each plugin, by name, once none is loading any more."""
        self.until(lambda: all(row["status"] != "loading" for row in self.ask("config")), "every plugin's start")
        return {row["name"]: row for row in self.ask("config")}

    def log(self) -> Reader:
        """The log, read as any member of its group may."""
        return Reader(open_readonly(self.paths.log))

    def set_aside(self) -> set[str]:
        """Plugins that an ereport says were set aside."""
        reader = self.log()
        events = [logged.event for logged in reader.events(0, 10_000)]
        reader.close()
        return {str(event.payload["module"]) for event in events if isinstance(event, Ereport) and event.class_ == "ereport.pcifma.module"}

    def classes(self) -> list[str]:
        """Classes of all logged events, in order."""
        with contextlib.suppress(sqlite3.Error):
            reader = self.log()
            try:
                return [logged.event.class_ for logged in reader.events(0, 100_000)]
            finally:
                reader.close()
        return []

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send *number*; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


@contextlib.contextmanager
def daemon(root: Path, *arguments: str, prefix: Sequence[str] = (), wait: bool = True) -> Iterator[Daemon]:
    """`pcifma fmd --root ROOT ARGUMENTS…`, behind *prefix*; with *wait*, after its first look. Killed at the end."""
    errors = root / "stderr"
    root.mkdir(parents=True, exist_ok=True)
    command = [*prefix, str(Path(sys.executable).with_name("pcifma")), "fmd", "--root", str(root), *arguments]
    with errors.open("ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, stdin=subprocess.DEVNULL)
    running = Daemon(process, Paths(root), errors)
    try:
        if wait:
            running.until(lambda: running.status()["looks"] >= 1, "the first look")
        yield running
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def configure(root: Path, text: str) -> None:
    """Write the configuration file below *root*."""
    file = Paths(root).config
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    file.chmod(0o644)
