"""The keeper, a real process, attacked over its socket by a daemon that has been taken over: it opens what it may, writes what it may,
and stays.
"""

from __future__ import annotations

import itertools
import os
import random
import select
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.sysfs import CARD, CORRECTABLE_STATUS, DEVICE_STATUS, PORT, Sysfs

from pcifma.fmd.keeper.message import FACTS, REPLY_BYTES, REQUEST_BYTES, Kind, Reply, Request, Status, Verb
from pcifma.regs.bdf import Bdf

AER, EXPRESS = 0x0001, 0x10
BAD_TLP = 1 << 6
ALL = 0xFFFFFFFF


@dataclass
class Taken:
    """The daemon's end of the line, in other hands."""

    sock: socket.socket
    tree: Sysfs
    pid: int

    def ask(self, data: bytes, fds: tuple[int, ...] = ()) -> tuple[Reply, list[int]]:
        """Send *data*, and *fds* with it; the reply and the descriptors that came with it."""
        if fds:
            socket.send_fds(self.sock, [data], list(fds))
        else:
            self.sock.send(data)
        return self.reply()

    def reply(self) -> tuple[Reply, list[int]]:
        got, found, _, _ = socket.recv_fds(self.sock, REPLY_BYTES + 1, 8)
        reply = Reply.unpack(got)
        assert reply is not None
        return reply, found

    def drain(self) -> int:
        """Take and close whatever is on its way; how many replies."""
        count = 0
        while select.select([self.sock], [], [], 0.5)[0]:
            _, fds = self.reply()
            for fd in fds:
                os.close(fd)
            count += 1
        return count

    def acknowledge(self, bits: int = BAD_TLP, key: tuple[int, int, int, int] = (Kind.EXTENDED, AER, 0x10, 4), at: str = CARD) -> Reply:
        return self.ask(Request(Verb.ACK, 1, Bdf.parse(at), *key, bits).pack())[0]

    def is_well(self) -> None:
        """It still does what it is there for."""
        reply, fds = self.ask(Request(Verb.OPEN, 9, Bdf.parse(CARD)).pack())
        assert (reply.status, reply.number, len(fds)) == (Status.OK, 9, 1)
        os.close(fds[0])


