"""Whose processors these are, as members of a record: what the kernel says, and under Xen what the hypervisor says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pcifma.access.seam import Host

_VENDORS = {"GenuineIntel": "intel", "AuthenticAMD": "amd", "HygonGenuine": "hygon"}


@dataclass(frozen=True, slots=True)
class Processors:
    """*vendor*, *cpuid* (leaf 1, EAX) as records have them; *numbers*: the hypervisor's number of a processor by its APIC id.

    *flags* are the kernel's words for what the processor can do; *apicids* the APIC id of each processor that the kernel has;
    *places* the socket and core of each; *mcg_cap* is IA32_MCG_CAP where the hypervisor says it.
    """

    vendor: str
    cpuid: int
    flags: frozenset[str] = frozenset()
    apicids: Mapping[int, int] = field(default_factory=dict)
    numbers: Mapping[int, int] = field(default_factory=dict)
    mcg_cap: int | None = None
    places: Mapping[int, tuple[int, int]] = field(default_factory=dict)

    def members(self) -> dict[str, str]:
        """As a record has them; a vendor byte of others means something else with every writer, and is not used."""
        return {"vendor": self.vendor, "cpuid": f"{self.cpuid:#x}"}


def processors(host: Host) -> Processors:
    """What /proc/cpuinfo says."""
    blocks = [_block(text) for text in (host.read("/proc/cpuinfo") or b"").decode("utf-8", "replace").split("\n\n") if text.strip()]
    first = blocks[0] if blocks else {}
    family, model, step = (_number(first, name) for name in ("cpu family", "model", "stepping"))
    apicids = {_number(block, "processor"): _number(block, "apicid") for block in blocks if "apicid" in block}
    places = {_number(b, "processor"): (_number(b, "physical id"), _number(b, "core id")) for b in blocks if "core id" in b}
    return Processors(
        _VENDORS.get(first.get("vendor_id", ""), first.get("vendor_id", "")),
        signature(family, model, step),
        frozenset(first.get("flags", "").split()),
        apicids,
        places=places,
    )


def signature(family: int, model: int, step: int) -> int:
    """CPUID leaf 1, EAX, of that family, model and stepping (SDM 2A, CPUID)."""
    return max(0, family - 15) << 20 | model >> 4 << 16 | min(family, 15) << 8 | (model & 15) << 4 | step & 15


def vendor_of(text: str) -> str:
    """A vendor string of CPUID as records have it."""
    return _VENDORS.get(text, text)


def _block(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def _number(block: Mapping[str, str], name: str) -> int:
    text = block.get(name, "")
    return int(text) if text.isdecimal() else 0
