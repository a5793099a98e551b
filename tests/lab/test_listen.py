"""Listening and looking on a real kernel: one error is one ereport, an interrupt that is lost is found, one that is late is not.

A guest program plays the daemon: a poller with every source, a look a second, each ereport a line in the shared directory.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from lab import reporting
from lab.conftest import booted
from lab.machine import Machine
from lab.topology import standard
from lab.watcher import Daemon

pytestmark = pytest.mark.lab_full

FACTOR = 5  # between the slowest service of a busy emulated machine and msi_lost's grace time

# How long Root Error Status stays set while errors are served: it is read as fast as it can be. What is never seen set was set for
# less than the longest gap between two reads, so their sum bounds the slowest service.
SERVICE = """
import os, sys, time
fd, offset, end = os.open(sys.argv[1], os.O_RDONLY), int(sys.argv[2]), time.monotonic() + float(sys.argv[3])
since, slowest, gap, last = None, 0.0, 0.0, time.monotonic()
while last < end:
    word = int.from_bytes(os.pread(fd, 4, offset), "little") & 0x7f
    now = time.monotonic()
    gap, last = max(gap, now - last), now
    if word and since is None:
        since = now
    elif not word and since is not None:
        slowest, since = max(slowest, now - since), None
print(slowest + gap)
"""


@pytest.fixture(scope="module")
def linux_boot(pytestconfig: pytest.Config) -> Iterator[Machine]:
    yield from booted(Machine(standard()), "Linux that owns AER", pytestconfig)


@pytest.fixture
def linux(linux_boot: Machine) -> Machine:
    reporting.open_path(linux_boot)
    reporting.clear(linux_boot)
    return linux_boot


@pytest.fixture
def daemon(linux: Machine) -> Iterator[Daemon]:
    running = Daemon(linux)
    yield running
    running.stop()


def news(daemon: Daemon, leaf: str) -> list[dict[str, Any]]:
    """What came after the first look, which also tells of what the kernel had counted before the daemon was there."""
    return [event for event in daemon.events(leaf) if not event["first_look"]]


def test_error_that_the_kernel_serves_is_one_ereport_with_the_kernels_word(linux: Machine, daemon: Daemon) -> None:
    linux.inject("ep1", "POISON_TLP", header=(0x40000001, 0xF, 0xFEE00000, 0xDEADBEEF))
    daemon.after(4)
    found = news(daemon, "tl.ptlp")
    assert [(e["device"], e["count"]) for e in found] == [(linux.address("ep1"), 1)]
    assert "aer_event" in found[0]["sources"]
    assert [e["payload"]["outcome"] for e in news(daemon, "recovery")] == ["failed"]


def test_error_on_a_closed_path_is_seen_by_looking(linux: Machine, daemon: Daemon) -> None:
    linux.setpci("rp1", "3e.w=0:2")
    linux.inject("ep1", "POISON_TLP")
    daemon.after(4)
    assert [e["sources"] for e in news(daemon, "tl.ptlp")] == [["poll"]]


def test_instance_is_gone_afterwards(linux: Machine) -> None:
    Daemon(linux).stop()
    assert linux.check("ls /sys/kernel/tracing/instances") == ""


def test_lost_interrupt_is_found_and_its_cause_named(linux: Machine, daemon: Daemon) -> None:
    linux.setpci("rp2", "CAP_MSI+2.w=0:1")
    linux.inject("ep2", "POISON_TLP")
    daemon.after(14)
    found = daemon.events("rc.irq-lost")
    assert [(e["device"], e["payload"]["cause"]) for e in found] == [(linux.address("rp2"), "MSI off")]
    linux.setpci("rp2", "CAP_MSI+2.w=1:1")


def test_normal_injection_on_a_busy_machine_loses_nothing(linux: Machine, daemon: Daemon) -> None:
    linux.run("for i in 1 2 3 4; do (timeout 40 sh -c 'while :; do :; done' >/dev/null 2>&1 &); done")
    for _ in range(12):
        linux.inject("ep2", "POISON_TLP")
        daemon.after(1)
        linux.setpci("ep2", "ECAP_AER+4.l=ffffffff", "CAP_EXP+a.w=000f")
    daemon.after(12)
    assert daemon.events("rc.irq-lost") == []


def test_grace_is_many_times_the_slowest_service(linux: Machine) -> None:
    (linux.share / "service.py").write_text(SERVICE)
    offset = (
        int(linux.check(f"lspci -s {linux.address('rp2')} -vv | sed -n 's/.*\\[\\([0-9a-f]*\\) v[0-9]\\] Advanced Error.*/\\1/p'"), 16)
        + 0x30
    )
    config = f"/sys/bus/pci/devices/{linux.address('rp2')}/config"
    linux.run("for i in 1 2 3 4; do (timeout 30 sh -c 'while :; do :; done' >/dev/null 2>&1 &); done")
    linux.run(f"{sys.executable} -I /lab/service.py {config} {offset} 25 >/lab/service.out 2>&1 &")
    count = linux.check("awk '/aerdrv/ {n += $2 + $3} END {print n}' /proc/interrupts")
    for _ in range(10):
        linux.inject("ep2", "POISON_TLP")
        linux.run("sleep 1")
        linux.setpci("ep2", "ECAP_AER+4.l=ffffffff", "CAP_EXP+a.w=000f")
    linux.check("for i in $(seq 300); do test -s /lab/service.out && exit 0; sleep .2; done; exit 1", seconds=120)
    served = int(linux.check("awk '/aerdrv/ {n += $2 + $3} END {print n}' /proc/interrupts")) - int(count)
    bound = float((linux.share / "service.out").read_text())
    print(f"{served} interrupts, none served later than {bound * 1000:.0f} ms")
    assert served >= 8
    assert bound * FACTOR < 10.0
