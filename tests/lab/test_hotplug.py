"""Unplugged while the daemon polls, replaced by another, asleep: no false error, no stale descriptor, no wake-up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from lab import reporting
from lab.conftest import booted
from lab.daemon import Daemon
from lab.machine import Machine
from lab.topology import DEAF_ENDPOINT, Topology, endpoint, root_port

pytestmark = pytest.mark.lab_full

SETTINGS = "  slow_interval: 2s\n"
ERRORS = ("correctable", "advisory", "nonfatal", "fatal")
UNPLUG_SECONDS = 120  # pciehp waits 5 s for a second press of the button, and the guest may be late
SLEEPER = "/sys/bus/pci/devices/{}/power"


@pytest.fixture(scope="module")
def boot(pytestconfig: pytest.Config) -> Iterator[Machine]:
    topology = Topology(
        (root_port("rp1", endpoint("ep1")), root_port("rp2", endpoint("ep2")), root_port("rp3", endpoint("ep3", DEAF_ENDPOINT)))
    )
    yield from booted(Machine(topology), "Linux with slots", pytestconfig)


@pytest.fixture
def daemon(boot: Machine) -> Iterator[Daemon]:
    reporting.open_path(boot)
    reporting.clear(boot)
    with Daemon(boot, SETTINGS) as running:
        yield running


def errors(daemon: Daemon) -> list[tuple[str, str]]:
    """Every ereport of an error since the first look: (Function, class)."""
    return [
        (event["device"], event["class"])
        for event in daemon.events()
        if event["severity"] in ERRORS and not event["first_look"] and event["class"].startswith("ereport.io.")
    ]


def wait(machine: Machine, condition: str) -> None:
    """Wait until the shell *condition* holds in the guest."""
    machine.check(f"for i in $(seq {UNPLUG_SECONDS * 5}); do {condition} && exit 0; sleep .2; done; exit 1", UNPLUG_SECONDS)


def stale(machine: Machine, daemon: Daemon) -> str:
    """The descriptors of the daemon's processes whose file has gone."""
    return "".join(machine.check(f"ls -l /proc/{pid}/fd | grep deleted || true") for pid in daemon.pids())


def unplug(machine: Machine, name: str, address: str) -> None:
    machine.qmp("device_del", id=name)
    wait(machine, f"test ! -e /sys/bus/pci/devices/{address}")


def plug(machine: Machine, device: str, name: str, bus: str) -> str:
    machine.qmp("device_add", driver=device, id=name, bus=bus)
    end = time.monotonic() + UNPLUG_SECONDS
    while name not in machine.addresses() or machine.addresses()[name].startswith("0000:00"):
        assert time.monotonic() < end
        time.sleep(0.2)
    wait(machine, f"test -e /sys/bus/pci/devices/{machine.address(name)}/config")
    return machine.address(name)


def test_daemon_holds_descriptors_at_all(boot: Machine, daemon: Daemon) -> None:
    held = "".join(boot.check(f"ls -l /proc/{pid}/fd") for pid in daemon.pids())
    assert f"{boot.address('rp1')}/config" in held


def test_unplugged_and_replaced_by_another(boot: Machine, daemon: Daemon) -> None:
    address = boot.address("ep1")
    unplug(boot, "ep1", address)
    daemon.looked(4)
    assert errors(daemon) == []
    assert stale(boot, daemon) == ""
    assert daemon.status()["functions"] == len(boot.check("ls /sys/bus/pci/devices").split())
    assert plug(boot, "e1000e", "other", "rp1") == address
    daemon.looked(4)
    assert errors(daemon) == []
    assert stale(boot, daemon) == ""
    boot.inject("other", "RCVR")
    daemon.looked(3)
    seen = [event for event in daemon.events() if event["class"] == "ereport.io.pciex.pl.re"]
    assert [(event["device"], event["severity"]) for event in seen] == [(address, "correctable")]
    assert fabric_of(daemon, seen[0])["vendor_id"] == 0x8086
    unplug(boot, "other", address)


def test_removed_with_an_error_latched_and_plugged_in_again_is_clean(boot: Machine, daemon: Daemon) -> None:
    address = boot.address("ep2")
    boot.inject("ep2", "BAD_TLP")
    daemon.looked(3)
    unplug(boot, "ep2", address)
    daemon.looked(3)
    plug(boot, "virtio-rng-pci", "again", "rp2")
    daemon.looked(3)
    assert errors(daemon) == [(address, "ereport.io.pciex.dl.btlp")]
    assert stale(boot, daemon) == ""


def test_sleeper_is_left_asleep_and_read_when_it_wakes(boot: Machine, daemon: Daemon) -> None:
    # A Function without a driver sleeps as soon as it may; who reads it all the same finds the error that is latched meanwhile.
    address = boot.address("ep3")
    power = SLEEPER.format(address)
    boot.check(f"echo auto >{power}/control")
    wait(boot, f"grep -q suspended {power}/runtime_status")
    daemon.looked(3)
    before = counters(boot, power)
    boot.inject("ep3", "BAD_DLLP")
    daemon.looked(8)
    after = counters(boot, power)
    assert after[0] == before[0]
    assert after[1] > before[1]
    assert daemon.status()["unread_functions"].get(address) == "asleep"
    assert errors(daemon) == []
    boot.check(f"echo on >{power}/control")
    daemon.looked(4)
    assert address not in daemon.status()["unread_functions"]
    # Linux clears AER when it restores what it wakes; Device Status, which it does not clear, is what is left to tell.
    assert errors(daemon) == [(address, "ereport.io.pciex.correctable")]


def counters(machine: Machine, power: str) -> tuple[int, int]:
    """How long, in ms, it has been active and suspended."""
    active, suspended = machine.check(f"cat {power}/runtime_active_time {power}/runtime_suspended_time").split()
    return int(active), int(suspended)


def fabric_of(daemon: Daemon, event: dict[str, Any]) -> dict[str, Any]:
    """The payload of the snapshot that *event* belongs to."""
    return next(dict(one["payload"]) for one in daemon.events() if one["ena"] == event["ena"] and one["class"] == "ereport.io.pci.fabric")
