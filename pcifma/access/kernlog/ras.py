"""rasdaemon's own tables: `ras-mc-ctl --errors` (a row an event) and `--summary` (a row a kind, with a count)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pcifma.access.kernlog.grammar import TLP_HEADER, LineByLine, header_words
from pcifma.access.kernlog.line import BDF, Line, wall_ns
from pcifma.access.kernlog.name import severity_of, side_of, status_of
from pcifma.access.kernlog.report import AnyReport, RasLine
from pcifma.regs.bdf import Bdf

_SECTION = re.compile(r"PCIe AER events(?P<summary> summary)?:\s*$")
_SEVERITY = r"(?P<severity>Corrected|Uncorrected \((?:Non-)?Fatal\)|Fatal)"
_ROW = re.compile(
    r"\s{0,8}\d{1,12} {1,4}(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?: [+-]\d{4})?) "
    rf"(?:(?P<bdf>{BDF}) )?{_SEVERITY} error: (?P<names>.{{0,600}})$"
)
_SUMMARY = re.compile(rf"\s{{0,8}}(?P<count>\d{{1,12}}) {_SEVERITY} errors(?:: (?P<names>.{{0,600}}))?$")


class Ras(LineByLine):
    """Grammar of the tables' AER section; a row is whole by itself."""

    def __init__(self) -> None:
        self._inside = False

    def feed(self, line: Line) -> Iterator[AnyReport]:
        if _SECTION.search(line.text):
            self._inside = True
        elif match := _ROW.match(line.text):
            if match["bdf"] or self._inside:
                yield _row(line, match, 1, match["bdf"])
        elif self._inside and (match := _SUMMARY.match(line.text)):
            yield _row(line, match, int(match["count"]), None)
        elif line.text.endswith(("events:", "summary:", "errors.")):
            self._inside = False


def _row(line: Line, match: re.Match[str], count: int, bdf: str | None) -> RasLine:
    text = match["names"] or ""
    header: tuple[int, ...] = ()
    if found := TLP_HEADER.search(text):
        text, header = text[: found.start()], header_words(found)
    names = tuple(n.strip() for n in text.split(",") if n.strip())
    severity = severity_of(match["severity"])
    assert severity is not None
    return RasLine(
        line=line.number,
        boot_ns=line.boot_ns,
        wall_ns=wall_ns(match.groupdict().get("time") or "") or line.wall_ns,
        severity=severity,
        names=names,
        status=status_of(names, side_of(severity)),
        count=max(count, 1),
        bdf=Bdf.parse(bdf) if bdf else None,
        header=header,
    )
