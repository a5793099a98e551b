"""Which driver has a Function: given to vfio-pci or pciback, as for a guest, and handed back.

vfio-pci wants an IOMMU: Machine(..., cmdline="intel_iommu=on", extra=IOMMU). pciback needs none until a domain takes the device.
"""

from __future__ import annotations

from .machine import Machine

IOMMU = ("-device", "intel-iommu")
MODULE = {"pciback": "xen-pciback", "vfio-pci": "vfio-pci"}


def bind(machine: Machine, name: str, driver: str) -> None:
    """Take the Function *name* from its driver and give it to *driver*. LabError if that does not take it."""
    address = machine.address(name)
    place = f"/sys/bus/pci/devices/{address}"
    # pciback binds only what it has been told of.
    told = f"echo {address} >/sys/bus/pci/drivers/pciback/new_slot && " if driver == "pciback" else ""
    machine.check(
        f"modprobe {MODULE.get(driver, driver)} && {_released(address)} && {told}"
        f"echo {driver} >{place}/driver_override && echo {address} >/sys/bus/pci/drivers_probe && "
        f"test {driver} = $(basename $(readlink {place}/driver)) || {{ dmesg | tail -3; false; }}"
    )


def release(machine: Machine, name: str) -> None:
    """Take the Function *name* from the driver that has it, if any."""
    machine.check(_released(machine.address(name)))


def _released(address: str) -> str:
    place = f"/sys/bus/pci/devices/{address}"
    return f"{{ if [ -e {place}/driver ]; then echo {address} >{place}/driver/unbind; fi; echo >{place}/driver_override; }}"
