"""A server on which every error is heard: Linux owns AER, the Root Port has MSI, the path through a switch is open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from support.host import FactHost, machine_of
from support.image import DOWNSTREAM, ENDPOINT, ROOT_PORT, UPSTREAM, Image

from pcifma.access.seam import Machine
from pcifma.fabric.build import build
from pcifma.platform.survey import Line, Survey, survey
from pcifma.platform.waiver import Waiver

PORT, UP, DOWN, CARD = "0000:00:03.0", "0000:01:00.0", "0000:02:00.0", "0000:04:00.0"
COMMAND, INTERRUPT_PIN, BRIDGE_CONTROL = 0x04, 0x3D, 0x3E
EXPRESS, MSI, AER = 0x40, 0x80, 0x100
DEVICE_CONTROL, ROOT_CONTROL = EXPRESS + 8, EXPRESS + 0x1C
MSI_CONTROL, MSI_MASK = MSI + 2, MSI + 0x10
UNCORRECTABLE_MASK, CORRECTABLE_MASK, ROOT_ERROR_COMMAND, ROOT_ERROR_STATUS = AER + 8, AER + 0x14, AER + 0x2C, AER + 0x30
SERVICE = f"/sys/bus/pci_express/devices/{PORT}:pcie002/driver"


def facts() -> dict[str, bytes]:
    """A bare-metal Linux with ACPI tables, none of them HEST."""
    return {
        "/proc/cmdline": b"root=/dev/sda1 quiet\n",
        "/proc/cpuinfo": b"processor : 0\nflags : fpu vme sse2\n",
        "/proc/interrupts": b"   CPU0 CPU1\n 26:  3  4  PCI-MSI 49152-edge  PCIe PME, aerdrv\n",
        "/sys/class/dmi/id/sys_vendor": b"Example Computers\n",
        "/sys/firmware/acpi/tables/FACP": b"FACP",
        **{f"/sys/bus/pci/devices/{b}/vendor": b"0x8086\n" for b in (PORT, UP, DOWN, CARD)},
        f"/sys/bus/pci/devices/{PORT}/irq": b"26\n",
        f"/sys/bus/pci/devices/{PORT}/msi_irqs/26": b"msi\n",
    }


def images() -> dict[str, Image]:
    """The Functions by address."""

    def port(bdf: str, kind: int, buses: tuple[int, int, int]) -> Image:
        image = Image(bdf, "Port").header(0x111D, 0x8000 + kind, 0x060400, header_type=1)
        return image.buses(*buses, control=2).express(EXPRESS, kind)

    root = port(PORT, ROOT_PORT, (0, 1, 4)).capability(MSI, 0x05).put(MSI_CONTROL, 0x0101, 2).aer()
    root.put(INTERRUPT_PIN, 1, 1).put(ROOT_ERROR_COMMAND, 7, 4)
    card = Image(CARD, "Card").header(0x15B3, 0x1017, 0x020000).express(EXPRESS, ENDPOINT).aer()
    return {
        PORT: root,
        UP: port(UP, UPSTREAM, (1, 2, 4)).aer(),
        DOWN: port(DOWN, DOWNSTREAM, (2, 4, 4)).aer(),
        CARD: card,
    }


@dataclass
class Server:
    """The machine before it is looked at: change *images*, *host* or *platform* to close the path."""

    images: dict[str, Image] = field(default_factory=images)
    host: FactHost = field(default_factory=lambda: FactHost(facts(), {SERVICE: "../../../bus/pci_express/drivers/aer"}))
    platform: dict[str, str] = field(default_factory=dict)

    def put(self, bdf: str, offset: int, value: int, width: int = 2) -> Server:
        """Store *value* in a register."""
        self.images[bdf].put(offset, value, width)
        return self

    def option(self, word: str) -> Server:
        """Boot with *word*: Linux does not own AER then, and no MSI is set up."""
        self.host.facts["/proc/cmdline"] = f"root=/dev/sda1 {word}\n".encode()
        return self.unserved()

    def unserved(self) -> Server:
        """No AER service anywhere, its registers as firmware leaves them."""
        self.host.links.pop(SERVICE, None)
        self.put(PORT, ROOT_ERROR_COMMAND, 0, 4)
        return self

    def machine(self) -> Machine:
        """The machine as it is now."""
        return machine_of(*self.images.values(), host=self.host, kind="sysfs", platform=self.platform)

    def survey(self, *, may_clear: bool = False, waivers: Sequence[Waiver] = ()) -> Survey:
        """The coverage of all Functions."""
        machine = self.machine()
        return survey(machine, build(machine), may_clear=may_clear, waivers=waivers)

    def line(self, bdf: str = CARD, *, may_clear: bool = False, waivers: Sequence[Waiver] = ()) -> Line:
        """The coverage of one Function."""
        found = self.survey(may_clear=may_clear, waivers=waivers)
        return next(line for line in found.lines if str(line.function.bdf) == bdf)

    def heard(self, bdf: str = CARD) -> tuple[bool | None, bool | None, bool | None]:
        """Correctable, non-fatal, fatal."""
        found = self.line(bdf).coverage.heard
        return found.correctable, found.nonfatal, found.fatal
