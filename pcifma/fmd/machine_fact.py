"""Which facts of the host a vendor asks for: firmware, board, kernel, hypervisor, and of each Function its link and its error counts."""

from __future__ import annotations

from collections.abc import Iterable

from pcifma.access.seam import Host
from pcifma.regs.bdf import Bdf

HOST_FACTS = (
    "/proc/cmdline",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/osrelease",
    "/proc/version",
    "/proc/xen/capabilities",
    "/sys/hypervisor/type",
    "/sys/hypervisor/version/major",
    "/sys/hypervisor/version/minor",
    "/sys/hypervisor/version/extra",
    "/sys/class/dmi/id/sys_vendor",
    "/sys/class/dmi/id/product_name",
    "/sys/class/dmi/id/product_version",
    "/sys/class/dmi/id/board_vendor",
    "/sys/class/dmi/id/board_name",
    "/sys/class/dmi/id/board_version",
    "/sys/class/dmi/id/bios_vendor",
    "/sys/class/dmi/id/bios_version",
    "/sys/class/dmi/id/bios_date",
    "/sys/kernel/security/lockdown",
)
_FUNCTION_FACTS = (
    "aer_dev_correctable", "aer_dev_fatal", "aer_dev_nonfatal", "current_link_speed", "current_link_width", "max_link_speed",
    "max_link_width", "numa_node", "power_state", "revision",
)  # fmt: skip
_LONGEST = 4096


def facts(host: Host, functions: Iterable[Bdf]) -> dict[str, str]:
    """Text by path; what the host does not have is left out."""
    paths = [*HOST_FACTS, *(f"/sys/bus/pci/devices/{bdf}/{name}" for bdf in functions for name in _FUNCTION_FACTS)]
    found = ((path, host.read(path)) for path in paths)
    return {path: data[:_LONGEST].decode("utf-8", "replace").strip() for path, data in found if data}
