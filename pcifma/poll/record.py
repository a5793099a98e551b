"""The raw record of one snapshot: payload of `ereport.io.pci.fabric`, illumos's names for the words that were read."""

from __future__ import annotations

from collections.abc import Mapping

from pcifma.event.value import PayloadValue
from pcifma.fabric.function import Function
from pcifma.plugin.watch import Target
from pcifma.poll.snapshot import PRESENCE
from pcifma.regs.exp import DevType
from pcifma.regs.table import Location

_PCI_PSEUDO = 0x101  # illumos's dev_type of a Function without a PCI Express capability
_ROOT = frozenset({DevType.ROOT_PORT, DevType.RCEC})
_BRIDGE = frozenset({DevType.PCIE_TO_PCI_BRIDGE})

# illumos's payload member, and the register it comes from (facts: payload of ereport.io.pci.fabric).
_ANY = (
    ("pci_command", "4.w"),
    ("pci_status", "6.w"),
    ("pcie_dev_cap", "CAP_EXP+4.l"),
    ("pcie_command", "CAP_EXP+8.w"),
    ("pcie_status", "CAP_EXP+a.w"),
    ("pcie_slot_cap", "CAP_EXP+14.l"),
    ("pcie_slot_control", "CAP_EXP+18.w"),
    ("pcie_slot_status", "CAP_EXP+1a.w"),
    ("pcie_link_status", "CAP_EXP+12.w"),
    ("pcie_ue_status", "ECAP_AER+4.l"),
    ("pcie_ue_mask", "ECAP_AER+8.l"),
    ("pcie_ue_sev", "ECAP_AER+c.l"),
    ("pcie_ce_status", "ECAP_AER+10.l"),
    ("pcie_ce_mask", "ECAP_AER+14.l"),
    ("pcie_adv_ctl", "ECAP_AER+18.l"),
    ("pcie_ue_hdr0", "ECAP_AER+1c.l"),
    ("pcie_ue_hdr1", "ECAP_AER+20.l"),
    ("pcie_ue_hdr2", "ECAP_AER+24.l"),
    ("pcie_ue_hdr3", "ECAP_AER+28.l"),
    ("pcix_command", "CAP_PCIX+2.w"),
    ("pcix_status", "CAP_PCIX+4.l"),
    ("dpc_status", "ECAP_DPC+8.w"),
    ("dpc_source_id", "ECAP_DPC+a.w"),
)
_TYPE_1 = (("pci_bdg_sec_status", "1e.w"), ("pci_bdg_ctrl", "3e.w"))
_ROOT_ONLY = (
    ("pcie_rp_control", "CAP_EXP+1c.w"),
    ("pcie_rp_status", "CAP_EXP+20.l"),
    ("pcie_adv_rp_command", "ECAP_AER+2c.l"),
    ("pcie_adv_rp_status", "ECAP_AER+30.l"),
)
_BRIDGE_ONLY = (
    ("pcie_sue_status", "ECAP_AER+2c.l"),
    ("pcie_sue_mask", "ECAP_AER+30.l"),
    ("pcie_sue_sev", "ECAP_AER+34.l"),
    ("pcie_sue_adv_ctl", "ECAP_AER+38.l"),
    ("pcie_sue_hdr0", "ECAP_AER+3c.l"),
    ("pcie_sue_hdr1", "ECAP_AER+40.l"),
    ("pcie_sue_hdr2", "ECAP_AER+44.l"),
    ("pcie_sue_hdr3", "ECAP_AER+48.l"),
)


def _rows(*tables: tuple[tuple[str, str], ...]) -> tuple[tuple[str, Location], ...]:
    return tuple((name, Location.parse(text)) for table in tables for name, text in table)


_SOURCE_ID = Location("ECAP_AER", 0x34, 4)  # two Requester IDs in one register: correctable below, uncorrectable above
_MEMBERS_ANY = _rows(_ANY)
_MEMBERS_TYPE_1 = _rows(_TYPE_1)
_MEMBERS_ROOT = _rows(_ROOT_ONLY)
_MEMBERS_BRIDGE = _rows(_BRIDGE_ONLY)


def _members(function: Function) -> tuple[tuple[str, Location], ...]:
    found = _MEMBERS_ANY
    if function.header_type == 1:
        found += _MEMBERS_TYPE_1
    if function.dev_type in _ROOT:
        found += _MEMBERS_ROOT
    if function.dev_type in _BRIDGE:
        found += _MEMBERS_BRIDGE
    return found


def payload(function: Function, target: Target, words: Mapping[tuple[Target, Location], int]) -> dict[str, PayloadValue]:
    """The raw record of *function*: who it is, where its capabilities lie, and every word of the snapshot that has a name.

    Words without one of illumos's names follow under `registers`, as `name=value` in setpci's form.
    """
    found: dict[str, PayloadValue] = {
        "bdf": function.bdf.requester_id,
        "device_id": function.device,
        "vendor_id": function.vendor,
        "rev_id": function.revision,
        "dev_type": _PCI_PSEUDO if function.dev_type is None else function.dev_type << 4,
        "pcie_off": function.offset_of("CAP_EXP") or 0,
        "aer_off": function.offset_of("ECAP_AER") or 0,
    }
    named = set()
    for name, location in _members(function):
        word = words.get((target, location))
        if word is not None:
            found[name] = word
            named.add((target, location))
    source = words.get((target, _SOURCE_ID))
    if source is not None and function.dev_type in _ROOT:
        found["pcie_adv_rp_ce_src_id"], found["pcie_adv_rp_ue_src_id"] = source & 0xFFFF, source >> 16
        named.add((target, _SOURCE_ID))
    rest = [f"{_where(key, target)}={word:#x}" for key, word in words.items() if key not in named and key[1] not in PRESENCE]
    if rest:
        found["registers"] = list(rest)
    return found


def _where(key: tuple[Target, Location], own: Target) -> str:
    return str(key[1]) if key[0] == own else f"{key[0]} {key[1]}"
