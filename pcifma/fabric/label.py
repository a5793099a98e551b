"""Which slot a port leads to, by every source that says so: the site, SMBIOS, the port's own Slot Capabilities, the kernel's slots.

Boards lie in known ways: SMBIOS gives all slots one address, two slots share a sysfs address, or all have one name (`0`, `0-1`,
`0-2`). What names two slots names none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from pcifma.access.seam import Host
from pcifma.fabric.function import Function, Slot
from pcifma.fabric.site import site_labels
from pcifma.fabric.smbios import TABLE, plain, system_slots
from pcifma.regs.bdf import Bdf

SLOTS = "/sys/bus/pci/slots"

Label = tuple[str, str]


def slots(functions: Iterable[Function], numbers: Mapping[Bdf, int], host: Host) -> dict[Bdf, Slot]:
    """The slot below each port that has one; *numbers* are the Physical Slot Numbers by port. Trusted most comes first."""
    site, smbios, sysfs = site_labels(host), _smbios(host), _sysfs(host)
    found = {}
    for port in functions:
        if port.bus_range is None:
            continue
        number = numbers.get(port.bdf)
        own = [(f"Slot {number}", "slot-capability")] if number else []
        labels = [*_labels(port, site, "site"), *_labels(port, smbios, "smbios"), *own, *_sysfs_labels(port, sysfs)]
        if labels:
            (label, source), *others = labels
            found[port.bdf] = Slot(label, source, number or None, tuple(others))
    return found


def _smbios(host: Host) -> dict[Bdf, str]:
    named = [(s.address, s.designation) for s in system_slots(host.read(TABLE) or b"") if s.address is not None]
    times = Counter(address for address, _ in named)
    return {address: designation for address, designation in named if times[address] == 1}


def _labels(port: Function, named: Mapping[Bdf, str], source: str) -> list[Label]:
    # The address of the card, or of the port above it: both are in use.
    assert port.bus_range is not None
    found = [text for at, text in named.items() if at == port.bdf or (at.segment, at.bus) == (port.bdf.segment, port.bus_range[0])]
    return [(found[0], source)] if len(found) == 1 else []


def _sysfs(host: Host) -> dict[str, str]:
    named = {name: (host.read(f"{SLOTS}/{name}/address") or b"").decode(errors="replace").strip() for name in host.entries(SLOTS)}
    times = Counter(named.values())
    # The kernel tells slots of one name apart by -1, -2, …: then firmware gave that name to several, and it says nothing.
    shared = {name.rpartition("-")[0] for name in named if name.rpartition("-")[2].isdigit()}
    return {
        address: plain(name)
        for name, address in named.items()
        if address and times[address] == 1 and name not in shared and name.rpartition("-")[0] not in named
    }


def _sysfs_labels(port: Function, sysfs: Mapping[str, str]) -> list[Label]:
    assert port.bus_range is not None
    name = sysfs.get(f"{port.bdf.segment:04x}:{port.bus_range[0]:02x}:00")
    if not name:
        return []
    return [(f"Slot {name}" if name.isdigit() else name, "sysfs")]
