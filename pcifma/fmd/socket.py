"""The control socket: who asks is known by the kernel, what is asked is a line of JSON, and both are bounded.

    request  {"v": 1, "verb": "status", "args": {…}}
    reply    {"v": 1, "ok": true, "result": …}          or rows {"v": 1, "row": …}, one a line, and then {"v": 1, "ok": true}
             {"v": 1, "ok": false, "tag": "daemon", "error": "one line"}

Who may connect, the file's mode says (root and the group). Who may change something: root and the daemon's own user; every
attempt is told to *audit*, with verb, arguments, uid and pid. Requests of one connection are answered in order.
"""

from __future__ import annotations

import os
import selectors
import socket
import sqlite3
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from pcifma.errors import DaemonError, LogUnavailableError, PcifmaError, UsageError
from pcifma.fmd.loop import Loop

VERSION = 1
REQUEST_LIMIT = 64 << 10
REPLY_LIMIT = 8 << 20
_BUFFER_BYTES = 256 << 10  # rows are made while less than this waits to be sent
_IDLE_NS = 30_000_000_000
_MODE = 0o660
_UCRED = struct.Struct("=iII")


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as the kernel saw it connect."""

    pid: int
    uid: int
    gid: int


class Later:
    """A result that comes later; *settle* once, on the loop's thread, with a result or an error."""

    def __init__(self) -> None:
        self.then: Callable[[object], None] = lambda _: None

    def settle(self, result: object) -> None:
        """Answer with *result*, or with an error if it is a PcifmaError."""
        self.then(result)


Arguments = Mapping[str, object]
Handler = Callable[[Arguments, Peer], object]
"""Returns a result that JSON can hold, an Iterator of rows, or Later; raises PcifmaError to refuse."""


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb. *changes*: only root and the daemon's own user may, and it is audited."""

    handler: Handler
    changes: bool = False


class _Request(msgspec.Struct):
    v: int
    verb: str
    args: dict[str, object] = {}


_DECODER = msgspec.json.Decoder(_Request)
_ENCODER = msgspec.json.Encoder()

Audit = Callable[[Peer, str, Arguments, str], None]


@dataclass(eq=False)
class _Client:
    sock: socket.socket
    peer: Peer
    last_ns: int
    received: bytearray = field(default_factory=bytearray)
    waiting: bytearray = field(default_factory=bytearray)
    rows: Iterator[object] | None = None
    later: Later | None = None
    closing: bool = False

    @property
    def busy(self) -> bool:
        return self.rows is not None or self.later is not None

    @property
    def ready(self) -> bool:
        return not (self.busy or self.closing) and len(self.waiting) < _BUFFER_BYTES


