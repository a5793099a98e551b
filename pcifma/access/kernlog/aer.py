"""The AER service's messages, Linux 2.6.35 to 7.0, and those that the kernel prints for firmware's AER records (`aer_status:`).

Functions report through each other: drafts are kept by address. The kernel derives layer and agent from the status word
(aer.c); where a text breaks that rule, or prints bits that its own status word has not, the report says so and keeps the words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from pcifma.access.kernlog.grammar import TLP_HEADER, Drafting, Head, head, header_words
from pcifma.access.kernlog.line import BDF, Line
from pcifma.access.kernlog.name import bit_of, severity_of, side_of, side_of_names
from pcifma.access.kernlog.report import AerError, AerMessage, AnyReport, PrintedBit, Side
from pcifma.regs.bdf import Bdf

_SEVERITY = r"(?:Correct(?:ed|able)|Uncorrect(?:ed|able) \((?:Non-)?Fatal\))"
_LAYERS = ("Physical Layer", "Data Link Layer", "Transaction Layer", "Inaccessible", "Unaccessible")
_AGENTS = ("Receiver ID", "Requester ID", "Completer ID", "Transmitter ID", "Unregistered Agent ID")

_MESSAGE = re.compile(
    rf"(?P<multiple>Multiple )?(?P<severity>{_SEVERITY}) error (?:message )?received(?: from|:)? "
    rf"(?:id=(?P<id>[0-9a-fA-F]{{4}})|(?P<source>{BDF}))"
)
_BUS = re.compile(
    rf"(?P<protocol>PCI-?[eE]|CXL) Bus Error: severity=(?P<severity>{_SEVERITY})(?:, ?type=(?P<layer>[^,(]{{1,40}}))?"
    r"(?:, ?(?:id=(?P<id>[0-9a-fA-F]{4}))?\((?P<agent>[^)]{1,40})\)?)?"
)
_DEVICE = re.compile(
    r"device \[(?P<vendor>[0-9a-fA-F]{4}):(?P<device>[0-9a-fA-F]{4})\] error status/mask=(?P<status>[0-9a-fA-F]{8})(?![0-9a-fA-F])"
    r"(?:/(?P<mask>[0-9a-fA-F]{8}))?"
)
_BIT = re.compile(r"\[ {0,2}(?P<bit>\d{1,2})\] (?P<name>[A-Za-z][\w /#.-]{0,60}?) {0,40}(?P<first>\(First\))?\s{0,8}$")
_APEI = re.compile(r"aer_status: 0x(?P<status>[0-9a-fA-F]{8}), aer_mask: 0x(?P<mask>[0-9a-fA-F]{8})")
_APEI_LAYER = re.compile(r"aer_layer=(?P<layer>[^,]{1,40}), aer_agent=(?P<agent>[\w ]{1,40})")
_APEI_SEVERITY = re.compile(r"aer_uncor_severity: 0x(?P<word>[0-9a-fA-F]{8})")

_CORRECTABLE_BITS = 0xF1C1
_UNCORRECTABLE_BITS = 0xFFFFF030  # bit 0 has been undefined since PCIe 1.1


class Aer(Drafting[Bdf, AerError]):
    """Grammar of AER messages."""

    def read(self, line: Line) -> Iterator[AnyReport]:
        found = head(line.text)
        if found is None or found.tag == "DPC" or found.driver == "dpc" or "[Hardware Error]" in line.text:
            return
        if match := _MESSAGE.match(found.rest):
            if ended := self._drafts.end(found.bdf):
                yield whole(ended)
            yield _message(line, found, match)
        elif (started := _started(line, found, self._drafts.get(found.bdf))) is not None:
            yield from self._begin(found.bdf, started, line)
        elif draft := self._drafts.get(found.bdf):
            self._drafts.update(found.bdf, _continued(draft, found.rest), line.number)

    def whole(self, draft: AerError) -> AerError:
        return whole(draft)


def _message(line: Line, found: Head, match: re.Match[str]) -> AerMessage:
    severity = severity_of(match["severity"])
    assert severity is not None
    return AerMessage(
        line=line.number,
        boot_ns=line.boot_ns,
        wall_ns=line.wall_ns,
        port=found.bdf,
        severity=severity,
        multiple=match["multiple"] is not None,
        source=Bdf.parse(match["source"]) if match["source"] else None,
        source_id=int(match["id"], 16) if match["id"] else None,
    )


def _started(line: Line, found: Head, draft: AerError | None) -> AerError | None:
    # A report begins with its Bus Error line; where an excerpt lost that, with the first line that can only stand in a report.
    blank = AerError(line=line.number, boot_ns=line.boot_ns, wall_ns=line.wall_ns, bdf=found.bdf, driver=found.driver)
    if match := _BUS.match(found.rest):
        return _bus(blank, match)
    if match := _APEI.match(found.rest):
        return replace(blank, origin="apei", status=int(match["status"], 16), mask=int(match["mask"], 16))
    if (match := _DEVICE.match(found.rest)) and (draft is None or draft.status is not None):
        return _device(blank, match)
    if draft is None and (bit := _bit(found.rest)) is not None and side_of_names((bit,)) is not None:
        return replace(blank, printed=(bit,))
    return None


def _bus(blank: AerError, match: re.Match[str]) -> AerError:
    layer, agent = (match["layer"] or "").strip(), (match["agent"] or "").strip()
    return replace(
        blank,
        protocol="CXL" if match["protocol"] == "CXL" else "PCIe",
        severity=severity_of(match["severity"]),
        layer=layer if layer in _LAYERS else None,
        agent=agent if agent in _AGENTS else None,
        agent_id=int(match["id"], 16) if match["id"] else None,
    )


def _device(draft: AerError, match: re.Match[str]) -> AerError:
    return replace(
        draft,
        vendor=int(match["vendor"], 16),
        device=int(match["device"], 16),
        status=int(match["status"], 16),
        mask=int(match["mask"], 16) if match["mask"] else None,
    )


def _bit(rest: str) -> PrintedBit | None:
    match = _BIT.match(rest)
    return PrintedBit(int(match["bit"]), match["name"].strip(), match["first"] is not None) if match else None


def _continued(draft: AerError, rest: str) -> AerError:
    if match := _DEVICE.match(rest):
        return _device(draft, match)
    if (bit := _bit(rest)) is not None and bit not in draft.printed:
        return replace(draft, printed=(*draft.printed, bit))
    if match := TLP_HEADER.match(rest):
        return replace(draft, header=header_words(match), flit=match["flit"] is not None)
    if match := _APEI_LAYER.match(rest):
        return replace(draft, layer=match["layer"].strip(), agent=match["agent"].strip())
    if match := _APEI_SEVERITY.match(rest):
        return replace(draft, uncorrectable_severity=int(match["word"], 16))
    return draft


def whole(draft: AerError) -> AerError:
    """*draft* with what follows from all of its lines: which register, the first error, and what does not fit."""
    side = _side(draft)
    first = next((p.bit for p in draft.printed if p.first), None)
    return replace(draft, side=side, first_error=first, doubts=tuple(_doubts(draft, side)))


def _side(draft: AerError) -> Side | None:
    # The best witness first: what the kernel says, what it prints, and last the bits that only one register has.
    if draft.severity is not None:
        return side_of(draft.severity)
    if draft.uncorrectable_severity is not None:
        return "uncorrectable"
    return side_of_names(draft.printed) or _side_of_agent(draft) or _side_of_bits(draft.status or 0)


def _side_of_agent(draft: AerError) -> Side | None:
    if draft.agent in ("Requester ID", "Completer ID"):
        return "uncorrectable"
    return "correctable" if draft.agent == "Transmitter ID" or draft.layer == "Physical Layer" else None


def _side_of_bits(status: int) -> Side | None:
    if status & ~_CORRECTABLE_BITS:
        return "uncorrectable"
    return "correctable" if status & ~_UNCORRECTABLE_BITS else None


def _doubts(draft: AerError, side: Side | None) -> Iterator[str]:
    if side is None or draft.status is None:
        return
    for printed in draft.printed:
        if printed.bit is not None and not (draft.status & ~(draft.mask or 0)) >> printed.bit & 1:
            yield f"bit {printed.bit} ({printed.text}) is printed, but not set and unmasked in the status word"
        known = bit_of(printed.text, side)
        if known is not None and known != printed.bit:
            yield f"{printed.text} is bit {known}, not {printed.bit}"
    if draft.layer in _LAYERS[:3] and draft.layer != _layer_of(side, draft.status):
        yield f"type={draft.layer} does not follow from the status word"
    if draft.agent in _AGENTS[:4] and draft.agent != _agent_of(side, draft.status):
        yield f"{draft.agent} does not follow from the status word"


def _layer_of(side: Side, status: int) -> Literal["Physical Layer", "Data Link Layer", "Transaction Layer"]:
    if side == "correctable" and status & 0x0001:
        return "Physical Layer"
    return "Data Link Layer" if status & (0x11C0 if side == "correctable" else 0x0010) else "Transaction Layer"


def _agent_of(side: Side, status: int) -> str:
    if side == "correctable":
        return "Transmitter ID" if status & 0x1100 else "Receiver ID"
    if status & 0x8000:
        return "Completer ID"
    return "Requester ID" if status & 0x00104000 else "Receiver ID"
