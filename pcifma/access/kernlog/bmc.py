"""What the management controllers of servers say of PCI Express errors: Dell's event log (messages PCI13xx) and HPE's integrated log.

On servers where firmware takes errors first this may be all that is left of one. Dell's numbers are decimal, HPE's have 0x.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pcifma.access.kernlog.grammar import LineByLine
from pcifma.access.kernlog.line import Line
from pcifma.access.kernlog.report import AnyReport, BriefError, Severity
from pcifma.regs.bdf import Bdf

_DELL = re.compile(
    r"\b(?P<what>(?:fatal|non-?fatal|uncorrectable|correctable) error|PCI parity error|PCI system error|bus time-?out) was detected on "
    r"a component at bus (?P<bus>\d{1,3}),? device (?P<device>\d{1,2}),? function (?P<function>\d)\b",
    re.IGNORECASE,
)
_HPE = re.compile(
    r"(?P<what>(?:Un)?correctable )?PCI(?: Express|e) Errors?\b.{0,80}?\((?:Segment 0x(?P<segment>[0-9a-f]{1,8}), )?"
    r"Bus 0x(?P<bus>[0-9a-f]{1,2}), Device 0x(?P<device>[0-9a-f]{1,2}), Function 0x(?P<function>[0-9a-f])\)(?P<rest>.{0,200})",
    re.IGNORECASE,
)
_STATUS = re.compile(r"\b(?P<which>Unc|C)orrectable Error Status: 0x(?P<word>[0-9a-f]{1,8})\b", re.IGNORECASE)
_REGISTERS = {"unc": "ECAP_AER+4.l", "c": "ECAP_AER+10.l"}
# By the first word that is there. An uncorrected error of which no more is said is nonfatal at least.
_SEVERITIES: tuple[tuple[str, Severity], ...] = (
    ("non", "nonfatal"),
    ("fatal", "fatal"),
    ("system error", "fatal"),
    ("uncorrectable", "nonfatal"),
    ("correctable", "correctable"),
    ("", "nonfatal"),
)


class Bmc(LineByLine):
    """Grammar of those messages; each is whole."""

    def feed(self, line: Line) -> Iterator[AnyReport]:
        if match := _DELL.search(line.text):
            numbers = [int(match[part]) for part in ("bus", "device", "function")]
            found = _brief(line, match["what"], (0, *numbers), {})
        elif match := _HPE.search(line.text):
            numbers = [int(match[part] or "0", 16) for part in ("segment", "bus", "device", "function")]
            words = {_REGISTERS[m["which"].lower()]: int(m["word"], 16) for m in _STATUS.finditer(match["rest"])}
            found = _brief(line, match["what"] or "", tuple(numbers), {name: word for name, word in words.items() if word})
        else:
            return
        if found is not None:
            yield found


def _brief(line: Line, what: str, numbers: tuple[int, ...], words: dict[str, int]) -> BriefError | None:
    segment, bus, device, function = numbers
    if bus > 0xFF or device > 0x1F or function > 7:
        return None
    severity = next(severity for word, severity in _SEVERITIES if word in what.lower())
    return BriefError(
        teller="bmc",
        line=line.number,
        boot_ns=line.boot_ns,
        wall_ns=line.wall_ns,
        bdf=Bdf(segment, bus, device, function),
        severity=None if words else severity,
        words=words,
    )