@pytest.fixture
def taken(tmp_path: Path) -> Iterator[Taken]:
    tree = Sysfs(tmp_path / "sys")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(30)
    argv = [sys.executable, "-I", "-m", "pcifma.fmd.keeper.keeper", str(tree.root), str(tmp_path / "consent"), "clear"]
    null = [(os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
    pid = os.posix_spawn(sys.executable, argv, {}, file_actions=[*null, (os.POSIX_SPAWN_DUP2, theirs.fileno(), 3)])
    theirs.close()
    yield Taken(ours, tree, pid)
    ours.close()
    os.waitpid(pid, 0)


def test_datagrams_of_every_wrong_size_are_answered_and_do_nothing(taken: Taken) -> None:
    before = image(taken)
    draw = random.Random(5)
    good = Request(Verb.ACK, 1, Bdf.parse(CARD), Kind.EXTENDED, AER, 0x10, 4, ALL).pack()
    for size in (1, 2, 4, *range(REQUEST_BYTES - 3, REQUEST_BYTES), *range(REQUEST_BYTES + 1, REQUEST_BYTES + 4), 4096, 100_000):
        for data in (draw.randbytes(size), (good * (size // len(good) + 1))[:size]):
            assert taken.ask(data)[0].status is Status.BAD
    assert image(taken) == before
    taken.is_well()


def image(taken: Taken) -> tuple[bytes, bytes]:
    return (taken.tree.card / "config").read_bytes(), (taken.tree.port / "config").read_bytes()


def test_verbs_and_facts_that_there_are_not_give_nothing(taken: Taken) -> None:
    for verb in range(256):
        reply, fds = taken.ask(Request(verb, 1, id=0xFFFF).pack())
        assert (reply.status is Status.OK, fds) == (False, [])
    for number in range(len(FACTS), len(FACTS) + 300):
        assert taken.ask(Request(Verb.FACT, 1, id=number).pack())[0].status is Status.BAD
    taken.is_well()


def test_addresses_lead_nowhere_but_to_functions(taken: Taken, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "config").symlink_to("/etc/passwd")
    (taken.tree.root / "bus/pci/devices/0000:05:00.0").symlink_to(outside)
    for bdf in ("0000:05:00.0", "ffff:ff:1f.7", "0000:00:00.0"):
        reply, fds = taken.ask(Request(Verb.OPEN, 1, Bdf.parse(bdf)).pack())
        assert (reply.status in (Status.ABSENT, Status.FAILED), fds) == (True, [])


def test_no_register_but_logged_status_can_be_written(taken: Taken) -> None:
    before = image(taken)
    status = {(Kind.EXTENDED, AER, 0x04, 4), (Kind.EXTENDED, AER, 0x10, 4), (Kind.EXTENDED, AER, 0x30, 4), (Kind.STANDARD, EXPRESS, 0xA, 2)}
    status |= {(Kind.HEADER, 0, 0x06, 2), (Kind.HEADER, 0, 0x1E, 2)}
    places = (*Kind, 255), (0, AER, EXPRESS, 0xFFFF), (*range(0, 0x40, 2), 0x41, 0x104, 0xFFF, 0xFFFF), (1, 2, 4, 8)
    keys = [key for key in itertools.product(*places) if key not in status]
    for key in random.Random(7).sample(keys, 500):
        assert taken.acknowledge(ALL, key).status in (Status.REFUSED, Status.BAD)
    assert image(taken) == before
    taken.is_well()


def test_registers_without_an_open_before_and_bits_that_are_clear_are_no_way_in(taken: Taken) -> None:
    before = image(taken)
    reply = taken.acknowledge()  # the very first request: nothing has been opened
    assert (reply.status, reply.before, reply.after) == (Status.OK, 0, 0)
    assert image(taken) == before


def test_owner_that_changes_between_two_writes_is_seen(taken: Taken) -> None:
    taken.tree.put(taken.tree.card, CORRECTABLE_STATUS, BAD_TLP, 4)
    assert taken.acknowledge().status is Status.OK
    taken.tree.bind(taken.tree.card, "vfio-pci")
    refused = taken.acknowledge()
    assert (refused.status, "vfio-pci" in refused.text) == (Status.REFUSED, True)
    (taken.tree.card / "driver").unlink()
    taken.tree.service(taken.tree.port, "pcie002", "aer")
    assert taken.acknowledge(at=PORT).status is Status.REFUSED


def test_flood_that_takes_no_answers_is_survived_with_bounded_memory(taken: Taken) -> None:
    taken.is_well()  # everything is loaded
    size = resident(taken)
    request = Request(Verb.OPEN, 1, Bdf.parse(CARD)).pack()
    for _ in range(5000):
        taken.sock.send(request)
    taken.drain()
    taken.is_well()
    assert resident(taken) < size + (8 << 20)
    assert len(os.listdir(f"/proc/{taken.pid}/fd")) < 16  # noqa: PTH208 - a count, of another process


def test_line_that_is_closed_by_half_ends_it(taken: Taken) -> None:
    taken.is_well()
    for _ in range(3):
        assert taken.ask(b"")[0].status is Status.BAD  # an empty datagram is none of that
    taken.sock.shutdown(socket.SHUT_WR)
    handle = os.pidfd_open(taken.pid)
    assert select.select([handle], [], [], 20)[0], "it reads the end of the stream for ever"
    os.close(handle)


def resident(taken: Taken) -> int:
    return int(Path(f"/proc/{taken.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_descriptors_that_are_sent_to_it_are_not_kept(taken: Taken) -> None:
    with open("/etc/hostname", "rb") as file:  # noqa: PTH123 - a descriptor is wanted
        for _ in range(300):
            reply, fds = taken.ask(Request(Verb.OPEN, 1, Bdf.parse("0000:99:00.0")).pack(), (file.fileno(), file.fileno()))
            assert (reply.status, fds) == (Status.ABSENT, [])
    assert len(os.listdir(f"/proc/{taken.pid}/fd")) < 16  # noqa: PTH208
    taken.is_well()


def test_descriptor_it_gives_cannot_write(taken: Taken) -> None:
    _, fds = taken.ask(Request(Verb.OPEN, 1, Bdf.parse(CARD)).pack())
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.pwrite(fds[0], b"\xff\xff", DEVICE_STATUS)
    if os.geteuid() != 0:
        with pytest.raises(PermissionError):
            os.open(f"/proc/self/fd/{fds[0]}", os.O_RDWR)
    os.close(fds[0])
