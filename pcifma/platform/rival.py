"""Others that clear status bits behind a poller's back, named for each Function."""

from __future__ import annotations

from collections.abc import Mapping

from pcifma.access.seam import Host
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.function import Function

_EDAC = ("/sys/devices/system/edac/pci/check_pci_errors", "/sys/module/edac_core/parameters/check_pci_errors")
_SERVICES = {
    "aer": "AER service at {} (AER, Root Error Status, Device Status)",
    "dpc": "DPC service at {} (AER, DPC and PCI Status)",
    "pciehp": "pciehp at {} (Slot Status)",
    "pcie_bwctrl": "bandwidth control at {} (Link Status)",
}


def edac_clears(host: Host) -> bool:
    """True if EDAC polls PCI Status and writes back bits 15, 14 and 8."""
    return any((host.read(path) or b"").strip() == b"1" for path in _EDAC)


def rivals(fabric: Fabric, function: Function, services: Mapping[str, tuple[str, ...]], *, edac: bool, guest: str) -> list[str]:
    """Who else clears registers of *function*: port services on its path, EDAC, the guest that holds it."""
    found = []
    steps = [*fabric.path(function), *([rcec] if (rcec := fabric.collector(function)) is not None else [])]
    for step in steps:
        near = step.bdf in (function.bdf, function.parent)
        for driver in services.get(str(step.bdf), ()):
            if driver in _SERVICES and (near or driver == "aer"):
                found.append(_SERVICES[driver].format(step.bdf))
    if edac:
        found.append("EDAC PCI polling (Status bits 15, 14 and 8)")
    if guest:
        found.append(f"guest {guest}")
    return found
