"""Which host facts a recording has: the one table, for `pcifma record` and pcifma-collect alike (a test holds them together).

A `*` stands for every name in that directory (with that beginning), `%` for every Function with port services. Nothing here
touches a device: the kernel answers all of it from memory. For current_link_speed, secondary_bus_number and their like it reads
configuration space (drivers/pci/pci-sysfs.c), and newer kernels wake the Function for that: they are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pcifma.access.seam import Host

_WILD = re.compile(r"([*%])")
SERVICES = "/sys/bus/pci_express/devices"
_FUNCTION = "/sys/bus/pci/devices/*"
_SERVICE = f"{SERVICES}/*"

# Links come first: they say where files really lie.
LINKS = (
    _FUNCTION,
    f"{_FUNCTION}/driver",
    f"{_FUNCTION}/physfn",
    f"{_FUNCTION}/iommu_group",
    _SERVICE,
    f"{_SERVICE}/driver",
    "/sys/bus/vmbus/devices/*",
)

COUNTERS = (
    "aer_dev_correctable",
    "aer_dev_nonfatal",
    "aer_dev_fatal",
    "aer_rootport_total_err_cor",
    "aer_rootport_total_err_nonfatal",
    "aer_rootport_total_err_fatal",
)
# Which Functions, power, and what the kernel counted and decided for each.
_FUNCTION_FACTS = (
    "power_state",
    "power/runtime_status",
    "power/control",
    "d3cold_allowed",
    "vendor",
    "device",
    "subsystem_vendor",
    "subsystem_device",
    "class",
    "revision",
    "enable",
    "irq",
    "msi_bus",
    "numa_node",
    "label",
    "index",
    "acpi_index",
    "sriov_numvfs",
    *COUNTERS,
)

FILES = (
    "/proc/cmdline",
    "/proc/cpuinfo",  # its first processor: whether a hypervisor is below
    "/proc/interrupts",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/osrelease",
    "/proc/sys/kernel/random/boot_id",
    "/proc/powerpc/eeh",
    "/proc/xen/capabilities",
    "/proc/device-tree/hypervisor/compatible",
    "/run/systemd/container",
    "/sys/class/misc/kvm/dev",
    "/sys/devices/system/clocksource/clocksource0/available_clocksource",
    "/sys/devices/system/edac/pci/check_pci_errors",
    "/sys/module/edac_core/parameters/check_pci_errors",
    "/sys/hypervisor/type",
    "/sys/hypervisor/guest_type",
    "/sys/hypervisor/uuid",
    "/sys/hypervisor/start_flags/initdomain",
    "/sys/hypervisor/properties/features",
    "/sys/hypervisor/version/major",
    "/sys/hypervisor/version/minor",
    "/sys/hypervisor/version/extra",
    "/sys/class/dmi/id/sys_vendor",
    "/sys/class/dmi/id/product_name",
    "/sys/class/dmi/id/product_version",
    "/sys/class/dmi/id/board_vendor",
    "/sys/class/dmi/id/board_name",
    "/sys/class/dmi/id/chassis_type",
    "/sys/class/dmi/id/bios_vendor",
    "/sys/class/dmi/id/bios_version",
    "/sys/class/dmi/id/bios_date",
    "/sys/firmware/acpi/tables/HEST",
    "/sys/firmware/acpi/tables/BERT",
    "/sys/firmware/acpi/tables/ERST",
    "/sys/firmware/acpi/tables/MCFG",
    "/sys/firmware/dmi/tables/DMI",
    "/sys/kernel/security/lockdown",
    "/sys/module/pcie_aspm/parameters/policy",
    "/sys/module/ghes/parameters/disable",
    "/sys/bus/pci/slots/*/address",
    "/sys/bus/pci/devices/%/msi_irqs/*",
    "/xenstore/local/domain/0/backend/pci/*/*/dev-*",  # which guest has which Function, and what it is called
    "/xenstore/local/domain/*/name",
    *(f"{_FUNCTION}/{fact}" for fact in _FUNCTION_FACTS),
)

# An empty directory is a fact too, and a tree of files cannot hold one.
DIRECTORIES = (
    "/sys/bus/pci/devices",
    "/sys/bus/pci/slots",
    "/sys/bus/pci_express/devices",
    "/sys/firmware/acpi/tables",
    "/proc/device-tree",
)

# Of these only the beginning is kept, up to the first empty line.
FIRST_PARAGRAPH = frozenset({"/proc/cpuinfo"})


def expand(host: Host, pattern: str) -> Iterator[str]:
    """The paths that *pattern* stands for on *host*, in order; a pattern without `*` and `%` stands for itself."""
    before, wild, after = _WILD.split(pattern, maxsplit=1) if _WILD.search(pattern) else (pattern, "", "")
    if not wild:
        yield pattern
        return
    folder, _, start = before.rpartition("/")
    names = host.entries(folder) if wild == "*" else sorted({name.rpartition(":")[0] for name in host.entries(SERVICES)})
    for name in names:
        if name.startswith(start):
            yield from expand(host, f"{folder}/{name}{after}")


def speaks_of(pattern: str) -> str:
    """*pattern* with `*` alone, as a recording's reasons have it."""
    return pattern.replace("%", "*")


def content(host: Host, path: str) -> bytes | None:
    """What a recording keeps of the file at *path*; None where *host* has none."""
    data = host.read(path)
    if data is not None and path in FIRST_PARAGRAPH:
        return data.partition(b"\n\n")[0].rstrip(b"\n") + b"\n"
    return data
