from __future__ import annotations

import pytest
from lab import binding
from lab.machine import Machine
from lab.topology import standard

pytestmark = pytest.mark.lab_full


def driver(machine: Machine, name: str) -> str:
    return machine.check(f"basename $(readlink /sys/bus/pci/devices/{machine.address(name)}/driver) || true").strip()


def test_pciback_takes_a_function_and_releases_it(xen_dom0: Machine) -> None:
    binding.bind(xen_dom0, "ep1", "pciback")
    assert driver(xen_dom0, "ep1") == "pciback"
    binding.bind(xen_dom0, "ep1", "virtio-pci")
    assert driver(xen_dom0, "ep1") == "virtio-pci"


def test_vfio_takes_a_function() -> None:
    with Machine(standard(), cmdline="intel_iommu=on pci=noaer", extra=binding.IOMMU) as machine:
        binding.bind(machine, "ep1", "vfio-pci")
        assert driver(machine, "ep1") == "vfio-pci"
        machine.inject("ep1", "MALF_TLP")
        assert machine.setpci("ep1", "ECAP_AER+4.l") == "00040000"
