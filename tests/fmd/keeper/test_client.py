"""A real keeper process on the other side: what the daemon gets from it, and what it gets when the keeper is gone."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.sysfs import CARD, UNCORRECTABLE_STATUS, Sysfs

from pcifma.errors import BusyError, DaemonError, GoneError, ReadError, WriteRefusedError
from pcifma.fmd.keeper import client as keeper_client
from pcifma.fmd.keeper.client import KeeperClient
from pcifma.fmd.keeper.message import Reply, Request, Status
from pcifma.regs.bdf import Bdf
from pcifma.regs.table import Location

STATUS = Location.parse("ECAP_AER+4.l")


@pytest.fixture
def tree(tmp_path: Path) -> Sysfs:
    return Sysfs(tmp_path)


@pytest.fixture
def client(tree: Sysfs) -> Iterator[KeeperClient]:
    client = KeeperClient.start(tree.root, clear=True, consent=tree.root / "consent")
    yield client
    client.close()
    os.waitpid(client.pid, 0)


def test_open_gives_a_descriptor_or_says_why_not(client: KeeperClient, tree: Sysfs) -> None:
    fd = client.open(Bdf.parse(CARD))
    assert os.pread(fd, 2, 0) == b"\xb3\x15"
    os.close(fd)

    with pytest.raises(GoneError):
        client.open(Bdf.parse("0000:77:00.0"))
    (tree.card / "config").unlink()
    (tree.card / "config").mkdir()
    with pytest.raises(ReadError, match="not a regular file"):
        client.open(Bdf.parse(CARD))


def test_fact_is_its_content_or_none(client: KeeperClient, tree: Sysfs) -> None:
    tree.hest()

    assert client.fact("firmware/acpi/tables/HEST") == (tree.root / "firmware/acpi/tables/HEST").read_bytes()
    assert client.fact("firmware/acpi/tables/BERT") is None
    assert client.fact("../etc/shadow") is None


def test_acknowledge_writes_or_says_who_forbids(client: KeeperClient, tree: Sysfs) -> None:
    tree.put(tree.card, UNCORRECTABLE_STATUS, 1 << 18, 4)
    assert client.acknowledge(Bdf.parse(CARD), STATUS, 1 << 18) == (1 << 18, 1 << 18)

    tree.service(tree.port, "pcie002", "aer")
    with pytest.raises(WriteRefusedError, match="owner: native"):
        client.acknowledge(Bdf.parse(CARD), STATUS, 1 << 18)


def test_keeper_that_was_killed_is_noticed_and_named(client: KeeperClient) -> None:
    os.kill(client.pid, signal.SIGKILL)

    with pytest.raises(DaemonError, match="the keeper is gone"):
        client.open(Bdf.parse(CARD))
    assert not client.check()
    with pytest.raises(DaemonError, match="restart pcifma fmd"):
        client.fact("firmware/acpi/tables/HEST")


def test_keeper_ignores_the_signals_of_a_terminal(client: KeeperClient) -> None:
    client.fact("firmware/acpi/tables/HEST")  # it is up and has set its signals
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(client.pid, number)

    os.close(client.open(Bdf.parse(CARD)))
    assert client.check()


def test_keeper_ends_when_its_daemon_does(tree: Sysfs) -> None:
    client = KeeperClient.start(tree.root, clear=False, consent=tree.root / "consent")

    client.close()

    assert os.waitstatus_to_exitcode(os.waitpid(client.pid, 0)[1]) == 0


@pytest.fixture
def mute(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[KeeperClient, socket.socket]]:
    monkeypatch.setattr(keeper_client, "DEADLINE_S", 0.05)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        client = KeeperClient(ours, 0)
        yield client, theirs
        client.close()


def test_keeper_that_does_not_answer_is_busy(mute: tuple[KeeperClient, socket.socket]) -> None:
    with pytest.raises(BusyError, match="did not answer"):
        mute[0].open(Bdf.parse(CARD))


def test_late_answer_is_not_taken_for_the_next_one_and_its_descriptor_is_closed(mute: tuple[KeeperClient, socket.socket]) -> None:
    client, keeper = mute
    with pytest.raises(BusyError):
        client.open(Bdf.parse(CARD))
    first = Request.unpack(keeper.recv(100))
    assert first is not None
    reader, writer = os.pipe()
    socket.send_fds(keeper, [Reply(Status.OK, first.number, first.verb).pack()], [writer])
    os.close(writer)

    def answer() -> None:
        second = Request.unpack(keeper.recv(100))
        assert second is not None
        keeper.send(Reply(Status.ABSENT, second.number, second.verb).pack())

    thread = threading.Thread(target=answer)
    thread.start()
    with pytest.raises(GoneError):
        client.open(Bdf.parse(CARD))
    thread.join()

    assert os.read(reader, 1) == b""
    os.close(reader)
