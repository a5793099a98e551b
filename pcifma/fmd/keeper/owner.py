"""May anybody but us be keeping these registers? The keeper's own check, from sysfs alone; any doubt is somebody.

The daemon decides on more (pcifma/platform); this is what a daemon that has been taken over cannot talk its way around.
"""

from __future__ import annotations

import os
from pathlib import Path

from pcifma.regs.bdf import Bdf

_GUEST_DRIVERS = frozenset({"vfio-pci", "pciback", "xen-pciback", "pci-stub"})
_RIVAL_SERVICES = frozenset({"aer", "dpc"})  # port service drivers whose interrupt handlers read and clear status bits
_TABLE_LIMIT = 1 << 20

# ACPI 6.5, 18.3.2: entries of the Hardware Error Source Table by type; x86 machine check entries grow with their banks.
_HEST_SIZES = {2: 20, 6: 48, 7: 44, 8: 56, 9: 64, 10: 92}
_HEST_BANKED = {0: (40, 32), 1: (48, 44), 11: (48, 44)}  # size without banks, offset of the number of banks
_HEST_BANK_BYTES = 28
_HEST_AER = frozenset({6, 7, 8})
_HEST_GENERIC = frozenset({9, 10})
_FIRMWARE_FIRST = 1


def rival(sys: Path, bdf: Bdf) -> str:
    """Who else keeps the error registers of *bdf*, in a few words; empty if there is no sign of anybody.

    *sys* is the sysfs tree. Root Control is checked by the caller, who reads registers.
    """
    return guest(sys, bdf) or _native(sys, bdf) or _firmware(sys) or _asleep(sys, bdf)


def ports_above(sys: Path, bdf: Bdf) -> tuple[Bdf, ...]:
    """The bridges on the way from the root bus to *bdf*, as the sysfs path names them; empty where the tree is flat."""
    above = []
    for name in _device(sys, bdf).resolve().parts[:-1]:
        try:
            above.append(Bdf.parse(name))
        except ValueError:
            continue
    return tuple(above)


def _device(sys: Path, bdf: Bdf) -> Path:
    return sys / "bus/pci/devices" / str(bdf)


def _driver(device: Path) -> str:
    try:
        return os.path.basename(os.readlink(device / "driver"))  # noqa: PTH115,PTH119 - the link's own text
    except OSError:
        return ""


def guest(sys: Path, bdf: Bdf) -> str:
    """Which guest's driver holds *bdf*, in a few words; empty if none does."""
    device = _device(sys, bdf)
    driver = _driver(device)
    if driver in _GUEST_DRIVERS or (device / "vfio-dev").exists():
        return f"guest ({driver} holds it)"
    return ""


def _native(sys: Path, bdf: Bdf) -> str:
    try:
        services = sorted((sys / "bus/pci_express/devices").iterdir())
    except FileNotFoundError:
        return ""
    except OSError as err:
        return f"unknown (port services: {err.strerror})"
    bridge = _host_bridge(sys, bdf)
    for service in services:
        if _driver(service) in _RIVAL_SERVICES and _same_bridge(service, bridge, bdf):
            return f"native ({_driver(service)} serves {service.name.partition(':pcie')[0]})"
    return ""


def _host_bridge(sys: Path, bdf: Bdf) -> str:
    parts = _device(sys, bdf).resolve().parts
    return next((name for name in parts if name.startswith("pci") and ":" in name), "")


def _same_bridge(service: Path, bridge: str, bdf: Bdf) -> bool:
    # Ownership goes by host bridge (ACPI _OSC). In a tree without bridges' directories: by segment.
    if bridge:
        return bridge in service.resolve().parts
    return service.name.startswith(f"{bdf.segment:04x}:")


def _firmware(sys: Path) -> str:
    tables = sys / "firmware/acpi/tables"
    if not tables.is_dir():
        # A device tree has no firmware-first sources; a container that hides /sys/firmware hides the answer too.
        return "" if (sys / "firmware/devicetree").is_dir() else "unknown (firmware tables cannot be seen)"
    try:
        with (tables / "HEST").open("rb") as file:
            table = file.read(_TABLE_LIMIT)
    except FileNotFoundError:
        return ""
    except OSError as err:
        return f"unknown (HEST: {err.strerror})"
    return _hest(table)


def _hest(table: bytes) -> str:
    if len(table) < 40 or table[:4] != b"HEST":
        return "unknown (HEST is damaged)"
    at = 40
    for _ in range(int.from_bytes(table[36:40], "little")):
        kind = int.from_bytes(table[at : at + 2], "little")
        size = _entry_size(table, at, kind)
        if size == 0 or at + size > len(table):
            return "unknown (HEST has an entry that cannot be followed)"
        if kind in _HEST_GENERIC or (kind in _HEST_AER and table[at + 6] & _FIRMWARE_FIRST):
            return f"firmware (HEST entry of type {kind})"
        at += size
    return ""


def _entry_size(table: bytes, at: int, kind: int) -> int:
    if at + 2 > len(table):
        return 0
    if kind not in _HEST_BANKED:
        return _HEST_SIZES.get(kind, 0)
    size, banks_at = _HEST_BANKED[kind]
    return size + _HEST_BANK_BYTES * table[at + banks_at] if at + banks_at < len(table) else 0


def _asleep(sys: Path, bdf: Bdf) -> str:
    # A write would wake the Function or a bridge above it: pcifma wakes nothing.
    for each in (bdf, *ports_above(sys, bdf)):
        state = _word(_device(sys, each) / "power_state")
        if state not in ("", "D0", "unknown") or _word(_device(sys, each) / "power/runtime_status") == "suspended":
            return f"asleep ({each} is in {state or 'a low-power state'})"
    return ""


def _word(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(32).strip().decode("ascii", "replace")
    except OSError:
        return ""
