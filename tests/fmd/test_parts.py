"""The daemon's smaller parts: loop, notification, privileges, hot-plug, exclusion, pace, consent, facts."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import stat
import threading
from functools import partial
from pathlib import Path

import pytest
from support.board import END, ROOT, board
from support.machine import Facts, bench
from support.sysfs import Sysfs

from pcifma.access.clock import SimulatedClock, SystemClock
from pcifma.access.seam import Record
from pcifma.errors import ConfigError, ExcludedError
from pcifma.fabric.build import build
from pcifma.fmd import privilege
from pcifma.fmd.consent import Consent
from pcifma.fmd.exclude import Excluding
from pcifma.fmd.facts import KeptHost
from pcifma.fmd.hotplug import functions
from pcifma.fmd.keeper.client import KeeperClient
from pcifma.fmd.loop import Loop
from pcifma.fmd.notify import Notify
from pcifma.fmd.pace import PacedClock
from pcifma.fmd.path import Paths
from pcifma.plugin import Bdf

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


# The loop.


def test_loop_runs_what_other_threads_post_in_order() -> None:
    loop = Loop(SystemClock())
    got: list[int] = []

    def post_all() -> None:
        for n in range(5):
            loop.post(partial(got.append, n))

    thread = threading.Thread(target=post_all)
    thread.start()
    thread.join()

    loop.turn(1 << 62)

    assert got == [0, 1, 2, 3, 4]
    loop.close()


def test_loop_calls_for_a_ready_descriptor_until_it_is_removed() -> None:
    loop, got = Loop(SystemClock()), []
    reading, writing = os.pipe()
    loop.add(reading, selectors.EVENT_READ, lambda: got.append(os.read(reading, 1)))
    os.write(writing, b"ab")

    loop.turn(1 << 62)
    loop.remove(reading)
    loop.remove(reading)
    loop.turn(0)

    assert got == [b"a"]
    loop.close()
    os.close(reading)
    os.close(writing)


def test_loop_takes_a_signal_as_a_call() -> None:
    loop, got = Loop(SystemClock()), []
    before = signal.getsignal(signal.SIGUSR1)
    loop.on_signal(signal.SIGUSR1, lambda: got.append("usr1"))
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        loop.turn(1 << 62)
    finally:
        signal.signal(signal.SIGUSR1, before)
        loop.close()

    assert got == ["usr1"]


def test_loop_returns_at_once_when_time_is_up() -> None:
    clock = SimulatedClock()
    clock.advance_to(10)
    loop = Loop(clock)
    loop.turn(10)
    loop.close()


# What systemd hears.


def test_notify_sends_states_to_the_managers_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "n"))
        notify = Notify.from_environment({"NOTIFY_SOCKET": str(tmp_path / "n")})
        notify.ready("up\nand well")
        notify.looked("5 looks")
        notify.stopping()

        assert manager.recv(4096).decode() == f"READY=1\nMAINPID={os.getpid()}\nSTATUS=up and well"
        assert manager.recv(4096) == b"WATCHDOG=1\nSTATUS=5 looks"
        assert manager.recv(4096) == b"STOPPING=1"


def test_notify_asks_for_a_watchdog_that_outlasts_long_intervals(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "n"))
        notify = Notify.from_environment({"NOTIFY_SOCKET": str(tmp_path / "n"), "WATCHDOG_USEC": "60000000"})
        for interval_s in (1.0, 20.0, 300.0, 300.0):
            notify.expect(interval_s)
        notify.stopping()

        assert manager.recv(100) == b"WATCHDOG_USEC=900000000"
        assert manager.recv(100) == b"STOPPING=1"
        Notify(str(tmp_path / "n")).expect(300.0)  # nobody waits
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(100)


def test_notify_knows_abstract_addresses() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0pcifma-test-{os.getpid()}")
        Notify.from_environment({"NOTIFY_SOCKET": f"@pcifma-test-{os.getpid()}"}).stopping()

        assert manager.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/nowhere/at/all"}])
def test_notify_without_a_manager_is_no_error(environment: dict[str, str]) -> None:
    Notify.from_environment(environment).ready("up")


# Who it runs as.


@needs_root
def test_identity_of_a_default_user_that_is_not_there_is_replaced_and_said() -> None:
    who = privilege.identity("no-such-user", "no-such-group", chosen=False)

    assert who.uid != 0
    assert "useradd --system no-such-user" in who.note


@needs_root
def test_identity_of_a_chosen_user_that_is_not_there_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="there is no user no-such-user"):
        privilege.identity("no-such-user", "root", chosen=True)


@needs_root
def test_prepared_directories_belong_to_those_who_need_them(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    privilege.prepare(paths, privilege.Identity(54321, 54322))

    state, runtime = paths.state.stat(), paths.runtime.stat()
    assert (state.st_uid, state.st_gid, stat.S_IMODE(state.st_mode)) == (54321, 54322, 0o750)
    assert (runtime.st_uid, stat.S_IMODE(runtime.st_mode)) == (0, 0o755)


def test_directory_that_cannot_be_made_is_said_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file")

    with pytest.raises(ConfigError, match=r"var/lib/pcifma: cannot be made: .*: make it, or give another --root"):
        privilege.prepare(Paths(tmp_path), privilege.Identity(os.geteuid(), os.getegid()))


@needs_root
def test_reachable_is_what_the_kernel_would_allow(tmp_path: Path) -> None:
    nobody = privilege.Identity(54321, 54321)
    tmp_path.chmod(0o755)
    assert not privilege.reachable(tmp_path, nobody)
    assert privilege.reachable(Path("/"), nobody, os.R_OK | os.X_OK)


@needs_root
def test_drop_cannot_be_undone() -> None:
    if (pid := os.fork()) == 0:
        try:
            privilege.drop(privilege.Identity(54321, 54322))
            kept = (os.getresuid(), os.getresgid(), os.getgroups()) == ((54321,) * 3, (54322,) * 3, [])
            try:
                os.setuid(0)
            except PermissionError:
                os._exit(0 if kept else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


# What there is to look at.


def test_hotplug_names_functions_by_slot_or_path_and_counts_losses() -> None:
    records = [
        Record("uevent", {"PCI_SLOT_NAME": "0000:04:00.0"}, 1),
        Record("uevent", {"DEVPATH": "/devices/pci0000:00/0000:00:03.0/0000:00:03.0:pcie002"}, 2),
        Record("uevent", {"DEVPATH": "/bus/pci/drivers/vfio-pci"}, 3),
    ]

    assert functions(records) == ({Bdf.parse("0000:04:00.0"), Bdf.parse("0000:00:03.0")}, False)
    assert functions([Record("uevent", {"lost": "1"}, 4)]) == (set(), True)


def test_excluded_function_is_there_and_never_touched() -> None:
    on = bench(*board())
    facts = Facts({f"/sys/bus/pci/devices/{END}/vendor": b"0x15b3\n", f"/sys/bus/pci/devices/{END}/device": b"0x1019\n"})
    for text in (END, "15b3:1019", "15B3:1019"):
        configs = Excluding(on.machine.configs, [text], facts)
        assert list(configs) == list(on.machine.configs)
        with pytest.raises(ExcludedError, match=r"excluded by poll\.exclude"):
            configs[Bdf.parse(END)].read(0, 4)
        assert configs[Bdf.parse(ROOT)].read(0, 2) == on.space(ROOT).read(0, 2)

    assert on.reads.get(END, []) == []


def test_recorded_time_keeps_pace_with_real_time() -> None:
    inner = SimulatedClock()
    happened: list[int] = []
    inner.schedule(1, lambda: happened.append(1))
    clock = PacedClock(inner)
    clock.wait_until(1_000_000)

    assert happened == [1]
    assert clock.boot_ns() >= 1_000_000
    assert clock.wall_ns() > SimulatedClock().wall_ns()


def test_consent_is_given_where_nobody_owns_and_judged_again_when_it_is_old() -> None:
    on = bench(*board())
    fabric = build(on.machine)
    consent = Consent(on.machine)
    assert not consent.allows(fabric, Bdf.parse(END))  # nothing says that firmware keeps out: unknown

    on.facts.files[f"/sys/bus/pci/devices/{ROOT}/vendor"] = b"0x8086\n"
    on.facts.files["/sys/firmware/acpi/tables/DSDT"] = b"x"
    assert not consent.allows(fabric, Bdf.parse(END))
    on.clock.advance_to(60_000_000_000)

    assert consent.allows(fabric, Bdf.parse(END))


def test_fact_that_only_root_may_read_comes_from_the_keeper(tmp_path: Path) -> None:
    tree = Sysfs(tmp_path)
    tree.hest()
    keeper = KeeperClient.start(tree.root, clear=False, consent=tree.root / "consent")
    host = KeptHost(Facts({"/proc/cmdline": b"quiet"}), keeper)

    assert host.read("/proc/cmdline") == b"quiet"
    assert (host.read("/sys/firmware/acpi/tables/HEST") or b"")[:4] == b"HEST"
    assert host.why("/sys/firmware/acpi/tables/HEST") == "readable"
    assert host.read("/sys/firmware/acpi/tables/BERT") is None
    assert host.read("/etc/shadow") is None
    keeper.close()
    os.waitpid(keeper.pid, 0)
    assert host.read("/sys/firmware/acpi/tables/HEST") is None
