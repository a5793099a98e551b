"""What `coverage` says, shown by experiment: close one link, inject, nothing arrives; open it again, and the kernel reports.

A poisoned TLP is injected (non-fatal): the machine goes on afterwards. QEMU 7.2 sends no ERR_COR, has no writable uncorrectable mask,
and resets the link after a fatal error; tests/platform shows those causes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lab import reporting, toolstack
from lab.conftest import booted
from lab.machine import Machine
from lab.topology import standard

pytestmark = pytest.mark.lab_full

PCIFMA = f"{sys.executable} -I -c 'from pcifma.cli.main import run; run()'"
CARD = "ep2"  # below rp2, up1 and dn1
AER_DRIVER = "/sys/bus/pci_express/drivers/aer"

Line = dict[str, Any]


@dataclass(frozen=True)
class Link:
    """One link of the path: setpci on *node* closes and opens it; *why* is what coverage then says."""

    node: str
    close: str
    open: str
    why: str


LINKS = [
    Link("ep2", "CAP_EXP+8.w=0000:000f", "CAP_EXP+8.w=000f:000f", "Device Control"),
    Link("ep2", "04.w=0000:0100", "04.w=0100:0100", "SERR# off, which QEMU asks for"),
    Link("dn1", "3e.w=0000:0002", "3e.w=0002:0002", "SERR# forwarding off"),
    Link("up1", "3e.w=0000:0002", "3e.w=0002:0002", "SERR# forwarding off"),
    Link("rp2", "3e.w=0000:0002", "3e.w=0002:0002", "SERR# forwarding off"),
    Link("up1", "04.w=0000:0100 CAP_EXP+8.w=0000:000f", "04.w=0100:0100 CAP_EXP+8.w=000f:000f", "SERR# off, Device Control"),
    Link("rp2", "ECAP_AER+2c.l=0:2", "ECAP_AER+2c.l=2:2", "Root Error Command: interrupt off (nonfatal)"),
    Link("rp2", "CAP_MSI+2.w=0:1", "CAP_MSI+2.w=1:1", "MSI off"),
    Link("rp2", "CAP_MSI+c.l=ffffffff", "CAP_MSI+c.l=0", "masked"),
    Link("rp2", "04.w=0:4", "04.w=4:4", "Bus Master off"),
]


@pytest.fixture(scope="module")
def linux_boot(pytestconfig: pytest.Config) -> Iterator[Machine]:
    yield from booted(Machine(standard()), "Linux that owns AER", pytestconfig)


@pytest.fixture
def linux(linux_boot: Machine) -> Machine:
    reporting.open_path(linux_boot)
    reporting.clear(linux_boot)
    return linux_boot


def coverage(machine: Machine) -> dict[str, Line]:
    lines = [json.loads(line) for line in machine.check(f"{PCIFMA} coverage --json", seconds=300).splitlines()]
    return {line.get("device", "trailer"): line for line in lines}


def card(machine: Machine, name: str = CARD) -> Line:
    return coverage(machine)[machine.address(name)]


def reported(machine: Machine, name: str = CARD) -> bool:
    """Inject, and wait for the kernel's word of it; two seconds of the guest are long enough for that many times over."""
    machine.check("dmesg -C")
    machine.inject(name, "POISON_TLP")
    said = machine.run("for i in 1 2 3 4 5 6 7 8 9 10; do dmesg | grep 'AER: .*received from' && exit 0; sleep .2; done; exit 1")
    reporting.clear(machine)
    return said.status == 0


@pytest.mark.parametrize("link", LINKS, ids=lambda link: f"{link.node}-{link.why[:14]}")
def test_closed_link_silences_and_opened_link_reports(linux: Machine, link: Link) -> None:
    linux.setpci(link.node, link.close)
    line = card(linux)
    assert line["heard"]["nonfatal"] is False
    assert any(link.why in why for why in line["why"])
    assert "poll" in line["plan"]
    assert not reported(linux)
    linux.setpci(link.node, link.open)
    assert card(linux)["heard"]["nonfatal"] is True
    assert reported(linux)


def test_standing_root_error_status_keeps_interrupts_away_until_it_is_cleared(linux: Machine) -> None:
    linux.setpci("rp2", "CAP_MSI+2.w=0:1")
    linux.inject(CARD, "POISON_TLP")
    linux.setpci("rp2", "CAP_MSI+2.w=1:1")
    linux.setpci(CARD, "ECAP_AER+4.l=ffffffff", "CAP_EXP+a.w=000f")
    line = card(linux)
    assert line["heard"]["nonfatal"] is False
    assert any("stands: no further interrupt" in why for why in line["why"])
    linux.check("dmesg -C")
    linux.inject(CARD, "POISON_TLP")
    assert linux.run("sleep 1; dmesg | grep 'AER: .*received from'").status == 1
    reporting.clear(linux)
    assert card(linux)["heard"]["nonfatal"] is True
    assert reported(linux)


def test_unbound_service_silences_its_port_and_no_other(linux: Machine) -> None:
    service = f"{linux.address('rp2')}:pcie002"
    linux.check(f"echo {service} > {AER_DRIVER}/unbind")
    lines = coverage(linux)
    assert lines[linux.address(CARD)]["heard"]["nonfatal"] is False
    assert f"{linux.address('rp2')}: no AER service bound" in lines[linux.address(CARD)]["why"]
    assert lines[linux.address("ep1")]["heard"]["nonfatal"] is True
    assert not reported(linux)
    assert reported(linux, "ep1")
    linux.check(f"echo {service} > {AER_DRIVER}/bind")
    reporting.open_path(linux)
    assert card(linux)["heard"]["nonfatal"] is True
    assert reported(linux)


