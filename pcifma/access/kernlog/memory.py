"""Memory errors as EDAC tells them: the kernel's line, its tracepoint mc_event, and the row that rasdaemon keeps of that.

What processors say of the same errors is in mce.py, what firmware says in ghes.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pcifma.access.kernlog.grammar import LineByLine
from pcifma.access.kernlog.line import Line
from pcifma.access.kernlog.report import AnyReport, MemoryText

_LINE = re.compile(
    r"EDAC MC#?\d{1,4}: (?P<count>\d{1,9}) (?P<side>CE|UE) (?:(?P<what>.{1,100}?) )?on (?P<label>.{1,160}?) {0,4}\((?P<detail>.{0,600})"
)
# Before Linux 3.6: where first, and one error a line.
_OLD = re.compile(
    r'EDAC MC#?\d{1,4}: (?P<side>CE|UE) (?P<detail>(?:page|row) .{1,160}?),? labels? "(?P<label>[^"]{0,160})":? ?(?P<what>.{0,160})'
)
_TRACE = re.compile(
    r"mc_event: .{0,60}?(?P<count>\d{1,9}) (?P<side>\w{1,20}) errors?: ?(?P<what>.{1,100}?) on (?P<label>.{1,160}?) "
    r"\((?P<detail>mc:.{0,600})"
)
_ROW = re.compile(
    r"\s{0,8}\d{1,12} \S{1,12} \S{1,12} (?:[+-]\d{4} )?(?P<count>\d{1,9}) (?P<side>\w{1,20}) error\(s\): (?P<what>.{1,100}?) at "
    r"(?P<label>.{1,160}?) location: (?P<detail>.{0,600})"
)
_SUMMARY = re.compile(
    r"(?P<side>\w{1,20}) on DIMM Label\(s\): '(?P<label>[^']{0,160})' location: (?P<detail>\S{1,40}) errors: (?P<count>\d{1,9})"
)
_FORMS = (_LINE, _OLD, _TRACE, _ROW, _SUMMARY)
_PAGE = re.compile(r"page(?:: ?| )0x(?P<page>[0-9a-fA-F]{1,13}),? offset(?:: ?| )0x(?P<offset>[0-9a-fA-F]{1,8})")
_ADDRESS = re.compile(r"addr(?:ess: ?| )(?P<address>0x[0-9a-fA-F]{1,16}|\d{1,20})")
# EDAC's words for a label that it does not have.
_NOBODY = frozenset({"", "any memory", "unknown memory", "unknown label", "unknown", "any"})
_CORRECTED = frozenset({"CE", "Corrected", "Info", "Info."})
_PAGE_SHIFT = 12


class Memory(LineByLine):
    """Grammar of EDAC's lines; each is whole by itself."""

    def feed(self, line: Line) -> Iterator[AnyReport]:
        match = next((match for form in _FORMS if (match := form.search(line.text))), None)
        if match is not None:
            yield _report(line, match)


def _report(line: Line, match: re.Match[str]) -> MemoryText:
    label = match["label"].strip()
    return MemoryText(
        line=line.number,
        boot_ns=line.boot_ns,
        wall_ns=line.wall_ns,
        teller="edac",
        corrected=match["side"] in _CORRECTED,
        what=_what((match.groupdict().get("what") or "").strip()),
        count=max(1, int(match.groupdict().get("count") or 1)),
        label="" if label.lower() in _NOBODY else label,
        address=_address(match["detail"]),
    )


def _what(words: str) -> str:
    return "memory error" if words.lower() in ("", "error", "unknown", "unknown error") else words


def _address(detail: str) -> int | None:
    # Some drivers do not know it, and say page 0.
    if match := _PAGE.search(detail):
        return int(match["page"], 16) << _PAGE_SHIFT | int(match["offset"], 16) & 0xFFF or None
    match = _ADDRESS.search(detail)
    return int(match["address"], 16 if match["address"].startswith("0x") else 10) or None if match else None
