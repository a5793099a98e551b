"""What setpci calls capabilities and header registers (`setpci --dumpregs`), so that every name here can be pasted there.

The names are those that setpci has had since 3.9; later ones (`ECAP_32GT`) are understood, but written by number (`ECAP2a`), as
capabilities without any name are, so that an older setpci takes them too.
"""

from __future__ import annotations

import re

STANDARD: dict[int, str] = {
    0x01: "CAP_PM",
    0x02: "CAP_AGP",
    0x03: "CAP_VPD",
    0x04: "CAP_SLOTID",
    0x05: "CAP_MSI",
    0x06: "CAP_CHSWP",
    0x07: "CAP_PCIX",
    0x08: "CAP_HT",
    0x09: "CAP_VNDR",
    0x0A: "CAP_DBG",
    0x0B: "CAP_CCRC",
    0x0C: "CAP_HOTPLUG",
    0x0D: "CAP_SSVID",
    0x0E: "CAP_AGP3",
    0x0F: "CAP_SECURE",
    0x10: "CAP_EXP",
    0x11: "CAP_MSIX",
    0x12: "CAP_SATA",
    0x13: "CAP_AF",
    0x14: "CAP_EA",
}

EXTENDED: dict[int, str] = {
    0x01: "ECAP_AER",
    0x02: "ECAP_VC",
    0x03: "ECAP_DSN",
    0x04: "ECAP_PB",
    0x05: "ECAP_RCLINK",
    0x06: "ECAP_RCILINK",
    0x07: "ECAP_RCEC",
    0x08: "ECAP_MFVC",
    0x09: "ECAP_VC2",
    0x0A: "ECAP_RBCB",
    0x0B: "ECAP_VNDR",
    0x0D: "ECAP_ACS",
    0x0E: "ECAP_ARI",
    0x0F: "ECAP_ATS",
    0x10: "ECAP_SRIOV",
    0x11: "ECAP_MRIOV",
    0x12: "ECAP_MCAST",
    0x13: "ECAP_PRI",
    0x15: "ECAP_REBAR",
    0x16: "ECAP_DPA",
    0x17: "ECAP_TPH",
    0x18: "ECAP_LTR",
    0x19: "ECAP_SECPCI",
    0x1A: "ECAP_PMUX",
    0x1B: "ECAP_PASID",
    0x1C: "ECAP_LNR",
    0x1D: "ECAP_DPC",
    0x1E: "ECAP_L1PM",
    0x1F: "ECAP_PTM",
    0x20: "ECAP_M_PCIE",
    0x21: "ECAP_FRS",
    0x22: "ECAP_RTR",
    0x23: "ECAP_DVSEC",
    0x24: "ECAP_VF_REBAR",
    0x25: "ECAP_DLNK",
    0x26: "ECAP_16GT",
    0x27: "ECAP_LMR",
    0x28: "ECAP_HIER_ID",
    0x29: "ECAP_NPEM",
}

