"""Machine checks on real kernels and both Xens, injected into QEMU's banks (`mce CPU BANK STATUS MCG_STATUS ADDR MISC`).

QEMU's Nehalem has ten banks, neither CMCI nor threshold status; corrected errors are found by whoever polls.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from lab import product
from lab.conftest import booted
from lab.machine import Machine
from lab.topology import Topology
from lab.watcher import Daemon

pytestmark = pytest.mark.lab_long

MEMORY, CACHE = 0x9C00_0000_0400_0091, 0x9400_0000_0000_0151
POLL_S = 60.0  # Xen looks every 2 to 16 s of its time, Linux every second here; an emulated machine may be some times slower
INJECT = "/usr/lib/xen-4.17/bin/xen-mceinj"  # the wrapper in the path asks for tools of the running version
XEN_MODULES = "modprobe -a xen-privcmd xen-evtchn xenfs; mountpoint -q /proc/xen || mount -t xenfs xenfs /proc/xen"
# Reads the banks as fast as it can and holds each whole record to what was injected: ADDR and MISC say which error it is.
HAMMERED = """
import sys, time
from pcifma.access.mca.banks import Devices, content
from pcifma.access.mca.processor import Processors
devices, whose = Devices(), Processors("intel", 0x106a3)
end, whole, unstable, torn, simple = time.monotonic() + float(sys.argv[1]), 0, 0, 0, 0
while time.monotonic() < end:
    for line in content(devices, 0, whose).decode().splitlines():
        fields = dict(part.split("=", 1) for part in line.split())
        if fields.get("state") == "unstable":
            unstable += 1
            continue
        error = int(fields["status"], 0) >> 16 & 0xffff
        whole += 1
        torn += (int(fields["addr"], 0) >> 12, int(fields["misc"], 0) >> 9) != (error, error)
    words = [devices.read(0, 0x401 + 4 * 3 + i) for i in range(3)]
    simple += words[0] >> 63 and (words[1] >> 12, words[2] >> 9) != (words[0] >> 16 & 0xffff,) * 2
