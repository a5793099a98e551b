"""The control socket: who may what, and that nothing a client sends or leaves unsaid hurts anybody else."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pcifma.access.clock import SystemClock
from pcifma.errors import DaemonError, PluginError
from pcifma.fmd.client import Client
from pcifma.fmd.loop import Loop
from pcifma.fmd.socket import REQUEST_LIMIT, Arguments, Later, Peer, Server, Verb, bind

CLIENTS = 4


class Bench:
    """A server on a thread of its own; *audited* is what it told, *laters* wait to be settled."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now_ns = 0
        self.audited: list[tuple[int, str, str]] = []
        self.laters: list[Later] = []
        self.loop = Loop(SystemClock())
        verbs = {
            "echo": Verb(lambda arguments, peer: dict(arguments)),
            "peer": Verb(lambda arguments, peer: [peer.pid, peer.uid, peer.gid]),
            "rows": Verb(self._rows),
            "large": Verb(lambda arguments, peer: "x" * (9 << 20)),
            "change": Verb(lambda arguments, peer: "changed", changes=True),
            "break": Verb(self._break, changes=True),
            "later": Verb(self._later),
        }
        self.server = Server(self.loop, bind(path), verbs, clients=CLIENTS, audit=self._audit, now_ns=lambda: self.now_ns)
        self.stopped = False
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        while not self.stopped:
            self.loop.turn(1 << 62)
        self.server.close()
        self.loop.close()

    def stop(self) -> None:
        self.loop.post(lambda: setattr(self, "stopped", True))
        self.thread.join(10)

    def do(self, call: Callable[[], None]) -> None:
        """Run *call* on the server's thread, and wait for it."""
        done = threading.Event()
        self.loop.post(call)
        self.loop.post(done.set)
        assert done.wait(10)

    def client(self) -> Client:
        return Client(self.path, timeout_s=10)

    def raw(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(10)
        sock.connect(str(self.path))
        return sock

    def _audit(self, peer: Peer, verb: str, arguments: Arguments, outcome: str) -> None:
        self.audited.append((peer.uid, verb, outcome))

    def _rows(self, arguments: Arguments, peer: Peer) -> Iterator[object]:
        count = arguments["count"]
        assert isinstance(count, int)
        return repeat("x" * 1000, count)

    def _break(self, arguments: Arguments, peer: Peer) -> object:
        raise PluginError("it cannot be")

    def _later(self, arguments: Arguments, peer: Peer) -> Later:
        later = Later()
        self.laters.append(later)
        return later


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "s")
    yield bench
    bench.stop()


def test_answer_is_the_result_and_requests_follow_one_another(bench: Bench) -> None:
    with bench.client() as client:
        assert client.ask("echo", {"a": 1}) == {"a": 1}
        assert client.ask("echo", {"b": [None]}) == {"b": [None]}


def test_peer_is_whom_the_kernel_saw_connect(bench: Bench) -> None:
    with bench.client() as client:
        assert client.ask("peer") == [os.getpid(), os.geteuid(), os.getegid()]


def test_rows_come_one_by_one_however_many(bench: Bench) -> None:
    with bench.client() as client:
        assert sum(len(row) for row in client.rows("rows", {"count": 5000})) == 5_000_000
        assert list(client.rows("rows", {"count": 0})) == []
        assert client.ask("echo") == {}


@pytest.mark.parametrize(
    ("verb", "says"), [("nothing", "no verb 'nothing': there is break, change"), ("break", "it cannot be"), ("large", "larger than 8 MiB")]
)
def test_refusal_says_why(bench: Bench, verb: str, says: str) -> None:
    with bench.client() as client:
        with pytest.raises(DaemonError, match=says):
            client.ask(verb)
        assert client.ask("echo") == {}


