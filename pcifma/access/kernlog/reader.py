"""All reports of a log, in the order of their first lines: every grammar reads along, in one pass, with bounded memory.

A new grammar is one file and one row in GRAMMARS.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import BinaryIO

from pcifma.access.kernlog.aer import Aer
from pcifma.access.kernlog.dpc import Dpc
from pcifma.access.kernlog.eeh import Eeh
from pcifma.access.kernlog.esxi import Esxi
from pcifma.access.kernlog.fma import Fma
from pcifma.access.kernlog.ghes import Ghes
from pcifma.access.kernlog.grammar import Grammar
from pcifma.access.kernlog.line import Line, lines
from pcifma.access.kernlog.lspci import Lspci
from pcifma.access.kernlog.old import Old
from pcifma.access.kernlog.pciconf import Pciconf
from pcifma.access.kernlog.phb import Phb
from pcifma.access.kernlog.ras import Ras
from pcifma.access.kernlog.report import AnyReport
from pcifma.access.kernlog.trace import Trace

GRAMMARS: tuple[Callable[[], Grammar], ...] = (Aer, Dpc, Old, Ghes, Eeh, Phb, Trace, Ras, Esxi, Fma, Pciconf, Lspci)


def reports(source: BinaryIO) -> Iterator[AnyReport]:
    """What *source* reports. Text that is none of the known forms is passed over."""
    return found(lines(source))


def found(messages: Iterable[Line]) -> Iterator[AnyReport]:
    """What *messages* report."""
    grammars = [grammar() for grammar in GRAMMARS]
    ordinal = count()
    waiting: list[tuple[int, int, AnyReport]] = []
    for line in messages:
        for grammar in grammars:
            for report in grammar.feed(line):
                heapq.heappush(waiting, (report.line, next(ordinal), report))
        if waiting:
            yield from _ready(waiting, min((n for g in grammars if (n := g.oldest()) is not None), default=line.number + 1))
    for grammar in grammars:
        for report in grammar.close():
            heapq.heappush(waiting, (report.line, next(ordinal), report))
    yield from _ready(waiting, None)


def _ready(waiting: list[tuple[int, int, AnyReport]], oldest: int | None) -> Iterator[AnyReport]:
    # A report may go once none that began before it is still under way.
    while waiting and (oldest is None or waiting[0][0] <= oldest):
        yield heapq.heappop(waiting)[2]
