"""Make a sysfs tree of a large machine, for benchmarks: Root Ports, switches, and endpoints of eight Functions.

    python bench/tree.py /dev/shm/tree                  # 1,024 Functions, 4,096 bytes each
    pcifma sweep /dev/shm/tree
    lspci -O sysfs.path=/dev/shm/tree/bus/pci -vvv
    collectd's pcie_errors: AccessDir "/dev/shm/tree/bus/pci"

DIR/bus/pci/devices has a directory a Function, with config and the attributes that the kernel gives; it lies flat, without
links into devices/. Nothing in it depends on chance or time.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.image import DOWNSTREAM, ENDPOINT, ROOT_PORT, UPSTREAM, Image

FUNCTIONS = 1024
DOWNSTREAM_PORTS = 7
ENDPOINT_FUNCTIONS = 8
BUSES_A_UNIT = 2 + DOWNSTREAM_PORTS  # the switch's two buses, and one below each of its ports
COMMAND = 0x0547  # as a driver leaves it: I/O, memory, bus master, parity, SERR#, INTx off


def functions() -> Iterator[Image]:
    """Functions without end (until buses run out): unit after unit of a Root Port, a switch and its endpoints."""
    for unit in range((256 - 1) // BUSES_A_UNIT):
        yield from _unit(unit, 1 + unit * BUSES_A_UNIT)


def _unit(unit: int, bus: int) -> Iterator[Image]:
    last = bus + BUSES_A_UNIT - 1
    yield _port(f"0000:00:{1 + unit // 8:02x}.{unit % 8}", 0x3420, ROOT_PORT, (0, bus, last), slot=unit + 1)
    yield _port(f"0000:{bus:02x}:00.0", 0x8232, UPSTREAM, (bus, bus + 1, last))
    for number in range(DOWNSTREAM_PORTS):
        below = bus + 2 + number
        yield _port(f"0000:{bus + 1:02x}:{number:02x}.0", 0x8233, DOWNSTREAM, (bus + 1, below, below), slot=100 * unit + number)
        for function in range(ENDPOINT_FUNCTIONS):
            yield _endpoint(below, function)


def _port(bdf: str, device: int, kind: int, buses: tuple[int, int, int], *, slot: int | None = None) -> Image:
    vendor = 0x8086 if kind == ROOT_PORT else 0x111D
    header_type = 0x81 if kind == ROOT_PORT else 0x01
    image = Image(bdf, "PCI bridge").header(vendor, device, 0x060400, header_type=header_type).buses(*buses, control=0x0003)
    image.put(4, COMMAND, 2).express(0x40, kind, slot=slot)
    return _msi(image).aer(0x100)


def _endpoint(bus: int, function: int) -> Image:
    image = Image(f"0000:{bus:02x}:00.{function}", "Ethernet controller").header(0x15B3, 0x1017, 0x020000, header_type=0x80)
    image.put(4, COMMAND, 2).put(0x2C, 0x15B3, 2).put(0x2E, 0x0008 + function, 2).express(0x40, ENDPOINT)
    return _msi(image).aer(0x100).extended(0x150, 0x0003).put(0x154, 0x248A0700_00000000 | bus, 8)


def _msi(image: Image) -> Image:
    # One vector, 64-bit address, enabled.
    image.capability(0xA0, 0x05).put(0xA2, 0x0081, 2).put(0xA4, 0xFEE00000, 4).put(0xAC, 0x4021, 2)
    return image


@contextlib.contextmanager
def in_memory(name: str) -> Iterator[Path]:
    """A directory of the benchmark *name* that any user may enter, in memory where there is /dev/shm; removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix=f"pcifma-{name}-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def plant(root: Path, count: int = FUNCTIONS) -> list[Image]:
    """Write *count* Functions below *root*; those that were written. ValueError where there are not as many."""
    made = list(islice(functions(), count))
    if len(made) < count:
        raise ValueError(f"{count} Functions: this machine has buses for {len(made)}")
    for image in made:
        folder = root / "bus/pci/devices" / image.bdf
        (folder / "power").mkdir(parents=True, exist_ok=True)
        (folder / "config").write_bytes(bytes(image.data))
        for name, text in _attributes(image).items():
            (folder / name).write_text(f"{text}\n")
    return made


def _attributes(image: Image) -> dict[str, str]:
    def word(offset: int, width: int) -> int:
        return int.from_bytes(image.data[offset : offset + width], "little")

    return {
        "vendor": f"{word(0, 2):#06x}",
        "device": f"{word(2, 2):#06x}",
        "subsystem_vendor": f"{word(0x2C, 2):#06x}",
        "subsystem_device": f"{word(0x2E, 2):#06x}",
        "class": f"{word(9, 3):#08x}",
        "revision": f"{word(8, 1):#04x}",
        "irq": "16",
        "resource": "\n".join(["0x0000000000000000 0x0000000000000000 0x0000000000000000"] * 7),
        "numa_node": "0",
        "power_state": "D0",
        "power/runtime_status": "active",
        "power/control": "on",
    }


def main() -> int:
    """Make the tree; see the module's words."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, metavar="DIR")
    parser.add_argument("--functions", type=int, default=FUNCTIONS, metavar="N")
    words = parser.parse_args()
    try:
        made = plant(words.root, words.functions)
    except ValueError as err:
        parser.error(str(err))
    print(f"{words.root}: {len(made)} Functions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
