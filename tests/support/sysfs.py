"""A sysfs tree made by hand: configuration space as plain files, driver links, port services, firmware tables."""

from __future__ import annotations

import os
from pathlib import Path

from support.image import ENDPOINT, ROOT_PORT, Image

UNCORRECTABLE_STATUS, CORRECTABLE_STATUS, ROOT_ERROR_STATUS = 0x104, 0x110, 0x130
DEVICE_STATUS, ROOT_CONTROL = 0x4A, 0x5C
PORT, CARD = "0000:00:03.0", "0000:04:00.0"


def port_image() -> Image:
    """A Root Port with AER."""
    image = Image(f"{PORT[5:]}", "PCI bridge: port").header(0x8086, 0x3C08, 0x060400, header_type=1)
    return image.buses(0, 4, 4).express(0x40, ROOT_PORT).aer()


def card_image() -> Image:
    """An Endpoint with AER."""
    return Image(f"{CARD[5:]}", "Ethernet: card").header(0x15B3, 0x1019, 0x020000).express(0x40, ENDPOINT).aer()


def _relative(target: Path, link: Path) -> str:
    # As the kernel writes them, so that a copy of the tree is a tree.
    return os.path.relpath(target, link.parent)


class Sysfs:
    """The tree at *root*: a bridge 0000:00:03.0 and a card 0000:04:00.0 below it, as sysfs lays them out."""

    def __init__(self, root: Path, *, acpi: bool = True) -> None:
        self.root = root
        self.port = root / "devices/pci0000:00" / PORT
        self.card = self.port / CARD
        self.add(self.port, port_image())
        self.add(self.card, card_image())
        (root / "bus/pci_express/devices").mkdir(parents=True)
        if acpi:
            (root / "firmware/acpi/tables").mkdir(parents=True)

    def add(self, directory: Path, image: Image) -> None:
        """Put a Function at *directory*, its link below bus/pci/devices included."""
        directory.mkdir(parents=True)
        (directory / "config").write_bytes(image.data)
        link = self.root / "bus/pci/devices" / directory.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(_relative(directory, link))

    def bind(self, directory: Path, driver: str) -> None:
        """Give the device at *directory* a driver."""
        home = self.root / "bus/drivers" / driver
        home.mkdir(parents=True, exist_ok=True)
        (directory / "driver").symlink_to(_relative(home, directory / "driver"))

    def service(self, port: Path, suffix: str, driver: str) -> None:
        """Give the port at *port* a port service, as `pcie002` with `aer`."""
        directory = port / f"{port.name}:{suffix}"
        directory.mkdir()
        link = self.root / "bus/pci_express/devices" / directory.name
        link.symlink_to(_relative(directory, link))
        self.bind(directory, driver)

    def hest(self, *entries: bytes) -> None:
        """Give the firmware a Hardware Error Source Table."""
        table = b"HEST".ljust(36, b"\0") + len(entries).to_bytes(4, "little") + b"".join(entries)
        (self.root / "firmware/acpi/tables/HEST").write_bytes(table)

    def put(self, directory: Path, offset: int, value: int, width: int) -> None:
        """Store *value* in the configuration space at *directory*."""
        with (directory / "config").open("r+b") as file:
            file.seek(offset)
            file.write(value.to_bytes(width, "little"))

    def get(self, directory: Path, offset: int, width: int) -> int:
        """The word in the configuration space at *directory*."""
        return int.from_bytes((directory / "config").read_bytes()[offset : offset + width], "little")
