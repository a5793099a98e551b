"""The daemon's side of the keeper: starting it, and asking it. Thread safe; every answer has a deadline."""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

from pcifma.errors import BusyError, DaemonError, GoneError, ReadError, WriteRefusedError
from pcifma.fmd.keeper.keeper import Keeper
from pcifma.fmd.keeper.message import FACTS, NOWHERE, REPLY_BYTES, Kind, Reply, Request, Status, Verb
from pcifma.regs.bdf import Bdf
from pcifma.regs.catalogue import BY_NAME
from pcifma.regs.table import Location

DEADLINE_S = 1.0
RETIRE_DEADLINE_S = 60.0  # a driver may wait for its device, and a page for its users
START_DEADLINE_S = 60.0  # an interpreter and the register tables, on an emulated machine that is busy: 10 s were too few
_FACT_LIMIT = 1 << 20
_KINDS = {"header": Kind.HEADER, "standard": Kind.STANDARD, "extended": Kind.EXTENDED}
_ENVIRONMENT = ("LANG", "LC_ALL", "PATH", "TZ")
_CHILD_FD = 3


class KeeperClient:
    """A keeper process, or none: `alive` is False once it is gone, and every request then fails with DaemonError."""

    def __init__(self, sock: socket.socket, pid: int) -> None:
        self._sock, self.pid = sock, pid
        self._lock = threading.Lock()
        self._number = count(1)
        self.alive = True

    @classmethod
    def start(cls, sys_root: Path, *, clear: bool, consent: Path, retire: Sequence[str] = ()) -> KeeperClient:
        """Start a keeper for the sysfs tree *sys_root*; *clear* is the operator's consent to acknowledgements, without which there
        may be one for once at *consent*; *retire* are the kinds of parts (`cpu`, `page`, `io`) that may be taken out of service.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Isolated: neither the environment nor the working directory decides what runs as root.
        argv = [sys.executable, "-I", "-m", "pcifma.fmd.keeper.keeper", str(sys_root), str(consent), *(["clear"] if clear else []), *retire]
        with theirs:
            actions = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), _CHILD_FD)]
            pid = os.posix_spawn(sys.executable, argv, _kept(os.environ), file_actions=actions)
        client = cls(ours, pid)
        _, fd = client._ask(Request(Verb.FACT, client._next(), id=0), START_DEADLINE_S)  # whatever it says, it is up
        if fd is not None:
            os.close(fd)
        return client

    def fileno(self) -> int:
        """Readable when the keeper is gone (or answers late): call `check` then."""
        return self._sock.fileno()

    def check(self) -> bool:
        """Take notice if the keeper is gone; True if it still lives."""
        poll = select.poll()
        poll.register(self._sock, 0)
        if self.alive and poll.poll(0):
            self.alive = False
        return self.alive

    def close(self) -> None:
        """End the keeper: it leaves when its socket closes."""
        self.alive = False
        self._sock.close()

    def open(self, bdf: Bdf) -> int:
        """A read-only file descriptor of the Function's configuration space; GoneError, BusyError, ReadError, DaemonError."""
        reply, fd = self._ask(Request(Verb.OPEN, self._next(), bdf))
        if fd is not None:
            return fd
        if reply.status is Status.ABSENT:
            raise GoneError(f"{bdf}: the Function is gone")
        raise ReadError(f"{bdf}: config cannot be opened: {reply.text}")

    def fact(self, path: str) -> bytes | None:
        """The content of a root-only file of FACTS (its path without /sys/); None where it cannot be had."""
        if path not in FACTS:
            return None
        _, fd = self._ask(Request(Verb.FACT, self._next(), id=FACTS.index(path)))
        if fd is None:
            return None
        with os.fdopen(fd, "rb") as file:
            return file.read(_FACT_LIMIT)

    def acknowledge(self, bdf: Bdf, location: Location, bits: int) -> tuple[int, int]:
        """Write logged *bits* back; the register before and after. WriteRefusedError, BusyError (outcome unknown), DaemonError."""
        reply, _ = self._ask(Request(Verb.ACK, self._next(), bdf, *key_of(location), bits))
        return _written(reply, bdf, location)

    def retire(self, verb: Verb, how: int, *, number: int = 0, bdf: Bdf = NOWHERE, deadline_s: float = RETIRE_DEADLINE_S) -> str:
        """Take a part out of service or give it back (*how*: 0, 1, 2 as in retire.py): processor *number*, page *number*, Function *bdf*.

        What was done; WriteRefusedError with the reason, BusyError (outcome unknown), DaemonError.
        """
        id_, offset, bits = (number, 0, 0) if verb is Verb.CPU else (0, number >> 32, number & 0xFFFFFFFF)
        if id_ >> 16 or offset >> 16:
            raise WriteRefusedError(f"{number:#x} is beyond what there can be")
        reply, _ = self._ask(Request(verb, self._next(), bdf, kind=how, id=id_, offset=offset, bits=bits), deadline_s)
        if reply.status is not Status.OK:
            raise WriteRefusedError(reply.text)
        return reply.text

    def _next(self) -> int:
        return next(self._number) & 0xFFFF

    def _ask(self, request: Request, deadline_s: float | None = None) -> tuple[Reply, int | None]:
        with self._lock:
            if not self.alive:
                raise DaemonError("the keeper is gone: nothing can be opened or acknowledged; restart pcifma fmd")
            try:
                self._sock.send(request.pack())
                return self._answer(request, DEADLINE_S if deadline_s is None else deadline_s)
            except OSError as err:
                self.alive = False
                raise DaemonError(f"the keeper is gone ({err.strerror}): restart pcifma fmd") from err

    def _answer(self, request: Request, deadline_s: float) -> tuple[Reply, int | None]:
        end_s = time.monotonic() + deadline_s
        while (left_s := end_s - time.monotonic()) > 0:
            self._sock.settimeout(left_s)
            try:
                data, fds, _, _ = socket.recv_fds(self._sock, REPLY_BYTES + 1, 1)
            except TimeoutError:
                break
            if not data:
                raise ConnectionResetError(0, "its socket closed")
            reply = Reply.unpack(data)
            if reply is not None and (reply.number, reply.verb) == (request.number, request.verb):
                return reply, fds[0] if fds else None
            for late in fds:  # the answer to a request that was given up
                os.close(late)
        raise BusyError(f"{request.bdf}: the keeper did not answer in {deadline_s:g} s")


class Direct:
    """A keeper in this process, for a command that is root itself and has the operator's consent: it writes, and nothing else."""

    def __init__(self, sys_root: Path) -> None:
        self._keeper = Keeper(sys_root, clear=True, log=lambda _: None)

    def acknowledge(self, bdf: Bdf, location: Location, bits: int) -> tuple[int, int]:
        """As KeeperClient.acknowledge."""
        reply, _ = self._keeper.answer(Request(Verb.ACK, 0, bdf, *key_of(location), bits).pack())
        return _written(reply, bdf, location)


def key_of(location: Location) -> tuple[int, int, int, int]:
    """How the keeper is told of a register: kind, capability id, offset, width."""
    capability = BY_NAME[location.capability]
    return _KINDS[capability.kind], capability.id, location.offset, location.width


def _written(reply: Reply, bdf: Bdf, location: Location) -> tuple[int, int]:
    if reply.status is not Status.OK:
        raise WriteRefusedError(f"{bdf} {location}: {reply.text}")
    return reply.before, reply.after


def _kept(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: environment[name] for name in _ENVIRONMENT if name in environment}
