"""The keeper stays root. It opens configuration space read-only for the daemon, hands out a fixed list of
root-only facts, and writes logged status bits back where nobody else keeps them and the operator allowed it at start.

Standard library and pcifma.regs only; no plugins, no configuration files. The daemon's side of the socket counts as hostile:
whatever comes is answered, counted, logged (at a bounded rate), and changes nothing. It ends when the daemon's side closes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import stat
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pcifma.fmd.keeper import trace as keeper_trace
from pcifma.fmd.keeper.ack import AckError, Registers, acknowledge, refused
from pcifma.fmd.keeper.consent import given
from pcifma.fmd.keeper.message import FACTS, REQUEST_BYTES, Kind, Reply, Request, Status, Verb
from pcifma.fmd.keeper.owner import ports_above, rival
from pcifma.fmd.keeper.retire import RETIRE_HARD, Retirer, act
from pcifma.regs.bdf import Bdf

_LINE_FD = 3
_FD = struct.Struct("i")
# Words of the operator's consent, each with its verb.
RETIREMENTS = {"cpu": Verb.CPU, "page": Verb.PAGE, "io": Verb.FUNCTION}
_LOG_LINES = 20  # a hostile daemon must not fill the journal: so many lines
_LOG_PERIOD_S = 10.0  # in so many seconds, then one line that says how many were left out


class Log:
    """Lines on standard error, at most _LOG_LINES in _LOG_PERIOD_S."""

    def __init__(self, write: Callable[[str], object], now_s: Callable[[], float]) -> None:
        self._write, self._now_s = write, now_s
        self._since_s = now_s()
        self._lines = self._left_out = 0

    def __call__(self, text: str) -> None:
        """Write *text*, or count it as left out."""
        if self._now_s() - self._since_s >= _LOG_PERIOD_S:
            self._since_s, self._lines = self._now_s(), 0
            if self._left_out:
                self._write(f"pcifma keeper: {self._left_out} more lines left out")
            self._left_out = 0
        self._lines += 1
        if self._lines > _LOG_LINES:
            self._left_out += 1
            return
        self._write(f"pcifma keeper: {text}")


class Keeper:
    """Answers requests about the sysfs tree *sys*. *clear*: the operator's consent to acknowledgements, given at start; without it,
    a one-time consent may lie at *consent*. *retire*: the verbs by which parts may be taken out of service, consented to likewise.
    """

    def __init__(
        self, sys: Path, *, clear: bool, log: Callable[[str], None], consent: Path | None = None, retire: frozenset[Verb] = frozenset()
    ) -> None:
        self._sys, self._clear, self._log, self._consent, self._retire = sys, clear, log, consent, retire

    def answer(self, data: bytes) -> tuple[Reply, int | None]:
        """The reply to one datagram, and the file descriptor to send with it (the caller closes it)."""
        request = Request.unpack(data)
        if request is None:
            self._log(f"not a request: {len(data)} bytes")
            return Reply(Status.BAD, text="not a request"), None
        reply, fd = self._act(request)
        if reply.status not in (Status.OK, Status.ABSENT):
            self._log(f"verb {request.verb} for {request.bdf}: {reply.status.name.lower()}: {reply.text}")
        return reply, fd

    def _act(self, request: Request) -> tuple[Reply, int | None]:
        if request.verb == Verb.OPEN:
            return self._open(request, self._config(request.bdf))
        if request.verb == Verb.FACT and request.id < len(FACTS):
            return self._open(request, self._sys / FACTS[request.id])
        if request.verb == Verb.ACK:
            return self._ack(request), None
        if request.verb in RETIREMENTS.values() and request.kind <= RETIRE_HARD:
            return self._take(request), None
        return _reply(request, Status.BAD, "no such verb or fact"), None

    def _config(self, bdf: Bdf) -> Path:
        return self._sys / "bus/pci/devices" / str(bdf) / "config"

    def _open(self, request: Request, path: Path) -> tuple[Reply, int | None]:
        try:
            fd = open_regular(path, os.O_RDONLY)
        except OSError as err:
            absent = err.errno in (errno.ENOENT, errno.ENOTDIR)
            return _reply(request, Status.ABSENT if absent else Status.FAILED, err.strerror or "cannot be opened"), None
        size = min(os.fstat(fd).st_size, 0xFFFFFFFF)
        return Reply(Status.OK, request.number, request.verb, size=size), fd

    def _ack(self, request: Request) -> Reply:
        if not self._clear and not (self._consent is not None and given(self._consent, request.bdf)):
            return _reply(request, Status.REFUSED, "clearing is not allowed by the configuration")
        who = rival(self._sys, request.bdf) or self._told(request.bdf)
        if who:
            return _reply(request, Status.REFUSED, f"owner: {who}")
        try:
            fd = open_regular(self._config(request.bdf), os.O_RDWR)
        except OSError as err:
            return _reply(request, Status.REFUSED, refused(err, "opened"))
        try:
            key = (request.kind, request.id, request.offset, request.width)
            before, after = acknowledge(Registers(fd), key, request.bits)
        except AckError as err:
            return _reply(request, Status.REFUSED, str(err))
        finally:
            os.close(fd)
        where = f"{request.bdf} {Kind(request.kind).name.lower()} {request.id:#x}+{request.offset:#x}"
        self._log(f"wrote {before & request.bits:#x} to {where}: {before:#x} -> {after:#x}")
        return Reply(Status.OK, request.number, request.verb, before, after)

    def _take(self, request: Request) -> Reply:
        if request.verb not in self._retire:
            return _reply(request, Status.REFUSED, "not allowed by the configuration")
        retirer = Retirer(self._sys)
        calls: dict[int, Callable[[], str]] = {
            Verb.CPU: lambda: retirer.cpu(request.id, request.kind),
            Verb.PAGE: lambda: retirer.page(request.frame, request.kind),
            Verb.FUNCTION: lambda: retirer.function(request.bdf, request.kind),
        }
        done, text = act(calls[request.verb])
        if done:
            self._log(text)
        return _reply(request, Status.OK if done else Status.REFUSED, text)

    def _told(self, bdf: Bdf) -> str:
        # Root Control of every port on the way, and of the Function itself.
        for each in (*ports_above(self._sys, bdf), bdf):
            try:
                fd = open_regular(self._config(each), os.O_RDONLY)
            except OSError as err:
                return f"unknown ({each}: {err.strerror})"
            try:
                if Registers(fd).tells_firmware():
                    return f"firmware (Root Control of {each} sends system errors)"
            except AckError as err:
                return f"unknown ({each}: {err})"
            finally:
                os.close(fd)
        return ""


def open_regular(path: Path, flags: int) -> int:
    """Open *path* if it is a regular file; OSError otherwise. Never waits for anybody, never follows a last link."""
    fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file")
    return fd


def _reply(request: Request, status: Status, text: str) -> Reply:
    return Reply(status, request.number, request.verb & 0xFF, text=text)


def serve(sock: socket.socket, keeper: Keeper, log: Callable[[str], None]) -> None:
    """Answer until the daemon's side closes. A reply that cannot be taken is dropped and logged; the daemon has a deadline."""
    while True:
        # One byte more than a request: a longer datagram is seen as such. File descriptors sent here are closed by the kernel.
        try:
            data = sock.recv(REQUEST_BYTES + 1)
        except ConnectionResetError:
            return
        if not data and _closed(sock):
            return
        reply, fd = keeper.answer(data)
        try:
            # socket.send_fds takes flags and, until CPython 3.13 at least, does not pass them on.
            rights = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, _FD.pack(fd))]
            sock.sendmsg([reply.pack()], rights, socket.MSG_DONTWAIT)
        except OSError as err:
            if err.errno in (errno.EPIPE, errno.ECONNRESET):
                return
            log(f"reply dropped: {err.strerror}")
        finally:
            if fd is not None:
                os.close(fd)


def _closed(sock: socket.socket) -> bool:
    # An empty datagram reads like the end of the stream; only a closed peer, or one that will send nothing more, hangs up.
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    return bool(poll.poll(0))


def _print(line: str) -> None:
    with contextlib.suppress(OSError):  # a full disk or a closed terminal is no reason to stop
        print(line, file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """Serve on file descriptor 3 for the sysfs tree *argv*[0]; one-time consents lie at *argv*[1]; what follows is the
    operator's consent for good: `clear`, `cpu`, `page`, `io`.
    """
    # The daemon ends us by closing its side; a terminal's or systemd's signal to the group must not come first.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    daemon = os.getppid()
    os.closerange(_LINE_FD + 1, 1 << 20)  # whatever the daemon was given
    log = Log(_print, time.monotonic)
    with socket.socket(fileno=_LINE_FD) as sock:
        retire = frozenset(RETIREMENTS[word] for word in argv[2:] if word in RETIREMENTS)
        keeper = Keeper(Path(argv[0]), consent=Path(argv[1]), clear="clear" in argv[2:], log=log, retire=retire)
        serve(sock, keeper, log)
    keeper_trace.remove(daemon)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
