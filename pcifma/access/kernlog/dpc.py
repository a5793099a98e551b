"""Downstream Port Containment events and the RP PIO details below them, Linux 4.6 to 7.0."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from pcifma.access.kernlog.grammar import TLP_HEADER, Drafting, Head, head, header_words
from pcifma.access.kernlog.line import BDF, Line
from pcifma.access.kernlog.report import AnyReport, DpcEvent
from pcifma.regs.bdf import Bdf

_WORD = r"0x[0-9a-fA-F]{1,8}"
_REASON = r"unmasked uncorrectable error|ERR_NONFATAL|ERR_FATAL|RP PIO error|software trigger|reserved error"
_EVENT = re.compile(
    r"(?:DPC )?containment event, status:(?P<status>0x[0-9a-fA-F]{1,4})"
    r"(?:,? source:(?P<id>0x[0-9a-fA-F]{1,4}))?"
    rf"(?:[,:] ?(?P<reason>{_REASON})(?: received from (?P<source>{BDF}))?)?"
)
_DETECTED = re.compile(rf"(?:DPC )?(?P<reason>{_REASON}) detected")
_RP_PIO = re.compile(rf"rp_pio_status: (?P<status>{_WORD}), rp_pio_mask: (?P<mask>{_WORD})")
_RP_PIO_MORE = re.compile(rf"RP PIO severity=(?P<severity>{_WORD}), syserror=(?P<syserror>{_WORD}), exception=(?P<exception>{_WORD})")
_IMPSPEC = re.compile(rf"RP PIO ImpSpec Log (?P<word>{_WORD})")


class Dpc(Drafting[Bdf, DpcEvent]):
    """Grammar of containment events, by port."""

    def read(self, line: Line) -> Iterator[AnyReport]:
        found = head(line.text)
        if found is None or not (found.tag == "DPC" or found.driver == "dpc" or found.rest.startswith("DPC ")):
            return
        if match := _EVENT.match(found.rest):
            yield from self._begin(found.bdf, _event(line, found, match), line)
        elif draft := self._drafts.get(found.bdf):
            self._drafts.update(found.bdf, _continued(draft, found.rest), line.number)

    def whole(self, draft: DpcEvent) -> DpcEvent:
        return draft


def _event(line: Line, found: Head, match: re.Match[str]) -> DpcEvent:
    return DpcEvent(
        line=line.number,
        boot_ns=line.boot_ns,
        wall_ns=line.wall_ns,
        bdf=found.bdf,
        status=int(match["status"], 16),
        source_id=int(match["id"], 16) if match["id"] else None,
        source=Bdf.parse(match["source"]) if match["source"] else None,
        reason=match["reason"],
    )


def _continued(draft: DpcEvent, rest: str) -> DpcEvent:
    if match := _DETECTED.match(rest):
        return replace(draft, reason=match["reason"])
    if match := _RP_PIO.match(rest):
        return replace(draft, rp_pio_status=int(match["status"], 16), rp_pio_mask=int(match["mask"], 16))
    if match := _RP_PIO_MORE.match(rest):
        return replace(
            draft,
            rp_pio_severity=int(match["severity"], 16),
            rp_pio_syserror=int(match["syserror"], 16),
            rp_pio_exception=int(match["exception"], 16),
        )
    if match := TLP_HEADER.match(rest):
        return replace(draft, header=header_words(match))
    if match := _IMPSPEC.match(rest):
        return replace(draft, impspec=int(match["word"], 16))
    return draft
