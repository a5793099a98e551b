"""What lspci 3.14 does not show: each such bit is either named here, by hand from the specification, or kept as unknown.

The list of blind bits comes with the corpus; a second list of words, at absolute offsets, with its mutated Functions.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from support import bytereader
from support.dump import CORPUS, Dumped, needs_corpus, read_dump

from pcifma.regs.catalogue import BY_KEY
from pcifma.regs.chain import walk
from pcifma.regs.exp import DevType
from pcifma.regs.table import Register
from pcifma.regs.word import decode_word

pytestmark = needs_corpus

ROOT = ("Root Port", "Root Complex Event Collector")
EVERY = (
    "Endpoint",
    "Legacy Endpoint",
    "Root Port",
    "Upstream Port",
    "Downstream Port",
    "Root Complex Integrated Endpoint",
    "Root Complex Event Collector",
)
TYPES = dict(
    zip(
        EVERY,
        (
            DevType.ENDPOINT,
            DevType.LEGACY_ENDPOINT,
            DevType.ROOT_PORT,
            DevType.UPSTREAM_PORT,
            DevType.DOWNSTREAM_PORT,
            DevType.RCIEP,
            DevType.RCEC,
        ),
        strict=True,
    )
)

# Register in the list of blind bits: our key, and of its blind bits those that the specification names.
NAMED: dict[str, tuple[str, dict[int, str]]] = {
    "Status": ("header.status", {0: "Immediate Readiness"}),
    "Secondary Status": ("header.secondary_status", {}),
    "Device Status": ("exp.device_status", {6: "Emergency Power Reduction Detected"}),
    "UE Status": ("aer.uncorrectable_error_status", {0: "Undefined"}),
    "UE Mask": ("aer.uncorrectable_error_mask", {0: "Undefined"}),
    "UE Severity": ("aer.uncorrectable_error_severity", {0: "Undefined"}),
    "CE Status": ("aer.correctable_error_status", {}),
    "CE Mask": ("aer.correctable_error_mask", {}),
    "AER Cap and Control": (
        "aer.advanced_error_capabilities_and_control",
        {
            **dict.fromkeys(range(13, 18), "Header Log Size"),
            18: "Logged TLP was Flit Mode",
            **dict.fromkeys(range(19, 24), "Logged TLP Size"),
        },
    ),
    "DPC Capability": ("dpc.dpc_capability", {13: "RP PIO Log Size [4]"}),
    "DPC Control": ("dpc.dpc_control", {8: "DPC SIG_SFW Enable"}),
    "DPC Status": ("dpc.dpc_status", {13: "DPC SIG_SFW Status"}),
    "RP PIO Status": (
        "dpc.rp_pio_status",
        {
            **{0 + i: f"Cfg {what}" for i, what in enumerate(("UR Cpl", "CA Cpl", "CTO"))},
            **{8 + i: f"I/O {what}" for i, what in enumerate(("UR Cpl", "CA Cpl", "CTO"))},
            **{16 + i: f"Mem {what}" for i, what in enumerate(("UR Cpl", "CA Cpl", "CTO"))},
        },
    ),
    "Root Control": ("exp.root_control", {5: "No NFM Subtree Below This Root Port"}),
    "Root Status": ("exp.root_status", {}),
    "Slot Status": ("exp.slot_status", {}),
}
# lspci prints these whole, or only for types that have them, where the tests against its text look at them.
ELSEWHERE = {
    "Link Status": "exp.link_status",
    "Header Log 0": "aer.header_log_0",
    "Header Log 3": "aer.header_log_3",
    "Root Error Command": "aer.root_error_command",
    "Root Error Status": "aer.root_error_status",
    "Error Source Id": "aer.error_source_identification",
    "TLP Prefix Log 0 / Header Log 4": "aer.tlp_prefix_log_0",
    "DPC Error Source": "dpc.dpc_error_source_id",
}


@cache
def blind() -> dict[str, dict[str, list[int]]]:
    told: dict[str, dict[str, list[int]]] = json.loads((CORPUS / "oracle-blind-bits.json").read_text())
    return told


def row(key: str) -> Register:
    table, _, name = key.partition(".")
    return BY_KEY[table][name]


def test_every_blind_register_is_looked_at() -> None:
    assert set(blind()) == set(NAMED) | set(ELSEWHERE)


@pytest.mark.parametrize("name", NAMED)
def test_blind_bits_are_named_by_the_specification_or_kept_as_unknown(name: str) -> None:
    key, named = NAMED[name]
    for bits in blind()[name].values():
        for bit in bits:
            (part,) = decode_word(row(key), 1 << bit)
            assert part.title == named.get(bit, f"unknown {1 << bit:#x}")


@pytest.mark.parametrize("name", ELSEWHERE)
def test_types_that_lspci_shows_no_register_for_have_none(name: str) -> None:
    register = row(ELSEWHERE[name])
    whole = {t for t, bits in blind()[name].items() if len(bits) == 8 * register.width}
    if name.startswith("TLP Prefix"):
        assert whole == set(EVERY)  # lspci never shows it; here Functions other than PCIe-to-PCI bridges have it
    else:
        assert not {t for t in whole if register.matches(TYPES[t])}


# Words that were changed in real images, by absolute offset.
CHANGED = {
    "Status": "header.status",
    "Secondary Status": "header.secondary_status",
    "Device Control": "exp.device_control",
    "Device Status": "exp.device_status",
    "Link Status": "exp.link_status",
    "Slot Status": "exp.slot_status",
    "Root Control": "exp.root_control",
    "Root Status": "exp.root_status",
    "UE Status": "aer.uncorrectable_error_status",
    "UE Mask": "aer.uncorrectable_error_mask",
    "UE Severity": "aer.uncorrectable_error_severity",
    "CE Status": "aer.correctable_error_status",
    "CE Mask": "aer.correctable_error_mask",
    "AER Capabilities and Control": "aer.advanced_error_capabilities_and_control",
    **{f"Header Log {i}": f"aer.header_log_{i}" for i in range(4)},
    "Root Error Command": "aer.root_error_command",
    "Root Error Status": "aer.root_error_status",
    "Error Source Identification": "aer.error_source_identification",
    "DPC Control": "dpc.dpc_control",
    "DPC Status": "dpc.dpc_status",
    "DPC Error Source ID": "dpc.dpc_error_source_id",
    "MSI Control": "msi.message_control",
    "MSI-X Control": "msix.message_control",
}


def manifest() -> dict[str, dict[str, Any]]:
    told: dict[str, dict[str, Any]] = json.loads((CORPUS / "fuzz-sample" / "fuzz-2026.manifest.json").read_text())["files"]
    return told


def test_changed_words_are_found_where_they_were_put() -> None:
    seen = 0
    for name, told in manifest().items():
        functions = {f.bdf: f for f in read_dump(CORPUS / "fuzz-sample" / name)}
        for bdf, change in told.items():
            function = functions[bdf if bdf.count(":") == 2 else f"0000:{bdf}"]
            if change["damage"] is None:
                seen += check(function, change["changes"])
    assert seen > 3000


def check(function: Dumped, changes: list[list[Any]]) -> int:
    offsets = {c.name: c.offset for c in reversed(walk(function.read, len(function.data)).capabilities)}
    known = [c for c in changes if c[0] in CHANGED]
    for name, offset, width, _, word in known:
        key = CHANGED[name]
        register, capability = row(key), BY_KEY[key.partition(".")[0]]
        assert offsets.get(capability.name, 0) + register.offset == offset, (function.bdf, name)
        assert (register.width, bytereader.number(function.data, offset, width)) == (width, word), (function.bdf, name)
    return len(known)
