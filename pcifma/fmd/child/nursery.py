"""Where the processes of third-party plugins come from: a fork of the daemon from before it opened anything.

    daemon ── fork, first of all ──> nursery (holds one socket, and keeps the user that started it)
       └── "one more", with the plugin's end of a line ──> nursery ── fork, fork ──> plugin, with its own user, adopted by the daemon
       └── "end it" ──> nursery ── SIGKILL, sent as the plugins' user, which is all that it reaches

Forking a process that has everything in memory needs neither an interpreter nor a library that the plugins' user can reach, and a
plugin's process shares its memory. The one in between ends at once, so that the daemon, as reaper of its descendants, is the parent.
Where root started the daemon, the nursery stays root: only so can plugins have a user that is not the daemon's. It reads requests of a
fixed size and nothing else. When the daemon ends, however that happens, it ends what came from it.

It is forked with next to nothing loaded; what plugins need is loaded for the first of them.
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
from _thread import allocate_lock
from collections.abc import Callable

from pcifma.errors import DaemonError, PluginError
from pcifma.fmd.child.offspring import OFFSPRING

# Number of the request, what, and for it: uid, gid and whether to load everything; or a pid and whether its group too.
_TELL = struct.Struct("<IBiib")
_ANSWER = struct.Struct("<Ii")  # number of the request, and 0, a pid, or -1
_PID = struct.Struct("<i")
_SETTLE, _LOAD, _ONE_MORE, _KILL = range(1, 5)
_DEADLINE_S = 5.0
_START_DEADLINE_S = 60.0  # it may have everything to load, on an emulated machine that is busy
_LINE_FD = 3
_PR_SET_PDEATHSIG = 1
_ADOPTION_S = 5.0

Run = Callable[[socket.socket], None]
Load = Callable[[bool], Run]


class Nursery:
    """The daemon's side. Thread safe."""

    def __init__(self, sock: socket.socket, pid: int) -> None:
        self._sock, self.pid = sock, pid
        self._lock = allocate_lock()
        self._loaded = False
        self._number = 0

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
        nursery = cls(ours, pid)
        OFFSPRING.beyond_reach = nursery.kill
        return nursery

    def settle(self, uid: int, gid: int, *, load: bool = False) -> None:
        """Have all that comes from it run as *uid* and *gid*; *load*: they cannot get at the interpreter's library. DaemonError."""
        try:
            done = self._ask(_SETTLE, uid, gid, load)
        except (OSError, struct.error) as err:
            raise DaemonError(f"the process that plugins come from does not answer ({err}): start pcifma fmd again") from err
        if done < 0:
            raise DaemonError(f"plugins cannot run as uid {uid}: name another user (child.user)")

    def spawn(self, line: socket.socket) -> int:
        """The process id of a new process that has *line*; PluginError if there is none to be had."""
        try:
            if not self._loaded:
                self._ask(_LOAD, deadline_s=_START_DEADLINE_S)
                self._loaded = True
            pid = OFFSPRING.start(lambda: self._ask(_ONE_MORE, line=line))
        except (OSError, struct.error) as err:
            raise PluginError(f"no process for another plugin can be started ({err}): restart pcifma fmd") from err
        if pid <= 0:
            raise PluginError("no process for another plugin can be started: too many run already")
        return pid

    def kill(self, pid: int, group: bool) -> None:
        """SIGKILL for *pid*, and for its process *group*, if it is the plugins' user's. Nothing where nobody answers."""
        with contextlib.suppress(OSError, struct.error):
            self._ask(_KILL, pid, 0, group)

    def _ask(
        self, what: int, first: int = 0, second: int = 0, flag: bool = False, *, line: socket.socket | None = None,
        deadline_s: float = _DEADLINE_S,
    ) -> int:  # fmt: skip
        with self._lock:
            self._number += 1
            self._sock.settimeout(deadline_s)
            socket.send_fds(self._sock, [_TELL.pack(self._number, what, first, second, flag)], [] if line is None else [line.fileno()])
            number = 0
            while number != self._number:  # an answer that came too late for an earlier request
                number, answer = _ANSWER.unpack(self._sock.recv(_ANSWER.size))
            return int(answer)

    def close(self) -> None:
        """End it, with what came from it."""
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


