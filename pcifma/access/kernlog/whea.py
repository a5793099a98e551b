"""Windows' events about PCI Express errors (WHEA-Logger 16 and 17), as Event Viewer and PowerShell print them in English: the message,
the details, or their XML. Of other languages' messages the details and the XML are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from pcifma.access.kernlog.grammar import Drafting
from pcifma.access.kernlog.line import Line
from pcifma.access.kernlog.report import AnyReport, BriefError, Severity
from pcifma.regs.bdf import Bdf

_EVENT = re.compile(r"A (?P<how>corrected|fatal|recoverable) hardware error has occurred", re.IGNORECASE)
_ID = re.compile(r"<EventID[^>]{0,40}>(?P<id>1[67])</EventID>|^\s{0,8}Event ?(?:ID:?)?\s{1,8}(?P<plain>1[67])\s*(?:$|,)")
_ADDRESS = re.compile(
    r"(?<!Secondary )Bus: ?Device: ?Function:\s{0,8}0x(?P<bus>[0-9a-fA-F]{1,2}):0x(?P<device>[0-9a-fA-F]{1,2}):0x(?P<function>[0-7])\b"
)
_IDENTITY = re.compile(r"Vendor ID:Device ID:\s{0,8}0x(?P<vendor>[0-9a-fA-F]{1,4}):0x(?P<id>[0-9a-fA-F]{1,4})\b")
_NAME = re.compile(r"Primary Device Name:\s{0,8}PCI\\VEN_(?P<vendor>[0-9a-fA-F]{4})&DEV_(?P<id>[0-9a-fA-F]{4})")
_MEMBER = re.compile(
    r"""(?:Name=["']|^\s{0,16})(?P<name>Segment|Bus|Device|Function|VendorID|DeviceID|UncorrectableErrorStatus|CorrectableErrorStatus)"""
    r"""(?:["']>|\s{1,8})\s{0,8}(?P<value>0x[0-9a-fA-F]{1,8}|\d{1,8})\b"""
)
_MEMBERS = {
    "Segment": "segment", "Bus": "bus", "Device": "device", "Function": "function", "VendorID": "vendor", "DeviceID": "id",
    "UncorrectableErrorStatus": "ECAP_AER+4.l", "CorrectableErrorStatus": "ECAP_AER+10.l",
}  # fmt: skip
_SEVERITIES: dict[str, Severity] = {
    "corrected": "correctable",
    "fatal": "fatal",
    "recoverable": "nonfatal",
    "17": "correctable",
    "16": "fatal",
}


@dataclass(frozen=True, slots=True)
class _Event:
    line: Line
    severity: Severity | None = None
    told: dict[str, int] = field(default_factory=dict)


class Whea(Drafting[str, _Event]):
    """Grammar of these events; an event ends where the next one begins."""

    def read(self, line: Line) -> Iterator[AnyReport]:
        draft = self._drafts.get("")
        severity, told = _severity(line.text), _told(line.text)
        if draft is None or (severity is not None and draft.told) or not told.keys().isdisjoint(draft.told):
            if severity is None and not told:
                return
            yield from self._begin("", _Event(line, severity, told), line)
        elif severity is not None or told:
            self._drafts.update("", replace(draft, severity=severity or draft.severity, told=draft.told | told), line.number)

    def whole(self, draft: _Event) -> BriefError | None:
        told = draft.told
        if draft.severity is None or not told.keys() >= {"bus", "device", "function"}:
            return None
        if told["bus"] > 0xFF or told["device"] > 0x1F or told["function"] > 7:
            return None
        return BriefError(
            line=draft.line.number,
            boot_ns=draft.line.boot_ns,
            wall_ns=draft.line.wall_ns,
            teller="whea",
            bdf=Bdf(told.get("segment", 0), told["bus"], told["device"], told["function"]),
            severity=draft.severity,
            vendor=told.get("vendor"),
            device=told.get("id"),
            words={name: word for name, word in told.items() if name.startswith("ECAP_") and word},
        )


def _severity(text: str) -> Severity | None:
    if match := _EVENT.search(text):
        return _SEVERITIES[match["how"].lower()]
    match = _ID.search(text)
    return _SEVERITIES[match["id"] or match["plain"]] if match else None


def _told(text: str) -> dict[str, int]:
    found = {_MEMBERS[m["name"]]: int(m["value"], 16 if m["value"].startswith("0x") else 10) for m in _MEMBER.finditer(text)}
    for pattern in (_ADDRESS, _IDENTITY, _NAME):
        if match := pattern.search(text):
            found |= {name: int(value, 16) for name, value in match.groupdict().items()}
    return found