def test_e1000e_is_deaf_whatever_is_written(linux: Machine) -> None:
    linux.setpci("deaf1", "CAP_EXP+8.w=000f:000f")
    assert card(linux, "deaf1")["heard"]["nonfatal"] is False
    assert not reported(linux, "deaf1")


def test_conventional_function_is_deaf(linux: Machine) -> None:
    assert card(linux, "conv1")["heard"] == {"correctable": False, "nonfatal": False, "fatal": False}


def test_correctable_errors_of_emulated_functions_never_arrive(linux: Machine) -> None:
    assert card(linux, "ep1")["heard"]["correctable"] is False
    linux.check("dmesg -C")
    linux.inject("ep1", "RCVR", correctable=True)
    assert linux.run("sleep 1; dmesg | grep 'AER: .*received from'").status == 1


@pytest.mark.lab_long
def test_function_given_to_vfio_is_a_guests(pytestconfig: pytest.Config) -> None:
    iommu = ("-device", "intel-iommu")
    for machine in booted(Machine(standard(), cmdline="intel_iommu=on", extra=iommu), "Linux with an IOMMU", pytestconfig):
        address, sysfs = machine.address("ep1"), f"/sys/bus/pci/devices/{machine.address('ep1')}"
        machine.check(f"modprobe vfio-pci; echo vfio-pci > {sysfs}/driver_override")
        machine.check(f"echo {address} > {sysfs}/driver/unbind; echo {address} > /sys/bus/pci/drivers_probe")
        group = machine.check(f"basename $(readlink {sysfs}/iommu_group)").strip()
        machine.run(f"sh -c 'exec 9<>/dev/vfio/{group}; exec sleep 600' -name guest=web-12 >/dev/null 2>&1 &")
        machine.check(f"for i in 1 2 3 4 5 6 7 8 9; do ls -l /proc/[0-9]*/fd | grep -q vfio/{group} && exit 0; sleep .3; done; exit 1")
        line = card(machine, "ep1")
        assert (line["owner"], "clear" in line["plan"]) == ("guest", False)
        assert line["guest"].startswith("sleep (pid ")


@pytest.mark.lab_long
@pytest.mark.parametrize("option", ["pci=noaer", "pci=nomsi", "pcie_aspm=off", "pcie_ports=compat"])
def test_option_leaves_aer_to_nobody(option: str, pytestconfig: pytest.Config) -> None:
    for machine in booted(Machine(standard(), cmdline=option), f"Linux with {option}", pytestconfig):
        reporting.open_path(machine)
        reporting.clear(machine)
        lines = coverage(machine)
        line = lines[machine.address("ep1")]
        assert (line["owner"], line["heard"]["nonfatal"]) == ("none", False)
        assert f"nobody owns AER: {option}" in line["why"]
        assert lines["trailer"]["help"][0]["do"] == [f"drop {option} from the kernel's command line"]
        assert not reported(machine, "ep1")


@pytest.mark.lab_long
def test_generic_error_source_makes_firmware_the_owner(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    entry = bytearray(64)
    entry[0], entry[7] = 9, 1
    body = (1).to_bytes(4, "little") + bytes(entry)
    (tmp_path / "hest.bin").write_bytes(body)
    table = ("-acpitable", f"sig=HEST,data={tmp_path / 'hest.bin'}")
    for machine in booted(Machine(standard(), cmdline="pci=noaer hest_disable", extra=table), "Linux with a HEST", pytestconfig):
        reporting.open_path(machine)
        line = card(machine, "ep1")
        assert (line["owner"], line["heard"]["nonfatal"], "clear" in line["plan"]) == ("firmware", None, False)


@pytest.mark.lab_long
def test_dom0_hears_natively_and_is_known_as_dom0(pytestconfig: pytest.Config) -> None:
    for machine in booted(Machine(standard(), xen=True), "Xen dom0 with its path open", pytestconfig):
        reporting.open_path(machine)
        reporting.clear(machine)
        line = card(machine, "ep1")
        assert (line["hypervisor"], line["role"], line["owner"]) == ("xen", "dom0", "native")
        assert line["heard"]["nonfatal"] is True
        assert reported(machine, "ep1")
        machine.setpci("rp1", "3e.w=0:2")
        assert card(machine, "ep1")["heard"]["nonfatal"] is False
        assert not reported(machine, "ep1")


@pytest.mark.lab_long
def test_function_in_pciback_names_the_domain_that_xenstore_knows(pytestconfig: pytest.Config) -> None:
    for machine in booted(Machine(standard(), xen=True), "Xen dom0 with pciback", pytestconfig):
        toolstack.start(machine)
        address = machine.address("ep1")
        sysfs = f"/sys/bus/pci/devices/{address}"
        machine.check(f"modprobe xen-pciback; echo {address} > {sysfs}/driver/unbind")
        machine.check(f"echo {address} > /sys/bus/pci/drivers/pciback/new_slot; echo {address} > /sys/bus/pci/drivers/pciback/bind")
        # What xl writes when it gives the Function to domain 7.
        machine.check(f"xenstore-write /local/domain/0/backend/pci/7/0/dev-0 {address} /local/domain/7/name web-12")
        line = card(machine, "ep1")
        assert (line["owner"], line["guest"]) == ("guest", "web-12 (dom 7)")
