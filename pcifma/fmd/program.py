"""Programs that modules have run: started without waiting, heard through descriptors of the loop, and killed with all they started.

    start ──> RUNNING ── it ends ──> its process group and what it left behind are killed ──> done("exit N")
                 └── its time is over ──> the same ──> done("late")
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pcifma.errors import PluginError
from pcifma.fmd.child.offspring import OFFSPRING
from pcifma.fmd.engine.house import Program
from pcifma.fmd.loop import Loop

LIMIT = 16  # programs at one time, of all modules
_SAID_LIMIT = 300  # characters of standard error that are kept; what is beyond is read and dropped
_CHUNK = 65536
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/"}
_UMASK = 0o077
_NEVER_NS = 1 << 62

Done = Callable[[str], None]


@dataclass(eq=False, slots=True)
class _Running:
    module: str
    process: subprocess.Popen[bytes]
    watch: int
    errors: int
    due_s: float
    done: Done
    said: bytearray = field(default_factory=bytearray)


class Programs:
    """All that run now. Everything is called on the loop's thread."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._running: list[_Running] = []

    def start(self, module: str, program: Program, done: Done) -> None:
        """Start *program*; *done* is told once how it went: `exit N`, `signal N`, `late` or `start`, with what it said.

        PluginError for a program without an absolute path, or where too many run.
        """
        if not program.words or not program.words[0].startswith("/") or any("\0" in word for word in program.words):
            raise PluginError(f"module {module}: {list(program.words)[:1]} is no program: give an absolute path, then its arguments")
        if len(self._running) >= LIMIT:
            raise PluginError(f"module {module}: {LIMIT} programs run already")
        try:
            one = self._spawn(module, program, done)
        except OSError as err:
            reason = f"start: {program.words[0]}: {err.strerror}"
            self._loop.post(lambda: done(reason))
            return
        self._running.append(one)
        self._loop.add(one.watch, selectors.EVENT_READ, lambda: self._finish(one, ""))
        self._loop.add(one.errors, selectors.EVENT_READ, lambda: self._hear(one))

    @property
    def running(self) -> int:
        """How many run now."""
        return len(self._running)

    def due_in_ns(self) -> int:
        """How long until the time of one of them is over; a long time where none runs."""
        if not self._running:
            return _NEVER_NS
        return max(0, int((min(one.due_s for one in self._running) - time.monotonic()) * 1e9))

    def check(self) -> None:
        """Kill those whose time is over."""
        now_s = time.monotonic()
        for one in [one for one in self._running if one.due_s <= now_s]:
            self._finish(one, "late")

    def end(self, module: str) -> None:
        """Kill what runs for *module*; nobody is told."""
        for one in [one for one in self._running if one.module == module]:
            self._reap(one)

    def close(self) -> None:
        """Kill all."""
        for one in list(self._running):
            self._reap(one)

    def _spawn(self, module: str, program: Program, done: Done) -> _Running:
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(writing, True)
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, writing)
            given = _file(program.data)
            stack.callback(os.close, given)
            process: list[subprocess.Popen[bytes]] = []

            def spawn() -> int:
                process.append(_popen(program, given, writing))
                return process[0].pid

            try:
                pid = OFFSPRING.start(spawn)
            except (OSError, subprocess.SubprocessError):
                os.close(reading)
                raise
        return _Running(module, process[0], os.pidfd_open(pid), reading, time.monotonic() + program.limit_s, done)

    def _hear(self, one: _Running) -> None:
        try:
            data = os.read(one.errors, _CHUNK)
        except BlockingIOError:
            return
        one.said += data[: max(0, _SAID_LIMIT - len(one.said))]
        if not data:
            self._loop.remove(one.errors)

    def _finish(self, one: _Running, how: str) -> None:
        status = self._reap(one)
        if not how:
            code = os.waitstatus_to_exitcode(status) if status is not None else -9
            how = f"exit {code}" if code >= 0 else f"signal {-code}"
        said = " ".join(one.said.decode("utf-8", "replace").split())
        said = "".join(c if c.isprintable() else "?" for c in said)
        one.done(f"{how}: {said}" if said else how)

    def _reap(self, one: _Running) -> int | None:
        self._running.remove(one)
        status = OFFSPRING.kill(one.process.pid)
        one.process.returncode = -9 if status is None else os.waitstatus_to_exitcode(status)  # Popen need not wait for it
        self._hear(one)
        for fd in (one.watch, one.errors):
            self._loop.remove(fd)
            os.close(fd)
        return status


def _popen(program: Program, given: int, errors: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        list(program.words),
        stdin=given,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        cwd="/",
        env=_ENVIRONMENT,
        umask=_UMASK,
        start_new_session=True,
    )


def _file(data: bytes) -> int:
    # As a file: a program that does not read its input never keeps anybody waiting.
    fd = os.memfd_create("event", os.MFD_CLOEXEC)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