def test_change_is_audited_with_its_outcome(bench: Bench) -> None:
    with bench.client() as client:
        client.ask("change")
        with pytest.raises(DaemonError):
            client.ask("break")

    assert bench.audited == [(os.geteuid(), "change", "accepted"), (os.geteuid(), "break", "failed: it cannot be")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_member_of_the_group_reads_and_may_change_nothing(bench: Bench) -> None:
    bench.path.chmod(0o666)
    bench.path.parent.chmod(0o755)
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            directory = os.open(bench.path.parent, os.O_PATH)
            os.setresuid(54321, 54321, 54321)
            client = socket.socket(socket.AF_UNIX)
            client.connect(f"/proc/self/fd/{directory}/s")
            client.sendall(b'{"v":1,"verb":"echo"}\n{"v":1,"verb":"change"}\n')
            client.shutdown(socket.SHUT_WR)
            while data := client.recv(4096):
                os.write(writing, data)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        replies = file.read()
    os.waitpid(pid, 0)

    assert b'"ok":true,"result":{}' in replies
    assert b"only root may" in replies
    assert bench.audited == [(54321, "change", "refused: not root")]


def test_result_that_comes_later_is_waited_for_while_others_are_served(bench: Bench) -> None:
    got: list[object] = []
    with bench.client() as waiting, bench.client() as other:
        thread = threading.Thread(target=lambda: got.append(waiting.ask("later")))
        thread.start()
        while not bench.laters:
            other.ask("echo")
        assert got == []
        bench.do(lambda: bench.laters[0].settle({"done": True}))
        thread.join(10)

    assert got == [{"done": True}]


def test_later_error_is_told_and_a_client_that_left_is_no_harm(bench: Bench) -> None:
    gone = bench.raw()
    gone.sendall(b'{"v":1,"verb":"later"}\n')
    with bench.client() as client:
        while not bench.laters:
            client.ask("echo")
        gone.close()
        bench.do(lambda: bench.laters[0].settle(PluginError("no")))
        assert client.ask("echo") == {}


RUBBISH = [b"", b"{", b"[]", b"null", b'{"v":1}', b'{"v":2,"verb":"echo"}', b'{"v":1,"verb":7}', b'{"v":1,"verb":"echo","args":[]}']


@pytest.mark.parametrize("line", [*RUBBISH, b"\xff\xfe", b"x" * 1000])
def test_rubbish_is_answered_and_the_connection_stays(bench: Bench, line: bytes) -> None:
    with bench.raw() as sock:
        sock.sendall(line + b'\n{"v":1,"verb":"echo"}\n')
        data = b""
        while data.count(b"\n") < 2:
            data += sock.recv(4096)

    first, second = data.splitlines()
    assert b'"ok":false' in first
    assert b'"ok":true' in second


def test_request_without_end_is_cut_off(bench: Bench) -> None:
    with bench.raw() as sock:
        reply = b""
        try:
            for _ in range(4):
                sock.sendall(b"x" * REQUEST_LIMIT)
            reply = sock.recv(4096)
        except ConnectionError:
            pass
    assert not reply or b"more than 65536 bytes" in reply
    with bench.client() as client:
        assert client.ask("echo") == {}


def test_client_that_does_not_read_holds_nobody_up(bench: Bench) -> None:
    with bench.raw() as greedy:
        greedy.sendall(b'{"v":1,"verb":"rows","args":{"count":100000000}}\n' * 20)
        with bench.client() as client:
            for _ in range(50):
                assert client.ask("echo") == {}


def test_connections_are_limited_and_the_last_is_told(bench: Bench) -> None:
    held = [bench.raw() for _ in range(CLIENTS)]
    for sock in held:
        sock.sendall(b'{"v":1,"verb":"echo"}\n')
        assert sock.recv(4096)
    with bench.client() as client, pytest.raises(DaemonError, match="connections are open"):
        client.ask("echo")
    for sock in held:
        sock.close()
    with bench.client() as client:
        assert client.ask("echo") == {}


def test_idle_connection_is_closed(bench: Bench) -> None:
    with bench.raw() as sock:
        sock.sendall(b'{"v":1,"verb":"echo"}\n')
        sock.recv(4096)
        bench.now_ns = 31_000_000_000
        bench.do(bench.server.sweep)

        assert sock.recv(4096) == b""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.lists(st.binary(max_size=200), max_size=4))
def test_fuzz_the_server_goes_on_whatever_comes(bench: Bench, parts: list[bytes]) -> None:
    with bench.raw() as sock:
        for part in parts:
            sock.sendall(part)

    with bench.client() as client:
        assert client.ask("echo", {"still": "here"}) == {"still": "here"}


def test_socket_file_is_for_root_and_the_group(tmp_path: Path) -> None:
    with bind(tmp_path / "s"):
        assert (tmp_path / "s").stat().st_mode & 0o777 == 0o660


def test_socket_path_may_be_long_and_left_over(tmp_path: Path) -> None:
    path = tmp_path / ("d" * 150) / "s"
    path.parent.mkdir()
    path.write_text("left over")
    with bind(path):
        Client(path).close()


def test_no_daemon_is_said_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DaemonError, match=r"no daemon answers .*: start one with `pcifma fmd`"):
        Client(tmp_path / "s")
    bind(tmp_path / "s").close()
    with pytest.raises(DaemonError, match="no daemon answers"):
        Client(tmp_path / "s")
