from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pcifma.access.host import TreeHost
from pcifma.access.tree import MemoryTree, MountedTree
from pcifma.access.xenstore import Xenstore

HEADER = struct.Struct("=IIII")
DIRECTORY, READ, WATCH_EVENT, ERROR = 1, 2, 15, 16
NODES = {"/local/domain/3/name": b"web-12", "/local/domain/0/backend/pci/3/0/dev-0": b"0000:04:00.0"}

Answer = Callable[[int, int, str], bytes]


def message(kind: int, request: int, data: bytes) -> bytes:
    return HEADER.pack(kind, request, 0, len(data)) + data


def honest(kind: int, request: int, path: str) -> bytes:
    """What xenstored answers from NODES."""
    if kind == READ and path in NODES:
        return message(READ, request, NODES[path])
    names = sorted({node.removeprefix(f"{path}/").split("/")[0] for node in NODES if node.startswith(f"{path}/")})
    if kind == DIRECTORY and names:
        return message(DIRECTORY, request, b"".join(name.encode() + b"\0" for name in names))
    return message(ERROR, request, b"ENOENT\0")


class Daemon:
    """Answers on a socket until it is closed; *answer* makes the bytes of each reply. *asked* has every path."""

    def __init__(self, place: Path, answer: Answer) -> None:
        self.place, self.answer = place, answer
        self.asked: list[str] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(place))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            with link, link.makefile("rb") as stream:
                while head := stream.read(HEADER.size):
                    kind, request, _, length = HEADER.unpack(head)
                    path = stream.read(length).rstrip(b"\0").decode()
                    self.asked.append(path)
                    reply = self.answer(kind, request, path)
                    if not reply:
                        break
                    link.sendall(reply)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Answer], tuple[Daemon, Xenstore]]]:
    made: list[Daemon | Xenstore] = []

    def start(answer: Answer) -> tuple[Daemon, Xenstore]:
        daemon = Daemon(tmp_path / f"socket{len(made)}", answer)
        store = Xenstore([str(tmp_path / "nothing"), str(daemon.place)], deadline_s=0.5)
        made.extend((store, daemon))
        return daemon, store

    yield start
    for item in made:
        item.close()


Serve = Callable[[Answer], tuple[Daemon, Xenstore]]


def test_xenstore_reads_nodes_and_their_children(serve: Serve) -> None:
    _, store = serve(honest)

    assert store.content("/local/domain/3/name") == b"web-12"
    assert sorted(store.names("/local/domain")) == ["0", "3"]
    with pytest.raises(FileNotFoundError):
        store.content("/local/domain/9/name")
    with pytest.raises(OSError, match="no link"):
        store.link("/local")


def test_xenstore_stands_below_its_mount_and_is_asked_for_nothing_else(serve: Serve) -> None:
    daemon, store = serve(honest)
    host = TreeHost(MountedTree(MemoryTree({"/proc/cmdline": b"quiet"}, {"/l": "proc"}), "/xenstore", store))

    assert host.read("/proc/cmdline") == b"quiet"
    assert host.link("/l") == "proc"
    assert daemon.asked == []
    assert host.read("/xenstore/local/domain/3/name") == b"web-12"
    assert host.entries("/xenstore/local/domain/0/backend/pci/3") == ("0",)
    assert host.read("/xenstore/nothing") is None
    assert host.why("/xenstore/nothing") == "absent"
    assert host.link("/xenstore/local") is None


def test_xenstore_passes_over_events_between(serve: Serve) -> None:
    _, store = serve(lambda kind, request, path: message(WATCH_EVENT, 0, b"@releaseDomain\0token\0") + honest(kind, request, path))

    assert store.content("/local/domain/3/name") == b"web-12"


@pytest.mark.parametrize(
    "answer",
    [
        lambda kind, request, path: b"",
        lambda kind, request, path: message(READ, request, b"x" * 100)[:40],
        lambda kind, request, path: HEADER.pack(READ, request, 0, 1 << 31),
        lambda kind, request, path: message(ERROR, request, b"\xff\xfeNONSENSE\0"),
    ],
    ids=["hangs up", "cut short", "too much", "unknown error"],
)
def test_xenstore_that_misbehaves_is_an_absent_fact(serve: Serve, answer: Answer) -> None:
    _, store = serve(answer)

    assert TreeHost(MountedTree(MemoryTree({}, {}), "/xenstore", store)).read("/xenstore/local/domain/3/name") is None


def test_xenstore_answers_again_after_it_was_restarted(serve: Serve) -> None:
    answers: Iterator[Answer] = iter([honest, lambda kind, request, path: b"", honest])

    def answer(kind: int, request: int, path: str) -> bytes:
        return next(answers)(kind, request, path)

    _, store = serve(answer)
    first = store.content("/local/domain/3/name")
    with pytest.raises(OSError, match="xenstore"):
        store.content("/local/domain/3/name")

    assert (first, store.content("/local/domain/3/name")) == (b"web-12", b"web-12")


def test_xenstore_that_is_not_there_is_absent() -> None:
    with closing(Xenstore(["/nonexistent/socket"])) as store, pytest.raises(FileNotFoundError):
        store.content("/local")
