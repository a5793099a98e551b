from __future__ import annotations

import sys

import pytest
from lab import reporting, toolstack
from lab.error import LabError
from lab.expect import ERRORS, classes, parse
from lab.machine import Machine
from lab.topology import Topology

pytestmark = pytest.mark.lab


def test_run_tells_status_and_both_outputs(machine: Machine) -> None:
    result = machine.run("echo out; echo err >&2; exit 7")
    assert (result.status, result.stdout, result.stderr) == (7, "out\n", "err\n")


def test_check_raises_what_the_command_said(machine: Machine) -> None:
    with pytest.raises(LabError, match="no such thing"):
        machine.check("echo no such thing >&2; false")


def test_hanging_command_ends_and_the_machine_goes_on(machine: Machine) -> None:
    with pytest.raises(LabError, match="not ended within 1 s"):
        machine.run("sleep 1000", seconds=1)
    assert machine.check("echo alive") == "alive\n"


def test_guest_runs_this_interpreter(machine: Machine) -> None:
    program = "import pcifma, sys; print(sys.prefix, pcifma.__version__)"
    assert machine.check(f"{sys.executable} -I -c '{program}'").split()[0] == sys.prefix


def test_shared_directory_is_seen_from_both_sides(machine: Machine) -> None:
    (machine.share / "question").write_text("six times seven")
    machine.check("cat /lab/question | tr a-z A-Z >/lab/answer")
    assert (machine.share / "answer").read_text() == "SIX TIMES SEVEN"


def test_boots_are_what_they_are_called(linux_nomsi: Machine, xen_dom0: Machine) -> None:
    assert "pci=nomsi" in linux_nomsi.check("cat /proc/cmdline")
    assert "AER: enabled" not in linux_nomsi.check("dmesg")
    assert xen_dom0.check("cat /sys/hypervisor/type") == "xen\n"
    assert "AER: enabled" in xen_dom0.check("dmesg")


def test_every_function_has_its_address(machine: Machine) -> None:
    listed = {line.split()[0] for line in machine.check("lspci -D").splitlines()}
    assert {machine.address(node.name) for node, _ in machine.topology.walk()} <= listed


def test_injection_lands_in_the_registers_of_its_function(machine: Machine) -> None:
    places = ("ep1", "ep2", "up1", "dn1", "dn2", "br1", "rp1", "rp2")
    injected = dict(zip(places, ERRORS[2:], strict=False))
    for name, error in injected.items():
        machine.inject(name, error.name)
    found = parse(machine.check("lspci -D -xxxx"))
    for name, error in injected.items():
        assert f"pciex.{error.leaf}" in classes(found[machine.address(name)])


def test_clearing_leaves_no_error_bit(machine: Machine) -> None:
    for name in ("ep1", "up1", "dn1", "rp1"):
        machine.inject(name, "MALF_TLP")
    reporting.clear(machine)
    found = parse(machine.check("lspci -D -xxxx"))
    left = {leaf for name in ("ep1", "up1", "dn1", "rp1", "rp2") for leaf in classes(found[machine.address(name)])}
    assert left <= {"pci.sec-rserr"}


def test_refused_injection_says_why(machine: Machine) -> None:
    with pytest.raises(LabError, match="invalid error status value"):
        machine.inject("ep1", "NO_SUCH_ERROR")


def test_refused_qmp_command_says_why(machine: Machine) -> None:
    with pytest.raises(LabError, match="no-such-command"):
        machine.qmp("no-such-command")


def test_toolstack_answers(xen_dom0: Machine) -> None:
    toolstack.start(xen_dom0)
    assert "Domain-0" in xen_dom0.check("xl list")


@pytest.mark.lab_full
def test_failed_boot_shows_the_console() -> None:
    with pytest.raises(LabError, match="Kernel panic"):
        Machine(Topology(), cmdline="rdinit=/no/such/init root=/dev/no").boot()


@pytest.mark.lab_full
def test_refused_argument_shows_what_qemu_said() -> None:
    with pytest.raises(LabError, match="no-such-device"):
        Machine(Topology(), extra=("-device", "no-such-device")).boot()


@pytest.mark.lab_full
def test_domain_is_created_and_destroyed(xen_dom0: Machine) -> None:
    toolstack.start(xen_dom0)
    toolstack.create(xen_dom0, "tiny")
    assert "tiny" in xen_dom0.check("xl list")
    toolstack.destroy(xen_dom0, "tiny")
    assert "tiny" not in xen_dom0.check("xl list")
