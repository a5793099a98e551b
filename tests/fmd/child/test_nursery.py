"""Where plugins' processes come from: whose they are, what they hold, and that they end."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from pcifma.errors import DaemonError, PluginError
from pcifma.fmd.child.nursery import Nursery
from pcifma.fmd.child.offspring import OFFSPRING

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give plugins a user of their own")


def test_nursery_gives_processes_that_are_ours_and_hold_one_line(tmp_path: Path) -> None:
    handed_on = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(handed_on, True)

    def run(line: socket.socket) -> None:
        line.sendall(repr((sorted(os.listdir("/proc/self/fd")), os.getsid(0) == os.getpid())).encode())  # noqa: PTH208
        line.recv(1)

    nursery = Nursery.fork(lambda everything: run)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        pid = nursery.spawn(theirs)
        assert ours.recv(4096) == b"(['0', '1', '2', '3', '4'], True)"  # 4 is the listing itself
        assert OFFSPRING.kill(pid) is not None
    os.close(handed_on)
    nursery.close()


@needs_root
def test_nursery_drops_privileges_for_all_that_come_from_it() -> None:
    def run(line: socket.socket) -> None:
        line.sendall(repr((os.getresuid(), os.getresgid(), os.getgroups())).encode())

    nursery = Nursery.fork(lambda everything: run)
    nursery.settle(54321, 54322)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        pid = nursery.spawn(theirs)
        assert ours.recv(4096) == b"((54321, 54321, 54321), (54322, 54322, 54322), [])"
        OFFSPRING.kill(pid)
    nursery.close()


@needs_root
@pytest.mark.parametrize("who", [(0, 54322), (0, 0)])
def test_nursery_lets_nothing_run_as_root(who: tuple[int, int]) -> None:
    nursery = Nursery.fork(lambda everything: wait_for_ever)
    with pytest.raises(DaemonError, match=r"child\.user"):
        nursery.settle(*who)
    nursery.close()


@needs_root
def test_nursery_is_told_once_who_plugins_run_as() -> None:
    nursery = Nursery.fork(lambda everything: wait_for_ever)
    nursery.settle(54321, 54322)
    with pytest.raises(DaemonError, match=r"child\.user"):
        nursery.settle(54323, 54322)
    nursery.close()


@needs_root
def test_nursery_ends_processes_of_the_plugins_user_and_no_other() -> None:
    nursery = Nursery.fork(lambda everything: wait_for_ever)
    nursery.settle(54321, 54322)
    others = [subprocess.Popen(["sleep", "60"], user=user, start_new_session=True) for user in (0, 54323)]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        pid = nursery.spawn(theirs)
        for other in others:
            nursery.kill(other.pid, True)
            nursery.kill(other.pid, False)
        nursery.kill(1, True)
        assert [other.poll() for other in others] == [None, None]
        nursery.kill(pid, False)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    for other in others:
        other.kill()
        other.wait()
    nursery.close()


def test_nursery_that_is_gone_is_an_error_with_the_remedy() -> None:
    nursery = Nursery.fork(lambda everything: lambda line: None)
    os.kill(nursery.pid, signal.SIGKILL)
    ours, theirs = socket.socketpair()

    with ours, theirs, pytest.raises(PluginError, match="restart pcifma fmd"):
        nursery.spawn(theirs)
    nursery.close()


def wait_for_ever(line: socket.socket) -> None:
    threading.Event().wait()


@pytest.mark.parametrize("user", [None, pytest.param(54321, marks=needs_root)])
def test_plugin_process_dies_with_its_daemon(user: int | None) -> None:
    reading, writing = os.pipe()
    if (daemon := os.fork()) == 0:
        try:
            nursery = Nursery.fork(lambda everything: wait_for_ever)
            if user is not None:
                nursery.settle(user, user)
            _, theirs = socket.socketpair()
            os.write(writing, str(nursery.spawn(theirs)).encode())
            os.close(writing)
            signal.pause()
        finally:
            os._exit(1)
    os.close(writing)
    pid = int(os.read(reading, 20))
    os.close(reading)
    handle = os.pidfd_open(pid)
    os.kill(daemon, signal.SIGKILL)
    os.waitpid(daemon, 0)

    assert select.select([handle], [], [], 20)[0]
    os.close(handle)
