"""Runs in the guest: opens each Function that is named and bound to vfio-pci, as the VMM of a running guest does, and holds it open.

By VFIO's group interface (linux/vfio.h); prints a line when all of them are open, and stays.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from pathlib import Path

SET_IOMMU, GROUP_SET_CONTAINER, GROUP_GET_DEVICE_FD = 0x3B66, 0x3B68, 0x3B6A
TYPE1 = 1

groups: dict[str, int] = {}
for address in sys.argv[1:]:
    number = Path(f"/sys/bus/pci/devices/{address}/iommu_group").resolve().name
    if number not in groups:
        container = os.open("/dev/vfio/vfio", os.O_RDWR)
        groups[number] = os.open(f"/dev/vfio/{number}", os.O_RDWR)
        fcntl.ioctl(groups[number], GROUP_SET_CONTAINER, container.to_bytes(4, "little"))
        fcntl.ioctl(container, SET_IOMMU, TYPE1)
    fcntl.ioctl(groups[number], GROUP_GET_DEVICE_FD, address.encode() + b"\0")
print("open", flush=True)
signal.pause()
