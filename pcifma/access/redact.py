"""A recording without what tells which machine, owner or unit it is: serial numbers, host and guest names, uuids.

What speaks of errors stays: registers, models, firmware versions, slots. Facts are kept by name, not dropped by name, so that
a new parameter or SMBIOS structure does not slip through.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from pcifma.access.image import ImageSpace
from pcifma.access.layout import placed_registers
from pcifma.access.recording import Recording
from pcifma.errors import ShortReadError
from pcifma.regs.bdf import Bdf

# Kernel parameters that decide who hears of errors, by how they start.
_PARAMETERS = (
    "pci=", "pcie_", "pcie_aspm", "aer", "iommu", "intel_iommu", "amd_iommu", "hest_disable", "ghes.", "erst_disable", "einj",
    "bert_disable", "acpi", "apic", "noapic", "nolapic", "mce", "ras", "iomem=", "lockdown", "xen", "console=hvc", "nox2apic",
    "vfio", "pciback", "noirqdebug", "intremap", "nomsi", "efi=", "mmio", "dom0", "hugepages", "isolcpus", "quiet",
)  # fmt: skip

# Rows of /proc/interrupts that count errors or port events; others may be called after guests and network interfaces.
_ROWS = re.compile(r"aerdrv|pcie-dpc|PCIe PME|pciehp|PCIe bwctrl|^\s*(NMI|MCE|MCP|ERR|MIS|THR|DFR):")

# SMBIOS structures without serial numbers or asset tags: firmware, slots, on-board devices, the end (DSP0134 7).
_STRUCTURES = frozenset({0, 9, 41, 127})


def redact(recording: Recording) -> Recording:
    """*recording* without identifying facts. The same serial number stays the same made-up one throughout."""
    serials: dict[int, int] = {}

    def made_up(number: int) -> int:
        return number >> 40 << 40 | serials.setdefault(number, len(serials) + 1)

    kept = {path: data for path, data in recording.files.items() if path not in _DROPPED and not _GUEST.fullmatch(path)}
    files = {path: _FILES.get(path, bytes)(data) for path, data in kept.items()}
    return replace(
        recording,
        about="recorded and redacted",
        links={path: text for path, text in recording.links.items() if not path.startswith(_UUIDS)},
        images={bdf: without_serial(bdf, rows, made_up) for bdf, rows in recording.images.items()},
        files=files,
    )


def without_serial(bdf: Bdf, rows: Mapping[int, bytes], made_up: Callable[[int], int]) -> Mapping[int, bytes]:
    """*rows* of a Function's bytes with what *made_up* gives for its Device Serial Number in that one's place."""
    # The serial number is an EUI-64: its upper 24 bits name the maker and stay (PCIe Base Spec 7.9.3).
    image = ImageSpace(bdf, rows)
    place = next((p.offset for p in placed_registers(image.read, image.size) if str(p.location) == "ECAP_DSN+4.l"), None)
    if place is None:
        return rows
    try:
        number = int.from_bytes(image.read(place, 8), "little")
    except ShortReadError:
        return rows
    put = made_up(number).to_bytes(8, "little")
    return {at: bytes(put[i - place] if place <= i < place + 8 else byte for i, byte in enumerate(row, at)) for at, row in rows.items()}


def redacted_file(path: str, data: bytes) -> bytes:
    """The fact at *path* as a redacted recording has it."""
    return _FILES.get(path, bytes)(data)


def _cmdline(data: bytes) -> bytes:
    words = data.decode("utf-8", "replace").split()
    return (" ".join(word for word in words if word.startswith(_PARAMETERS)) + "\n").encode()


def _interrupts(data: bytes) -> bytes:
    head, *rows = data.decode("utf-8", "replace").splitlines() or [""]
    return "".join(f"{line}\n" for line in [head, *(row for row in rows if _ROWS.search(row))]).encode()


def _dmi(data: bytes) -> bytes:
    # Structures stand back to back, each with its strings and two zero bytes behind it (DSP0134 6.1).
    kept, at = b"", 0
    while at + 4 <= len(data) and data[at + 1] >= 4 and (end := data.find(b"\0\0", at + data[at + 1])) >= 0:
        if data[at] in _STRUCTURES:
            kept += data[at : end + 2]
        at = end + 2
    return kept


def _cpuinfo(data: bytes) -> bytes:
    lines = data.decode("utf-8", "replace").splitlines(keepends=True)
    return "".join(line for line in lines if not line.lower().startswith("serial")).encode()


def _domain_uuid(data: bytes) -> bytes:
    # Dom0's is zero, and that is worth knowing.
    return data if not data.strip(b"0-\n") else b"<redacted>\n"


_GUEST = re.compile(r"/xenstore/local/domain/[^/]*/name")
_DROPPED = frozenset({"/proc/sys/kernel/random/boot_id"})

# VMBus names devices by uuids.
_UUIDS = "/sys/bus/vmbus/"

_FILES: dict[str, Callable[[bytes], bytes]] = {
    "/proc/cmdline": _cmdline,
    "/proc/cpuinfo": _cpuinfo,
    "/proc/interrupts": _interrupts,
    "/proc/sys/kernel/hostname": lambda data: b"redacted\n",
    "/sys/firmware/dmi/tables/DMI": _dmi,
    "/sys/hypervisor/uuid": _domain_uuid,
}
