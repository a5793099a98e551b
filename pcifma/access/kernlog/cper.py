"""A PCI Express error section in binary, as firmware wrote it (UEFI Specification, Common Platform Error Record, N.2.7).

Little-endian, 208 bytes: validation bits, port type, version, command and status, device id, serial number, bridge control and
status, the 60-byte PCI Express capability, the 96-byte AER capability from its header on.
"""

from __future__ import annotations

import struct
from dataclasses import replace

from pcifma.access.kernlog.report import CperSection
from pcifma.regs.bdf import Bdf

PCIE_SECTION = "d995e954-bbc1-430f-ad91-b44dcb3c6f35"

_BODY = struct.Struct("<QIIHHI HH3sBBHBBHB II HH 60x")
_AER = struct.Struct("<IIIIIIIIIIIII HH")
_AER_AT = _BODY.size

_HAS_PORT, _HAS_COMMAND, _HAS_DEVICE, _HAS_SERIAL, _HAS_BRIDGE, _HAS_AER = 0x01, 0x04, 0x08, 0x10, 0x20, 0x80
_AER_NAMES = (
    "aer_uncor_status",
    "aer_uncor_mask",
    "aer_uncor_severity",
    "aer_cor_status",
    "aer_cor_mask",
    "cap_control",
)


def decode(section: CperSection) -> CperSection:
    """*section* with what its raw bytes say, where they are a PCI Express section; unchanged where they are too few."""
    if len(section.raw) < _BODY.size:
        return section
    valid, port, _, command, status, _, vendor, device, code, fn, dev, segment, bus, _, slot, _, low, high, secondary, bridge = (
        _BODY.unpack_from(section.raw)
    )
    if valid & _HAS_DEVICE:
        bdf = Bdf(segment, bus, dev & 0x1F, fn & 7)
        section = replace(section, bdf=bdf, vendor=vendor, device=device, slot=slot >> 3, class_code=code[::-1].hex())
    if valid & _HAS_PORT:
        section = replace(section, port_type=port)
    if valid & _HAS_COMMAND:
        section = replace(section, command=command, status=status)
    if valid & _HAS_SERIAL:
        section = replace(section, serial=(low, high))
    if valid & _HAS_BRIDGE:
        section = replace(section, secondary_status=secondary, bridge_control=bridge)
    if valid & _HAS_AER and len(section.raw) >= _AER_AT + _AER.size:
        section = _with_aer(section)
    return replace(section, section_type="PCIe error")


def _with_aer(section: CperSection) -> CperSection:
    _, *rest = _AER.unpack_from(section.raw, _AER_AT)
    # Words from Root Error Command on are left out: for a Function that is no Root Port they overlay other things.
    return replace(section, words={**section.words, **dict(zip(_AER_NAMES, rest[:6], strict=True))}, header=tuple(rest[6:10]))
