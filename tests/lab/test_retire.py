"""Parts out of service and back, on a real kernel and a real Xen: by the keeper alone, and by a daemon from error to repair."""

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
from lab.topology import Topology, endpoint, root_port

pytestmark = pytest.mark.lab_long

ASK = """
import sys
from pathlib import Path
from pcifma.errors import PcifmaError
from pcifma.fmd.keeper.client import KeeperClient
from pcifma.fmd.keeper.message import Verb
from pcifma.regs.bdf import Bdf
keeper = KeeperClient.start(Path("/sys"), clear=False, consent=Path("/run/none"), retire=("cpu", "page", "io"))
for words in sys.argv[1:]:
    kind, name, how = words.split(",")
    place = {"bdf": Bdf.parse(name)} if kind == "FUNCTION" else {"number": int(name, 0)}
    try:
        print("done", keeper.retire(Verb[kind], int(how), **place))
    except PcifmaError as err:
        print("refused", err)
keeper.close()
"""
CONFIG = """
retire: [cpu, page, io]
modules:
  cpu_retire: {enabled: true, dry_run: false}
  page_retire: {enabled: true, dry_run: false}
  mca_diagnosis: {}
"""
CACHE, MEMORY = 0x9400_0000_0000_0151, 0x9C00_4000_0000_009F  # AMD names a page of what the northbridge corrected (CECC)
PATIENCE_S = 300.0
RETIRE, RESTORE = 0, 1


@pytest.fixture(scope="module")
def linux(pytestconfig: pytest.Config) -> Iterator[Machine]:
    topology = Topology((root_port("rp1", endpoint("ep1")),))
    yield from booted(Machine(topology, processors=2, processor="max,-hypervisor"), "Linux whose parts are retired", pytestconfig)


@pytest.fixture(scope="module")
def xen(pytestconfig: pytest.Config) -> Iterator[Machine]:
    yield from booted(Machine(Topology(), xen=True, processors=2, processor="Nehalem"), "Xen whose parts are retired", pytestconfig)


def ask(machine: Machine, *words: str) -> list[str]:
    (machine.share / "ask.py").write_text(ASK)
    return machine.check(f"{sys.executable} -I /lab/ask.py {' '.join(words)}", seconds=240).splitlines()


def test_a_processor_and_a_function_go_and_come_back(linux: Machine) -> None:
    card = linux.address("ep1")
    driver = f"/sys/bus/pci/devices/{card}/driver"
    linux.check(f"modprobe virtio_pci; test -e {driver} || echo {card} >/sys/bus/pci/drivers_probe; test -e {driver}")
    assert ask(linux, f"CPU,1,{RETIRE}", f"FUNCTION,{card},{RETIRE}") == ["done cpu1 is offline", f"done {card} is unbound from virtio-pci"]
    assert linux.check("cat /sys/devices/system/cpu/online").strip() == "0"
    assert linux.run(f"test -e {driver}; echo {card} >/sys/bus/pci/drivers_probe; test -e {driver}").status != 0
    assert ask(linux, f"CPU,1,{RESTORE}", f"FUNCTION,{card},{RESTORE}") == ["done cpu1 is online", f"done {card} is bound again"]
    assert linux.check("cat /sys/devices/system/cpu/online").strip() == "0-1" and linux.run(f"test -e {driver}").status == 0


def test_what_must_stay_is_refused(linux: Machine) -> None:
    shared = linux.check("basename $(dirname $(readlink -f /sys/bus/virtio/drivers/9pnet_virtio/virtio* | head -1))").strip()
    said = ask(
        linux, f"CPU,0,{RETIRE}", f"FUNCTION,{linux.address('rp1')},{RETIRE}", f"FUNCTION,{shared},{RETIRE}", f"PAGE,0xfe000000,{RETIRE}"
    )
    for line, why in zip(said, ("cpu0 cannot", "is a bridge", "a file system is shared", "is no memory"), strict=True):
        assert line.startswith("refused") and why in line
    assert linux.check("cat /sys/devices/system/cpu/online").strip() == "0-1"


def cases(machine: Machine) -> list[dict[str, Any]]:
    found = product.inside(machine, "dump", "--json", "--root", "/run/lab")
    return [line for line in map(json.loads, found.stdout.splitlines()) if line["class"].startswith("list.")]


