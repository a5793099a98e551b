"""The kernel's `ras:aer_event` tracepoint as text: from tracefs (Linux 3.8 to 7.0), and as rasdaemon rewrites it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pcifma.access.kernlog.grammar import TLP_HEADER, LineByLine, header_words
from pcifma.access.kernlog.line import BDF, Line
from pcifma.access.kernlog.name import severity_of, side_of, status_of
from pcifma.access.kernlog.report import AerEvent, AnyReport, Severity
from pcifma.regs.bdf import Bdf

_EVENT = re.compile(
    rf"aer_event: (?P<bdf>{BDF}) (?P<protocol>PCIe|CXL) Bus Error: "
    r"severity=(?P<severity>Corrected|Correctable|Fatal|Uncorrected, ?non-fatal|Uncorrectable, ?non-fatal), ?(?P<rest>.{0,600})"
)
_HEADER = re.compile(r"(?:, )?TLP Header=(?P<header>Not available|\{(?P<words>[0-9a-fA-FxX, ]{1,200})\})?.{0,40}$")
_RASDAEMON = re.compile(
    rf"aer_event:? {{1,20}}(?:\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{{4}} )?(?P<bdf>{BDF}) (?:\([^)]{{0,200}}\) )?(?P<names>.{{0,600}}?) ?"
    r"(?P<severity>Uncorrected \((?:Non-)?Fatal\)|Corrected)$"
)


class Trace(LineByLine):
    """Grammar of the tracepoint's lines; each is whole."""

    def feed(self, line: Line) -> Iterator[AnyReport]:
        if "aer_event" not in line.text:
            return
        if match := _EVENT.search(line.text):
            yield _tracefs(line, match)
        elif match := _RASDAEMON.search(line.text):
            yield _rasdaemon(line, match)


def _tracefs(line: Line, match: re.Match[str]) -> AerEvent:
    rest = match["rest"]
    header: tuple[int, ...] = ()
    if found := _HEADER.search(rest):
        rest, header = rest[: found.start()], _array(found["words"] or "")
    names = tuple(n.strip() for n in rest.split("|") if n.strip(" ,"))
    return _event(line, match, names, header, severity_of(match["severity"].replace(",", "")))


def _rasdaemon(line: Line, match: re.Match[str]) -> AerEvent:
    text = match["names"]
    header: tuple[int, ...] = ()
    if found := TLP_HEADER.search(text):
        text, header = text[: found.start()], header_words(found)
    names = tuple(n.strip() for n in text.split(",") if n.strip())
    return _event(line, match, names, header, severity_of(match["severity"]))


def _event(line: Line, match: re.Match[str], names: tuple[str, ...], header: tuple[int, ...], severity: Severity | None) -> AerEvent:
    assert severity is not None
    return AerEvent(
        line=line.number,
        boot_ns=line.boot_ns,
        wall_ns=line.wall_ns,
        bdf=Bdf.parse(match["bdf"]),
        protocol=match.groupdict().get("protocol") or "PCIe",
        severity=severity,
        names=names,
        status=status_of(names, side_of(severity)),
        header=header,
    )


def _array(text: str) -> tuple[int, ...]:
    # __print_array writes 0x%x, without leading zeros.
    found = [w for w in re.split(r"[, ]+", text) if re.fullmatch(r"(?:0[xX])?[0-9a-fA-F]{1,8}", w)]
    return tuple(int(w, 16) for w in found) if len(found) >= 4 else ()