def bind(path: Path, *, gid: int | None = None) -> socket.socket:
    """The listening socket at *path*, 0660, of group *gid*; a left-over one is replaced (the caller holds the daemon's lock)."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    mask = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)
        sock.bind(f"/proc/self/fd/{directory}/{path.name}")  # a path of any length; the kernel takes 107 bytes
        if gid is not None:
            os.chown(path, -1, gid)
        path.chmod(_MODE)
        sock.listen(64)
    except OSError as err:
        sock.close()
        raise DaemonError(f"{path}: the control socket cannot be made: {err.strerror}") from err
    finally:
        os.umask(mask)
        os.close(directory)
    return sock


class Server:
    """Serves *verbs* on the listening socket *sock*, at most *clients* connections at a time."""

    def __init__(
        self, loop: Loop, sock: socket.socket, verbs: Mapping[str, Verb], *, clients: int, audit: Audit, now_ns: Callable[[], int]
    ) -> None:
        self._loop, self._sock, self._verbs, self.limit = loop, sock, verbs, clients
        self._audit, self._now_ns = audit, now_ns
        self._clients: set[_Client] = set()
        self.requests = self.refused = 0
        loop.add(sock.fileno(), selectors.EVENT_READ, self._accept)

    def sweep(self) -> None:
        """Close connections on which nothing has moved for a while; called now and then."""
        oldest_ns = self._now_ns() - _IDLE_NS
        for client in [c for c in self._clients if c.last_ns < oldest_ns and c.later is None]:
            self._close(client)

    def close(self) -> None:
        """Close everything; the file is the caller's."""
        for client in list(self._clients):
            self._close(client)
        self._loop.remove(self._sock.fileno())
        self._sock.close()

    def _accept(self) -> None:
        try:
            sock, _ = self._sock.accept()
        except OSError:
            return
        sock.setblocking(False)
        pid, uid, gid = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        client = _Client(sock, Peer(pid, uid, gid), self._now_ns())
        self._clients.add(client)
        self._loop.add(sock.fileno(), selectors.EVENT_READ, lambda: self._serve(client))
        if len(self._clients) > self.limit:
            self._make_room(client)
        if len(self._clients) > self.limit:
            client.closing = True
            self._fail(client, DaemonError(f"{self.limit} connections are open: try again"))
            self._flush(client)

    def _make_room(self, newcomer: _Client) -> None:
        # A connection whose other end has left counts until it is read: the new one may be seen first.
        for client in [c for c in self._clients if c.ready and c is not newcomer]:
            self._serve(client)

    def _serve(self, client: _Client) -> None:
        try:
            if client.ready and b"\n" not in client.received:
                self._receive(client)
        except BlockingIOError:
            pass
        except OSError:
            self._close(client)
            return
        self._flush(client)

    def _receive(self, client: _Client) -> None:
        data = client.sock.recv(REQUEST_LIMIT)
        client.last_ns = self._now_ns()
        client.closing = not data
        client.received += data
        self._next(client)

    def _next(self, client: _Client) -> None:
        while client.ready and (end := client.received.find(b"\n")) >= 0:
            line = bytes(client.received[:end])
            del client.received[: end + 1]
            self._answer(client, line)
        if len(client.received) > REQUEST_LIMIT:
            client.closing = True
            self._fail(client, UsageError(f"a request of more than {REQUEST_LIMIT} bytes"))

    def _answer(self, client: _Client, line: bytes) -> None:
        self.requests += 1
        try:
            request = _DECODER.decode(line)
            if request.v != VERSION:
                raise DaemonError(f"version {request.v} is not spoken here, {VERSION} is: use the pcifma of the daemon's release")
            result = self._call(client.peer, request)
        except msgspec.DecodeError as err:
            self._fail(client, UsageError(f"not a request: {err}"))
        except PcifmaError as err:
            self._fail(client, err)
        except sqlite3.Error as err:
            self._fail(client, _unreadable(err))
        else:
            self._result(client, result)

    def _call(self, peer: Peer, request: _Request) -> object:
        verb = self._verbs.get(request.verb)
        if verb is None:
            raise DaemonError(f"no verb {request.verb!r}: there is {', '.join(sorted(self._verbs))}")
        if not verb.changes:
            return verb.handler(request.args, peer)
        if peer.uid not in (0, os.geteuid()):
            self.refused += 1
            self._audit(peer, request.verb, request.args, "refused: not root")
            raise DaemonError(f"{request.verb} changes something: only root may")
        try:
            result = verb.handler(request.args, peer)
        except PcifmaError as err:
            self._audit(peer, request.verb, request.args, f"failed: {err}")
            raise
        self._audit(peer, request.verb, request.args, "accepted")
        return result

    def _result(self, client: _Client, result: object) -> None:
        if isinstance(result, Later):
            client.later = result
            result.then = lambda value: self._settled(client, value)
        elif isinstance(result, PcifmaError):
            self._fail(client, result)
        elif isinstance(result, Iterator):
            client.rows = result
        else:
            self._say(client, {"v": VERSION, "ok": True, "result": result})

    def _settled(self, client: _Client, value: object) -> None:
        if client in self._clients:
            client.later = None
            client.last_ns = self._now_ns()
            self._result(client, value)
            self._next(client)
            self._flush(client)

    def _fail(self, client: _Client, err: PcifmaError) -> None:
        self._say(client, {"v": VERSION, "ok": False, "tag": err.tag, "error": str(err)})

    def _say(self, client: _Client, reply: dict[str, object]) -> None:
        data = _ENCODER.encode(reply)
        if len(data) > REPLY_LIMIT:
            return self._fail(client, DaemonError(f"the answer is larger than {REPLY_LIMIT >> 20} MiB: ask for less"))
        client.waiting += data + b"\n"
        return None

    def _fill(self, client: _Client) -> None:
        while client.rows is not None and len(client.waiting) < _BUFFER_BYTES:
            try:
                self._say(client, {"v": VERSION, "row": next(client.rows)})
            except StopIteration:
                client.rows = None
                self._say(client, {"v": VERSION, "ok": True})
            except PcifmaError as err:
                client.rows = None
                self._fail(client, err)
            except sqlite3.Error as err:
                client.rows = None
                self._fail(client, _unreadable(err))
        if client.rows is None:
            self._next(client)

    def _flush(self, client: _Client) -> None:
        # One piece at a time: a long answer must not keep the loop from its looks.
        self._fill(client)
        try:
            if client.waiting:
                del client.waiting[: client.sock.send(client.waiting)]
                client.last_ns = self._now_ns()
        except BlockingIOError:
            pass
        except OSError:
            client.closing, client.waiting, client.rows = True, bytearray(), None
        if client.closing and not client.waiting:
            self._close(client)
            return
        unsent = client.waiting or client.rows is not None or b"\n" in client.received
        events = (0 if client.busy else selectors.EVENT_READ) | (selectors.EVENT_WRITE if unsent else 0)
        if events and client.later is None:
            self._loop.add(client.sock.fileno(), events, lambda: self._serve(client))
        else:
            self._loop.remove(client.sock.fileno())

    def _close(self, client: _Client) -> None:
        self._clients.discard(client)
        self._loop.remove(client.sock.fileno())
        client.sock.close()


def _unreadable(err: sqlite3.Error) -> PcifmaError:
    return LogUnavailableError(f"the log cannot be read: {err}; free or repair the storage, then ask again")
