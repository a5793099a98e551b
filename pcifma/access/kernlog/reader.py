"""All reports of a log, in the order of their first lines: every grammar reads along, in one pass, with bounded memory.

A new grammar is one file and one row in GRAMMARS.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import BinaryIO

from pcifma.access.kernlog.aer import Aer
from pcifma.access.kernlog.bmc import Bmc
from pcifma.access.kernlog.cxl import Cxl
from pcifma.access.kernlog.dpc import Dpc
from pcifma.access.kernlog.eeh import Eeh
from pcifma.access.kernlog.esxi import Esxi
from pcifma.access.kernlog.fma import Fma
from pcifma.access.kernlog.freeze import Freeze
from pcifma.access.kernlog.ghes import Ghes
from pcifma.access.kernlog.grammar import Grammar
from pcifma.access.kernlog.line import BDF, Line, lines
from pcifma.access.kernlog.lspci import Lspci
from pcifma.access.kernlog.mce import Mce
from pcifma.access.kernlog.memory import Memory
from pcifma.access.kernlog.old import Old
from pcifma.access.kernlog.pciconf import Pciconf
from pcifma.access.kernlog.phb import Phb
from pcifma.access.kernlog.ras import Ras
from pcifma.access.kernlog.report import AnyReport
from pcifma.access.kernlog.trace import Trace
from pcifma.access.kernlog.whea import Whea

# Each grammar, and the words without one of which no line begins a report of it.
GRAMMARS: tuple[tuple[Callable[[], Grammar], tuple[str, ...]], ...] = (
    (Aer, ("AER", "Bus Error", "error status", "aer_status", "] ")),
    (Dpc, ("DPC",)),
    (Old, ("Device Error",)),
    (Ghes, ("[Hardware Error]",)),
    (Eeh, ("EEH",)),
    (Freeze, ("EEH", "PHB#")),
    (Phb, ("PHB", "P7IOC")),
    (Trace, ("aer_event",)),
    (Cxl, ("correctable_error: ",)),
    (Mce, ("Machine ", "_STATUS[", "mce_record:", "CPU ", "MCA: ", "MC:PCPU", " on cpu", "Bank ", "status=")),
    (Memory, ("EDAC MC", "mc_event:", "error(s): ", "Label(s): ")),
    (Ras, ("error: ", "events", "errors")),
    (Esxi, ("error from ",)),
    (Bmc, ("detected on a component", "PCI Express Error", "PCIe Error")),
    (Whea, ("hardware error has occurred", "EventID", "Event ID", "Event 1")),
    (Fma, ("-800", "ereport.", "MSG-ID")),
    (Pciconf, ("@pci", "cap ", "PCI", "atal =", "Corrected =")),
    (Lspci, (": ", ":\t")),
)

# Words that every report has in some of its lines; the lines that follow one belong to it, the others need no grammar at all.
_WORDS = (
    "Error", "error ", "AER", ":    [", "aer_", "DPC", "TLP", "EEH", "PHB", "ereport.", "-800", "nvlist", " = 0x", "Fault class", "MSG-ID",
    "Machine Check", "Machine check", "_STATUS[", "mce_record:", "STATUS", "MCE", "MCA: ", "MC:PCPU", "CMCI on", "BANK ", "status=",
    "Capabilities:", "EDAC MC", "mc_event:", "(s): ",
    "hardware error has", "EventID", "Event ID", "Event 1", "detected on a component",
    "Sta:", "Status:", "Msk:", "@pci", "cap ", "PCI-", "errors",
)  # fmt: skip
_DEVICE = re.compile(rf"[>\s]{{0,16}}{BDF} ")
_NEAR = 16


def reports(source: BinaryIO) -> Iterator[AnyReport]:
    """What *source* reports. Text that is none of the known forms is passed over."""
    return found(lines(source, _Interest()))


class _Interest:
    # Whether a line can be part of a report. Most of a long log is not, and that must cost next to nothing.
    def __init__(self) -> None:
        self._left = 0

    def __call__(self, text: str) -> bool:
        if any(word in text for word in _WORDS) or _DEVICE.match(text):
            self._left = _NEAR
            return True
        self._left -= 1
        return self._left >= 0


def found(messages: Iterable[Line]) -> Iterator[AnyReport]:
    """What *messages* report."""
    grammars = [(grammar(), words) for grammar, words in GRAMMARS]
    ordinal = count()
    waiting: list[tuple[int, int, AnyReport]] = []
    for line in messages:
        for grammar, words in grammars:
            if grammar.oldest() is not None or any(word in line.text for word in words):
                for report in grammar.feed(line):
                    heapq.heappush(waiting, (report.line, next(ordinal), report))
        if waiting:
            yield from _ready(waiting, min((n for g, _ in grammars if (n := g.oldest()) is not None), default=line.number + 1))
    for grammar, _ in grammars:
        for report in grammar.close():
            heapq.heappush(waiting, (report.line, next(ordinal), report))
    yield from _ready(waiting, None)


def _ready(waiting: list[tuple[int, int, AnyReport]], oldest: int | None) -> Iterator[AnyReport]:
    # A report may go once none that began before it is still under way.
    while waiting and (oldest is None or waiting[0][0] <= oldest):
        yield heapq.heappop(waiting)[2]
