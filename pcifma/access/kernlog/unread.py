"""Lines that speak of hardware errors, be it a driver, an IOMMU or an NMI that tells. Where a log has some, and no report that a grammar
knows, it is not a log without errors.
"""

from __future__ import annotations

import re
from typing import BinaryIO

from pcifma.access.kernlog.line import lines

_SPEAKS = re.compile(
    r"PCI-?[eE] Bus Error|error status/mask|aer_status|AER: .{0,40}(?:error (?:message )?receiv|recovery failed)"
    r"|containment event, |EEH: .{0,40}(?:Frozen|Fenced|error)"
    r"|[Mm]achine [Cc]heck (?:Exception|Event|events logged)|Machine Check: \d|MC\d{1,3}_STATUS\[|hardware error has occurred"
    r"|fallen off the bus|CSTS=0xffffffff|[Dd]evice inaccessible|Invalidation Time-?out|Completion-Wait loop timed out|IO_PAGE_FAULT"
    r"|DMAR: \[DMA|PCI system error|IOCK error"
    r"|: 0x[0-9a-fA-F]{1,2}:0x[01]?[0-9a-fA-F]:0x[0-7]\s*$"
    r"|detected on a component at|PCI(?: Express|e) Error \(|Bus (?:Fatal|Uncorrectable|Correctable) Error|PCI [PS]ERR\b"
    r"|WHEA-Logger|WHEA_UNCORRECTABLE|Hardware error from APEI|EDAC MC\d{1,3}: .{0,20}\b(?:CE|UE)\b"
)
_BYTES = re.compile(r"^\s{0,8}[0-9a-f]{2,3}: (?:[0-9a-f]{2} ){15}[0-9a-f]{2}\b")
MOST = 5


def speak_of_errors(source: BinaryIO) -> tuple[int, ...]:
    """The numbers of the first lines of *source* that speak of a hardware error, at most MOST."""
    found: list[int] = []
    for line in lines(source, lambda text: _SPEAKS.search(text) is not None):
        found.append(line.number)
        if len(found) == MOST:
            break
    return tuple(found)


def bytes_begin(source: BinaryIO) -> int | None:
    """The first line of *source* that is a row of configuration space, as lspci prints it; None if there is none."""
    return next((line.number for line in lines(source, lambda text: _BYTES.match(text) is not None)), None)