# Header registers: offset and width in bytes. Names of CardBus bridges start with CB_.
HEADER: dict[str, tuple[int, int]] = {
    "VENDOR_ID": (0x00, 2),
    "DEVICE_ID": (0x02, 2),
    "COMMAND": (0x04, 2),
    "STATUS": (0x06, 2),
    "REVISION": (0x08, 1),
    "CLASS_PROG": (0x09, 1),
    "CLASS_DEVICE": (0x0A, 2),
    "CACHE_LINE_SIZE": (0x0C, 1),
    "LATENCY_TIMER": (0x0D, 1),
    "HEADER_TYPE": (0x0E, 1),
    "BIST": (0x0F, 1),
    **{f"BASE_ADDRESS_{i}": (0x10 + 4 * i, 4) for i in range(6)},
    "CARDBUS_CIS": (0x28, 4),
    "SUBSYSTEM_VENDOR_ID": (0x2C, 2),
    "SUBSYSTEM_ID": (0x2E, 2),
    "ROM_ADDRESS": (0x30, 4),
    "CAPABILITIES": (0x34, 1),
    "INTERRUPT_LINE": (0x3C, 1),
    "INTERRUPT_PIN": (0x3D, 1),
    "MIN_GNT": (0x3E, 1),
    "MAX_LAT": (0x3F, 1),
    "PRIMARY_BUS": (0x18, 1),
    "SECONDARY_BUS": (0x19, 1),
    "SUBORDINATE_BUS": (0x1A, 1),
    "SEC_LATENCY_TIMER": (0x1B, 1),
    "IO_BASE": (0x1C, 1),
    "IO_LIMIT": (0x1D, 1),
    "SEC_STATUS": (0x1E, 2),
    "MEMORY_BASE": (0x20, 2),
    "MEMORY_LIMIT": (0x22, 2),
    "PREF_MEMORY_BASE": (0x24, 2),
    "PREF_MEMORY_LIMIT": (0x26, 2),
    "PREF_BASE_UPPER32": (0x28, 4),
    "PREF_LIMIT_UPPER32": (0x2C, 4),
    "IO_BASE_UPPER16": (0x30, 2),
    "IO_LIMIT_UPPER16": (0x32, 2),
    "BRIDGE_ROM_ADDRESS": (0x38, 4),
    "BRIDGE_CONTROL": (0x3E, 2),
    "CB_CARDBUS_BASE": (0x10, 4),
    "CB_CAPABILITIES": (0x14, 2),
    "CB_SEC_STATUS": (0x16, 2),
    "CB_BUS_NUMBER": (0x18, 1),
    "CB_CARDBUS_NUMBER": (0x19, 1),
    "CB_SUBORDINATE_BUS": (0x1A, 1),
    "CB_CARDBUS_LATENCY": (0x1B, 1),
    "CB_MEMORY_BASE_0": (0x1C, 4),
    "CB_MEMORY_LIMIT_0": (0x20, 4),
    "CB_MEMORY_BASE_1": (0x24, 4),
    "CB_MEMORY_LIMIT_1": (0x28, 4),
    "CB_IO_BASE_0": (0x2C, 2),
    "CB_IO_BASE_0_HI": (0x2E, 2),
    "CB_IO_LIMIT_0": (0x30, 2),
    "CB_IO_LIMIT_0_HI": (0x32, 2),
    "CB_IO_BASE_1": (0x34, 2),
    "CB_IO_BASE_1_HI": (0x36, 2),
    "CB_IO_LIMIT_1": (0x38, 2),
    "CB_IO_LIMIT_1_HI": (0x3A, 2),
    "CB_BRIDGE_CONTROL": (0x3E, 2),
    "CB_SUBSYSTEM_VENDOR_ID": (0x40, 2),
    "CB_SUBSYSTEM_ID": (0x42, 2),
    "CB_LEGACY_MODE_BASE": (0x44, 4),
}


def capability_name(id: int, *, extended: bool) -> str:
    """setpci's name of a capability: `CAP_EXP`, `ECAP_AER`; by number where it has none: `CAP15`, `ECAP2f`."""
    if extended:
        return EXTENDED.get(id) or f"ECAP{id:x}"
    return STANDARD.get(id) or f"CAP{id:x}"


# Names of pciutils 3.10 and later.
_LATER = {"ECAP_32GT": 0x2A, "ECAP_DOE": 0x2E, "ECAP_IDE": 0x30, "ECAP_64GT": 0x31, "ECAP_FL": 0x32}

_BY_NAME: dict[str, tuple[int, bool]] = {
    **{name: (id, False) for id, name in STANDARD.items()},
    **{name: (id, True) for id, name in EXTENDED.items()},
    **{name: (id, True) for name, id in _LATER.items()},
}


def canonical(text: str) -> str | None:
    """The name to use for a capability written as `cap_exp`, `CAP10` or `ECAP0001`; None if setpci would not know it."""
    text = text.upper()
    if text in _BY_NAME:
        id, extended = _BY_NAME[text]
        return capability_name(id, extended=extended)
    match = re.fullmatch(r"(E?)CAP(?:([0-9A-F]{1,2})|(?<=ECAP)([0-9A-F]{3,4}))", text)
    if match is None:
        return None
    return capability_name(int(match[2] or match[3], 16), extended=bool(match[1]))