class _Brood:
    # The nursery's side: who plugins run as (None: as this process does), and what is alive of them.

    def __init__(self, load: Load) -> None:
        self._load = load
        self._run: Run | None = None
        self._who: tuple[int, int] | None = None
        self._everything = False
        self._daemon = os.getppid()
        self._alive: dict[int, int] = {}  # pidfds by pid

    # Once, by a daemon that is root still: one that was taken over later gets nothing that runs as another user.
    def _settle(self, who: tuple[int, int], *, everything: bool) -> int:
        self._everything = everything
        if os.geteuid() == 0:
            if self._who is not None or who[0] == 0:
                return -1
            self._who = who
        return 0

    def do(self, what: int, first: int, second: int, flag: bool, fds: list[int]) -> int:
        if what == _SETTLE:
            return self._settle((first, second), everything=flag)
        if what == _LOAD and self._run is None:
            self._run = self._load(self._everything)
            gc.freeze()
        elif what == _ONE_MORE and self._run is not None and fds:
            return self._bear(fds[0], self._run)
        elif what == _KILL:
            self._end(first, group=flag)
        return 0

    def _bear(self, line: int, run: Run) -> int:
        # Fork twice; the pid of the second comes back over a pipe.
        reading, writing = os.pipe()
        between = os.fork()
        if between == 0:
            try:
                pid = os.fork()
                if pid == 0:
                    _live(line, self._daemon, self._who, run)
                os.write(writing, _PID.pack(pid))
            finally:
                os._exit(0)
        os.close(writing)
        data = os.read(reading, _PID.size)
        os.close(reading)
        os.waitpid(between, 0)
        pid = int(_PID.unpack(data)[0]) if len(data) == _PID.size else -1
        self._keep(pid)
        return pid

    def _keep(self, pid: int) -> None:
        for other in [other for other, fd in self._alive.items() if _ended(fd)]:
            os.close(self._alive.pop(other))
        if pid > 0:
            with contextlib.suppress(OSError):
                self._alive[pid] = os.pidfd_open(pid)

    # With the plugins' user alone: whatever number the daemon names, no other user's process is touched.
    def _end(self, pid: int, *, group: bool) -> None:
        if self._who is None or pid <= 1:
            return
        os.setresuid(self._who[0], self._who[0], 0)
        try:
            with contextlib.suppress(OSError):
                if group:
                    os.killpg(pid, signal.SIGKILL)
                os.kill(pid, signal.SIGKILL)
        finally:
            os.setresuid(0, 0, 0)

    # A process that has changed its user is not told of its parent's end by the kernel (kernel/exit.c: that signal is checked as any).
    def close(self) -> None:
        for pid, fd in self._alive.items():
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(fd, 0)  # not reaped: the number of its group is still its own
                os.killpg(pid, signal.SIGKILL)


def _ended(fd: int) -> bool:
    try:
        signal.pidfd_send_signal(fd, 0)
    except ProcessLookupError:
        return True
    return False


def _tend(sock: socket.socket, load: Load) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    gc.freeze()
    brood = _Brood(load)
    try:
        while True:
            data, fds, _, _ = socket.recv_fds(sock, _TELL.size + 1, 1)
            if len(data) != _TELL.size:
                return
            number, what, first, second, flag = _TELL.unpack(data)
            answer = brood.do(what, first, second, bool(flag), fds)
            for fd in fds:
                os.close(fd)
            sock.send(_ANSWER.pack(number, answer))
    finally:
        brood.close()


def _live(line: int, daemon: int, who: tuple[int, int] | None, run: Run) -> None:
    try:
        if line != _LINE_FD:
            os.dup2(line, _LINE_FD, inheritable=False)
        os.closerange(_LINE_FD + 1, 1 << 20)
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "wb") as file:  # noqa: PTH123 - wants little
            file.write(b"1000")  # where memory runs out, a plugin goes first, and not the daemon
        if who is not None:
            os.setgroups([])
            os.setresgid(who[1], who[1], who[1])
            os.setresuid(who[0], who[0], who[0])
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
