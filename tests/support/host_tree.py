"""The `/` of a made-up machine on disk: a Root Port with an endpoint below it, and facts of the host."""

from __future__ import annotations

import os
from pathlib import Path

from support.image import ENDPOINT, ROOT_PORT, Image

from pcifma.regs.bdf import Bdf

PORT, END = Bdf.parse("0000:00:1c.0"), Bdf.parse("0000:01:00.0")
DEVICES = "sys/bus/pci/devices"
SERIAL = 0x248A07_FFFFA1B2C3


def images() -> tuple[Image, Image]:
    """The registers of both Functions, titled as a recording titles them."""
    port = Image(str(PORT), "0604: 8086:3420 (rev 00)").header(0x8086, 0x3420, 0x060400, header_type=1).buses(0, 1, 1)
    end = Image(str(END), "0200: 15b3:1017 (rev 00)").header(0x15B3, 0x1017, 0x020000)
    return port.express(0x40, ROOT_PORT).aer(), end.express(0x40, ENDPOINT).aer().extended(0x180, 3).put(0x184, SERIAL, 8)


def smbios() -> bytes:
    """A slot between structures with serial numbers; bytes that shells are known to trip over."""
    system = bytes([1, 8, 0, 0, 1, 2, 3, 4]) + b"Maker\0Model\0S/N 12345\0\0"
    slot = bytes([9, 17, 0x25, 0x5C, 1, 0, 0, 4, 3, 0, 0, 10, 13, 0, 0, 1, 0]) + b"Slot 3 100%d \\n\0\0"
    return system + slot + system + bytes([127, 4, 0, 0]) + b"\0\0"


def plant(root: Path) -> Path:
    """Make the machine below *root*, which is returned."""
    for bdf, image, below in zip((PORT, END), images(), ("pci0000:00", f"pci0000:00/{PORT}"), strict=True):
        _plant_function(root, bdf, bytes(image.data), below)
    facts = {
        "proc/cmdline": b"root=UUID=1234 pci=nomsi,noaer host=node7 pcie_ports=native\n",
        "proc/cpuinfo": b"processor: 0\nflags: hypervisor\n\nprocessor: 1\n",
        "proc/interrupts": b"  CPU0\n 24:  1  PCI-MSI  PCIe PME, aerdrv\n 25:  9  PCI-MSI  vif-customer7\nMCE:  0  Machine checks\n",
        "proc/sys/kernel/hostname": b"node7\n",
        "proc/sys/kernel/random/boot_id": b"8a8d4b9c-0000-4000-8000-000000000001\n",
        "sys/hypervisor/uuid": b"c0ffee00-0000-4000-8000-000000000001\n",
        "sys/class/misc/kvm/dev": b"10:232\n",
        f"sys/devices/pci0000:00/{PORT}/msi_irqs/24": b"msi\n",
        f"sys/devices/pci0000:00/{PORT}/{END}/msi_irqs/25": b"msi\n",
        "sys/firmware/acpi/tables/HEST": bytes(range(256)),
        "sys/firmware/dmi/tables/DMI": smbios(),
        "sys/bus/pci/slots/3/address": b"0000:01:00\n",
    }
    for name, data in facts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    (root / "sys/bus/vmbus/devices").mkdir(parents=True)
    (root / "sys/bus/vmbus/devices/00000000-1111").symlink_to("../../../devices/LNXSYSTM:00/00000000-1111")
    service = root / f"sys/devices/pci0000:00/{PORT}/{PORT}:pcie002"
    service.mkdir()
    (service / "driver").symlink_to("../../../../bus/pci_express/drivers/aer")
    (root / "sys/bus/pci_express/devices").mkdir(parents=True)
    (root / f"sys/bus/pci_express/devices/{PORT}:pcie002").symlink_to(f"../../../devices/pci0000:00/{PORT}/{PORT}:pcie002")
    return root


def _plant_function(root: Path, bdf: Bdf, data: bytes, below: str) -> None:
    real = root / "sys/devices" / below / str(bdf)
    (real / "power").mkdir(parents=True)
    (real / "config").write_bytes(data)
    for name, text in {"power_state": "D0", "power/runtime_status": "active", "class": "0x060400", "vendor": "0x8086"}.items():
        (real / name).write_text(f"{text}\n")
    (real / "aer_dev_fatal").write_text("Undefined 0\nDLP 1\nTOTAL_ERR_FATAL 1\n")
    (real / "driver").symlink_to("../../../bus/pci/drivers/pcieport")
    (root / DEVICES).mkdir(parents=True, exist_ok=True)
    (root / DEVICES / str(bdf)).symlink_to(f"../../../devices/{below}/{bdf}")


def files(root: Path) -> dict[str, bytes]:
    """Every file and link (its text) below *root* by its path."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(root))] = os.fsencode(path.readlink())
        elif path.is_file():
            found[str(path.relative_to(root))] = path.read_bytes()
    return found
