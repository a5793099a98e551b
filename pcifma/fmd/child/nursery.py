"""Where the processes of third-party plugins come from: a fork of the daemon from before it opened anything.

    daemon ── fork, first of all ──> nursery (holds one socket; drops privileges when told to)
       └── "one more", with the plugin's end of a line ──> nursery ── fork, fork ──> plugin, adopted by the daemon

Forking a process that has everything in memory needs neither an interpreter nor a library that the daemon's user can reach, and a
plugin's process shares its memory. The one in between ends at once, so that the daemon, as reaper of its descendants, is the parent.

It is forked with next to nothing loaded; what plugins need is loaded for the first of them, or when privileges drop.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import socket
import struct
import time
from collections.abc import Callable

from pcifma.errors import DaemonError, PluginError
from pcifma.fmd.child.offspring import OFFSPRING

_TELL = struct.Struct("<Biib")  # what, uid, gid, load now
_PID = struct.Struct("<i")
_DROP, _ONE_MORE = 1, 2
_DEADLINE_S = 5.0
_START_DEADLINE_S = 60.0  # it may have everything to load, on an emulated machine that is busy
_LINE_FD = 3
_PR_SET_PDEATHSIG = 1
_ADOPTION_S = 5.0

Run = Callable[[socket.socket], None]
Load = Callable[[bool], Run]


class Nursery:
    """The daemon's side."""

    def __init__(self, sock: socket.socket, pid: int) -> None:
        self._sock, self.pid = sock, pid
        sock.settimeout(_DEADLINE_S)

    @classmethod
    def fork(cls, load: Load) -> Nursery:
        """Start it. The caller must have no threads, and should have nothing open yet.

        *load* loads, and returns, what a new process does with its line. Told True, it also loads what such a process may want
        later, when its user cannot get at it any more.
        """
        OFFSPRING.adopt()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            try:
                ours.close()
                _tend(_only(theirs), load)
            finally:
                os._exit(0)
        theirs.close()
        OFFSPRING.keep(pid)
        return cls(ours, pid)

    def drop(self, uid: int, gid: int, *, load: bool = False) -> None:
        """Let it, and so all that come from it, run as *uid* and *gid* from now on; *load*: after it has loaded everything.

        DaemonError.
        """
        self._sock.settimeout(_START_DEADLINE_S)
        try:
            self._sock.send(_TELL.pack(_DROP, uid, gid, load))
            self._sock.recv(_PID.size)
        except OSError as err:
            raise DaemonError(f"the process that plugins come from does not answer ({err}): start pcifma fmd again") from err
        self._sock.settimeout(_DEADLINE_S)

    def spawn(self, line: socket.socket) -> int:
        """The process id of a new process that has *line*; PluginError if there is none to be had."""
        return OFFSPRING.start(lambda: self._spawn(line))

    def _spawn(self, line: socket.socket) -> int:
        try:
            socket.send_fds(self._sock, [_TELL.pack(_ONE_MORE, 0, 0, 0)], [line.fileno()])
            (pid,) = _PID.unpack(self._sock.recv(_PID.size))
        except (OSError, struct.error) as err:
            raise PluginError(f"no process for another plugin can be started ({err}): restart pcifma fmd") from err
        if pid <= 0:
            raise PluginError("no process for another plugin can be started: too many run already")
        return int(pid)

    def close(self) -> None:
        """End it; what came from it lives on."""
        self._sock.close()


def _only(sock: socket.socket) -> socket.socket:
    # Nothing of the daemon's but this socket; nothing to read, nowhere to write.
    null = os.open(os.devnull, os.O_RDWR)
    kept = socket.socket(fileno=os.dup2(sock.detach(), 200, inheritable=False))
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.closerange(3, 200)
    os.closerange(201, 1 << 20)
    return kept


def _tend(sock: socket.socket, load: Load) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    daemon = os.getppid()
    gc.freeze()
    run: Run | None = None
    while True:
        data, fds, _, _ = socket.recv_fds(sock, _TELL.size, 1)
        if not data:
            return
        what, uid, gid, now = _TELL.unpack(data)
        if run is None and (now or what == _ONE_MORE):
            run = load(bool(now))
            gc.freeze()
        if what == _DROP:
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            sock.send(_PID.pack(0))
        elif run is not None:
            sock.send(_PID.pack(_bear(sock, fds[0], daemon, run)))
            os.close(fds[0])


def _bear(sock: socket.socket, line: int, daemon: int, run: Run) -> int:
    # Fork twice; the pid of the second comes back over a pipe.
    reading, writing = os.pipe()
    between = os.fork()
    if between == 0:
        try:
            pid = os.fork()
            if pid == 0:
                _live(line, daemon, run)
            os.write(writing, _PID.pack(pid))
        finally:
            os._exit(0)
    os.close(writing)
    data = os.read(reading, _PID.size)
    os.close(reading)
    os.waitpid(between, 0)
    return int(_PID.unpack(data)[0]) if len(data) == _PID.size else -1


def _live(line: int, daemon: int, run: Run) -> None:
    try:
        if line != _LINE_FD:
            os.dup2(line, _LINE_FD, inheritable=False)
        os.closerange(_LINE_FD + 1, 1 << 20)
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        if _adopted(daemon):
            with contextlib.suppress(SystemExit):
                run(socket.socket(fileno=_LINE_FD))
    finally:
        os._exit(0)  # whatever was raised: the daemon sees the line close, and there is nobody else to tell


def _adopted(daemon: int) -> bool:
    # Wait for the one in between to end, then die with the daemon. False if that is gone already.
    end_s = time.monotonic() + _ADOPTION_S
    while os.getppid() != daemon:
        if time.monotonic() > end_s:
            return False
        time.sleep(0.0005)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    return os.getppid() == daemon
