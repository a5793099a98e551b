"""The kernel's tracepoints of CXL protocol errors as text (drivers/cxl/core/trace.h, Linux 6.2 on): the RAS capability of a device or port.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pcifma.access.kernlog.grammar import LineByLine
from pcifma.access.kernlog.line import BDF, Line
from pcifma.access.kernlog.report import AnyReport, CxlError
from pcifma.regs.bdf import Bdf

_EVENT = re.compile(
    r"cxl_(?:port_)?aer_(?P<un>un)?correctable_error: (?:memdev|device)=(?P<device>\S{1,40}) host=(?P<host>\S{1,40})"
    r"(?: serial[:=] ?\d{1,20})?:? status(?:: |=)'(?P<names>[^']{1,600})"
)
_ADDRESS = re.compile(BDF)
# CXL 3.0, 8.2.4.16: each bit by the kernel's name, with what it says of it left out.
_UNCORRECTABLE = (
    "Cache Data Parity", "Cache Address Parity", "Cache Byte Enable Parity", "Cache Data ECC", "Memory Data Parity",
    "Memory Address Parity", "Memory Byte Enable Parity", "Memory Data ECC", "REINIT Threshold Hit", "Received Unrecognized Encoding",
    "Received Poison From Peer", "Receiver Overflow", "", "", "Component Specific", "IDE Tx", "IDE Rx",
)  # fmt: skip
_CORRECTABLE = (
    "Cache Data ECC", "Memory Data ECC", "CRC Threshold Hit", "Retry Threshold", "Received Cache Poison From Peer",
    "Received Memory Poison From Peer", "Received Error From Physical Layer",
)  # fmt: skip


class Cxl(LineByLine):
    """Grammar of those lines; each is whole."""

    def feed(self, line: Line) -> Iterator[AnyReport]:
        match = _EVENT.search(line.text)
        if match is None:
            return
        bits = _UNCORRECTABLE if match["un"] else _CORRECTABLE
        names = {name.strip().removesuffix(" Error") for name in match["names"].split("|")}
        status = sum(1 << bit for bit, name in enumerate(bits) if name in names)
        # An endpoint has its address as host; a port has itself as device, and its host bridge as host.
        address = next((text for text in (match["host"], match["device"]) if _ADDRESS.fullmatch(text)), None)
        if status:
            yield CxlError(
                line=line.number,
                boot_ns=line.boot_ns,
                wall_ns=line.wall_ns,
                bdf=Bdf.parse(address) if address else None,
                side="uncorrectable" if match["un"] else "correctable",
                status=status,
            )
