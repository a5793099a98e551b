"""The machines of the matrix: a boot is what QEMU starts, a mode is what is made of it; several modes share a boot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..binding import IOMMU
from ..command import Options
from ..topology import DEAF_ENDPOINT, ENDPOINT, Node, Topology, downstream, endpoint, root_port, switch

BRANCHES = 8
ROOT = "rp{branch}"  # the Root Port of a branch; the names of its other Functions end in its number too
DEAF_BRANCHES = 4
PEERS = ("collectd-core",)  # rasdaemon is in every machine
HEST = "hest"  # stands for the table's path, which is known when the machine is made

MSI_OFF: Literal["msi-off"] = "msi-off"
Change = Literal["", "msi-off", "pciback", "vfio-pci", "vfio-pci, held"]


@dataclass(frozen=True, slots=True)
class Mode:
    """One row of the matrix: a boot, the reporting path, what is changed after boot, and pcifma's settings.

    *deaf*: the endpoints cannot report. *control*: pcifma is crippled on purpose, so this row must not be complete.
    """

    name: str
    boot: str
    path_open: bool = True
    change: Change = ""
    deaf: bool = False
    settings: str = ""
    control: bool = False


BOOTS: dict[str, Options] = {
    "linux": {},
    "nomsi": {"cmdline": "pci=nomsi"},
    "noaer": {"cmdline": "pci=noaer"},
    "aspm": {"cmdline": "pcie_aspm=off"},
    "compat": {"cmdline": "pcie_ports=compat"},
    "hest": {"cmdline": "pci=noaer", "extra": ("-acpitable", HEST)},
    "hest-native": {"extra": ("-acpitable", HEST)},
    "xen": {"xen": True},
    "xen-nomsi": {"xen": True, "cmdline": "pci=nomsi"},
    "iommu": {"cmdline": "intel_iommu=on", "extra": IOMMU},
}
MODES = (
    Mode("path closed", "linux", path_open=False),
    Mode("deaf endpoint", "linux", deaf=True),
    Mode("plain, path open", "linux"),
    Mode("root-port MSI off after boot", "linux", change="msi-off"),
    Mode("pci=nomsi", "nomsi"),
    Mode("pci=noaer", "noaer"),
    Mode("pcie_aspm=off", "aspm"),
    Mode("pcie_ports=compat", "compat"),
    Mode("firmware-first HEST, pci=noaer", "hest"),
    Mode("firmware-first HEST, AER granted", "hest-native"),
    Mode("Xen dom0", "xen"),
    Mode("Xen dom0, device with pciback", "xen", change="pciback"),
    Mode("Xen dom0, pci=nomsi", "xen-nomsi"),
    Mode("device on vfio-pci, used", "iommu", change="vfio-pci, held"),
    Mode("device on vfio-pci, unused", "iommu", change="vfio-pci"),
    Mode("control: polling off, path closed", "linux", path_open=False, settings="  registers: false\n", control=True),
    Mode("control: polling off, path open", "linux", settings="  registers: false\n", control=True),
    # Where Linux does not recover, the registers show it all: it has to be one where it does.
    Mode(
        "control: listeners off, device on vfio-pci, used",
        "iommu",
        change="vfio-pci, held",
        settings="plugins: {disable: [aer_listen]}\n",
        control=True,
    ),
)


def topology(boot: str) -> Topology:
    """Return the machine of *boot*: branches that do not hear of each other, so that many cells are tried at a time."""
    deaf = DEAF_BRANCHES if boot == "linux" else 0
    return Topology(tuple(_branch(number, deaf=number > BRANCHES) for number in range(1, BRANCHES + deaf + 1)))


def branches(mode: Mode) -> range:
    """Return the numbers of the branches on which *mode* is tried."""
    return range(BRANCHES + 1, BRANCHES + DEAF_BRANCHES + 1) if mode.deaf else range(1, BRANCHES + 1)


def hest() -> bytes:
    """Return the body of a Hardware Error Source Table: AER of Root Ports and of endpoints, firmware first, for all of them.

    ACPI Specification 18.3.2.4 and 18.3.2.5; flags FIRMWARE_FIRST and GLOBAL.
    """
    sources = ((6, 48), (7, 44))
    entries = b"".join(_source(kind, number, size) for number, (kind, size) in enumerate(sources))
    return len(sources).to_bytes(4, "little") + entries


def _source(kind: int, number: int, size: int) -> bytes:
    head = kind.to_bytes(2, "little") + number.to_bytes(2, "little") + bytes((0, 0, 0b11, 1))
    counts = (1).to_bytes(4, "little") + (1).to_bytes(4, "little")
    return (head + counts).ljust(size, b"\0")


def _branch(number: int, *, deaf: bool) -> Node:
    end = endpoint(f"ep{number}", DEAF_ENDPOINT if deaf else ENDPOINT)
    port = ("ioh3420", "pcie-root-port")[number % 2]
    return root_port(ROOT.format(branch=number), switch(f"up{number}", downstream(f"dn{number}", end)), device=port)