print(whole, unstable, torn, simple)
"""


def until(machine: Machine, daemon: Daemon, leaf: str, count: int = 1) -> list[dict[str, Any]]:
    end = time.monotonic() + POLL_S
    while len(found := daemon.events(leaf)) < count and time.monotonic() < end:
        daemon.after(1)
    return found


def coverage(machine: Machine) -> dict[str, Any]:
    trailer: dict[str, Any] = json.loads(product.inside(machine, "coverage", "--json").stdout.splitlines()[-1])
    return dict(trailer["machine_checks"])


@pytest.fixture(scope="module")
def linux(pytestconfig: pytest.Config) -> Iterator[Machine]:
    yield from booted(Machine(Topology(), processors=2, processor="max,-hypervisor"), "Linux that takes machine checks", pytestconfig)


@pytest.fixture(scope="module")
def silent(pytestconfig: pytest.Config) -> Iterator[Machine]:
    yield from booted(Machine(Topology(), cmdline="mce=off", processor="Nehalem,-hypervisor"), "Linux with mce=off", pytestconfig)


@pytest.fixture(scope="module")
def polling_xen(pytestconfig: pytest.Config) -> Iterator[Machine]:
    yield from booted(Machine(Topology(), xen=True, newer=True, processor="Nehalem"), "a Xen that polls the banks", pytestconfig)


@pytest.fixture(scope="module")
def blind_xen(pytestconfig: pytest.Config) -> Iterator[Machine]:
    yield from booted(Machine(Topology(), xen=True, processor="Nehalem"), "a Xen that does not poll the banks", pytestconfig)


@pytest.fixture(scope="module")
def own_xen(pytestconfig: pytest.Config) -> Iterator[Machine]:
    machine = Machine(Topology(), xen=True, newer=True, processor="Nehalem", cmdline="initcall_blacklist=xen_late_init_mcelog")
    yield from booted(machine, "a Xen whose dom0 kernel does not fetch", pytestconfig)


def test_the_kernel_s_tracepoint_is_heard(linux: Machine) -> None:
    linux.check("echo 4 >/sys/devices/system/machinecheck/machinecheck0/check_interval")
    found = coverage(linux)  # DMI and devices still say that this is a guest of QEMU, whose machine checks are made up
    assert (found["corrected"], found["uncorrected"], found["by"]) == (False, False, "tracepoint")
    daemon = Daemon(linux)
    linux.hmp(f"mce 1 2 {CACHE:#x} 0 0x2000 0")
    (event,) = until(linux, daemon, "l1icache")
    daemon.stop()
    assert (event["device"], event["payload"]["bank_number"], event["first_look"]) == ("cpu1", 2, False)
    assert linux.check("ls /sys/kernel/tracing/instances").strip() == ""


def test_banks_that_nobody_clears_are_read_and_told_once(silent: Machine) -> None:
    silent.check("modprobe -a msr cpuid")
    silent.hmp(f"mce 0 4 {MEMORY:#x} 0 0x60000000 0x8c")
    daemon = Daemon(silent)
    (event,) = until(silent, daemon, "quickpath.mem_ce")
    daemon.stop()
    payload = event["payload"]
    assert (payload["via"], payload["apic-id"], payload["address"], event["first_look"]) == ("msr", 0, "0000000060000000", True)
    assert "identity" not in payload


def test_reads_that_tear_are_never_told(silent: Machine) -> None:
    silent.check("modprobe -a msr cpuid")
    (silent.share / "hammered.py").write_text(HAMMERED)
    silent.run(f"{sys.executable} -I /lab/hammered.py 20 >/lab/hammered.out 2>&1 &")
    end, error = time.monotonic() + 30, 0
    while time.monotonic() < end:
        error = error % 0xFFFF + 1
        silent.hmp(f"mce 0 3 {0x9C00 << 48 | error << 16 | 0x0100:#x} 0 {error << 12:#x} {error << 9 | 0x80:#x}")
    silent.check("for i in $(seq 100); do test -s /lab/hammered.out && exit 0; sleep .2; done; exit 1")
    said = (silent.share / "hammered.out").read_text()
    whole, _, torn, simple = (int(word) for word in said.split())
    assert whole > 100 and torn == 0, said
    assert simple > 0, said  # three plain reads of the same bank do tear: so the check above can fail


def test_under_a_hypervisor_no_bank_is_evidence(blind_xen: Machine) -> None:
    blind_xen.check("modprobe -a msr cpuid")
    code = "from pcifma.access.live import LiveHost; print(LiveHost().entries('/msr/'))"
    assert blind_xen.check(f'{sys.executable} -I -c "{code}"').strip() == "()"


def test_a_xen_without_sight_of_the_banks_is_called_blind(blind_xen: Machine) -> None:
    blind_xen.check(XEN_MODULES)
    found = coverage(blind_xen)
    assert (found["corrected"], found["uncorrected"], found["by"]) == (False, False, "mcelog")
    assert any("polls no banks" in why for why in found["why"]) and found["help"]


def test_an_interrupt_with_an_empty_queue_is_said(blind_xen: Machine) -> None:
    blind_xen.check(XEN_MODULES)
    daemon = Daemon(blind_xen)
    blind_xen.check(f"{INJECT} -t 1 -p 0x3f000000")
    (event,) = until(blind_xen, daemon, "pcifma.lost")
    daemon.stop()
    assert "VIRQ_MCA rose and no record came" in event["payload"]["reason"]


def test_a_xen_that_polls_is_heard_with_the_full_record(polling_xen: Machine) -> None:
    polling_xen.check(XEN_MODULES)
    found = coverage(polling_xen)
    assert (found["corrected"], found["uncorrected"], found["by"]) == (True, True, "mcelog")
    daemon = Daemon(polling_xen)
    polling_xen.hmp(f"mce 0 4 {MEMORY:#x} 0 0x60000000 0x8c")
    (event,) = until(polling_xen, daemon, "quickpath.mem_ce")
    payload = event["payload"]
    assert (event["device"], payload["channel"], payload["action"], payload["address"]) == (
        "cpu0",
        1,
        "correctable polled",
        "0000000060000000",
    )
    polling_xen.check(f"{INJECT} -t 1 -p 0x3f000000")  # in dom0's memory or not: told once, with the machine's frame
    (urgent,) = until(polling_xen, daemon, "quickpath.mem_bad_id")
    daemon.after(8)
    assert (urgent["payload"]["disp"], urgent["payload"]["mfn"]) == ("srao", "000000000003f000")
    assert [e["class"] for e in daemon.events("") if e["class"].startswith("ereport.cpu.")] == [event["class"], urgent["class"]]
    daemon.stop()
    assert polling_xen.check("cat /sys/kernel/tracing/kprobe_events; ls /sys/kernel/tracing/instances").strip() == ""


def test_a_second_reader_of_the_device_is_found_out(polling_xen: Machine) -> None:
    polling_xen.check(XEN_MODULES)
    thief = "import os, time; f = os.open('/dev/mcelog', os.O_RDONLY)\nfor _ in range(6000): os.read(f, 1 << 16); time.sleep(.01)"
    daemon = Daemon(polling_xen)
    (polling_xen.share / "thief.py").write_text(thief)
    polling_xen.run(f"{sys.executable} -I /lab/thief.py >/dev/null 2>&1 &")
    for number in range(3):
        polling_xen.hmp(f"mce 0 {number + 1} {CACHE:#x} 0 {0x2000 + number:#x} 0")
    found = until(polling_xen, daemon, "l1icache", 3)
    lost = until(polling_xen, daemon, "pcifma.lost")
    daemon.stop()
    assert {event["payload"]["bank_number"] for event in found} == {1, 2, 3}
    assert lost and "another program reads /dev/mcelog" in lost[0]["payload"]["reason"]


def test_without_the_kernel_s_consumer_the_hypercall_is_used(own_xen: Machine) -> None:
    assert coverage(own_xen)["by"] == "none"
    own_xen.check(XEN_MODULES)
    assert coverage(own_xen)["by"] == "hypercall"
    daemon = Daemon(own_xen)
    own_xen.hmp(f"mce 0 4 {MEMORY:#x} 0 0x60000000 0x8c")
    (event,) = until(own_xen, daemon, "quickpath.mem_ce")
    daemon.stop()
    assert (event["device"], event["payload"]["via"], event["payload"]["action"]) == ("cpu0", "xen", "correctable polled")