def outcomes(machine: Machine) -> list[str]:
    found = product.inside(machine, "dump", "-e", "--json", "--root", "/run/lab", "-c", "ereport.pcifma.retire")
    return [f"{e['payload']['outcome']} {e['payload']['what']}" for e in map(json.loads, found.stdout.splitlines())]


def until(machine: Machine, wanted: str, *, inject: str = "") -> None:
    # Each injection may come before the kernel has looked at the one before: so it is made again until something is done about it.
    end, said = time.monotonic() + PATIENCE_S, outcomes(machine)
    while not any(wanted in line for line in said):
        assert time.monotonic() < end, (wanted, said, machine.check("cat /lab/fmd.log"))
        if inject:
            machine.hmp(inject)
        time.sleep(2)
        said = outcomes(machine)


def repair(machine: Machine, fault: str) -> None:
    found = {case["uuid"] for case in cases(machine) if case["class"] == "list.suspect" and case["fault-list"][0]["class"] == fault}
    (uuid,) = found
    assert product.inside(machine, "repaired", uuid, "--root", "/run/lab").status == 0


@pytest.fixture(scope="module")
def diagnosing(linux: Machine) -> Machine:
    """*linux* with a daemon that may take parts out of service."""
    linux.check("modprobe hwpoison-inject; echo 1 >/sys/devices/system/machinecheck/machinecheck0/check_interval")
    (linux.share / "pcifma.yaml").write_text(CONFIG)
    linux.check("mkdir -p /run/lab/etc/pcifma; install -m 600 /lab/pcifma.yaml /run/lab/etc/pcifma/pcifma.yaml")
    linux.run(f"{product.PROGRAM} fmd --root /run/lab >/lab/fmd.log 2>&1 &")
    ready = f"{product.PROGRAM} status --root /run/lab >/dev/null 2>&1"
    linux.check(f"for i in $(seq 60); do {ready} && exit 0; sleep 1; done; cat /lab/fmd.log; exit 1", seconds=400)
    return linux


def test_from_errors_of_a_cache_to_a_processor_out_of_service_and_back(diagnosing: Machine) -> None:
    until(diagnosing, "retired cpu1 is offline", inject=f"mce 1 2 {CACHE:#x} 0 0x2000 0")
    assert diagnosing.check("cat /sys/devices/system/cpu/online").strip() == "0"
    repair(diagnosing, "fault.cpu.amd.l1icache")
    until(diagnosing, "given back cpu1 is online")
    assert diagnosing.check("cat /sys/devices/system/cpu/online").strip() == "0-1"


def test_from_errors_of_a_page_to_the_page_out_of_service_and_back(diagnosing: Machine) -> None:
    corrupted = "awk '/HardwareCorrupted/ {print $2}' /proc/meminfo"
    before = int(diagnosing.check(corrupted))
    until(diagnosing, "retired frame 0x18000 is offline (soft)", inject=f"mce 0 4 {MEMORY:#x} 0 0x18000000 0x8c")
    assert int(diagnosing.check(corrupted)) == before + 4
    repair(diagnosing, "fault.memory.page")
    until(diagnosing, "given back frame 0x18000")
    assert int(diagnosing.check(corrupted)) == before


def test_under_xen_the_physical_processor_goes_and_a_page_may_stay_pending(xen: Machine) -> None:
    xen.check("modprobe -a xen-privcmd xenfs; mountpoint -q /proc/xen || mount -t xenfs xenfs /proc/xen")
    assert ask(xen, f"CPU,1,{RETIRE}") == ["done xen_cpu1 is offline"]
    assert xen.check("cat /sys/devices/system/xen_cpu/xen_cpu1/online").strip() == "0"
    assert ask(xen, f"CPU,1,{RESTORE}", f"CPU,0,{RETIRE}")[0] == "done xen_cpu1 is online"
    frames = [f"{frame:#x}" for frame in range(0x10000, 0x80000, 0x8000)]
    said = ask(xen, *(f"PAGE,{frame},{RETIRE}" for frame in frames))
    assert any("is offline" in line for line in said) and any("is pending: domain 0 owns it" in line for line in said), said
    back = ask(xen, *(f"PAGE,{frame},{RESTORE}" for frame, line in zip(frames, said, strict=True) if line.startswith("done")))
    assert back and all(line.endswith("is online") for line in back), back
