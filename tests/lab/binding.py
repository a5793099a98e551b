"""Which driver has a Function: given to vfio-pci or pciback, as for a guest, and handed back.

vfio-pci wants an IOMMU: Machine(..., cmdline="intel_iommu=on", extra=IOMMU). pciback needs none until a domain takes the device.
A Function that vfio-pci has and no guest uses falls asleep; `hold` uses it as a guest's VMM does.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from .initramfs import GUEST
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


def hold(machine: Machine, names: Sequence[str]) -> int:
    """Open the Functions *names*, which vfio-pci has, for as long as the machine runs; returns the process that holds them."""
    shutil.copy(GUEST / "hold.py", machine.share)
    addresses = " ".join(machine.address(name) for name in names)
    machine.check(f"rm -f /lab/hold.log; setsid python3 -I -S /lab/hold.py {addresses} >/lab/hold.log 2>&1 &")
    wait = "for i in $(seq 150); do grep -q '^open' /lab/hold.log && exit 0; sleep .2; done; cat /lab/hold.log >&2; exit 1"
    machine.check(wait)
    return int(machine.check("pgrep -f /lab/hold.py | head -1"))


def release(machine: Machine, name: str) -> None:
    """Take the Function *name* from the driver that has it, if any."""
    machine.check(_released(machine.address(name)))


def _released(address: str) -> str:
    place = f"/sys/bus/pci/devices/{address}"
    return f"{{ if [ -e {place}/driver ]; then echo {address} >{place}/driver/unbind; fi; echo >{place}/driver_override; }}"
