"""AER reports of Linux 2.6.19 to 2.6.34: a block of lines that name the Function last, between its ids.

Up to 2.6.30 a block names only the lowest set bit, followed by `First` or `Multiple`; later ones name each bit, and `First` marks
the first error. Neither prints the status word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from pcifma.access.kernlog.grammar import Drafting, words
from pcifma.access.kernlog.line import Line
from pcifma.access.kernlog.name import bit_of, severity_of, side_of
from pcifma.access.kernlog.report import AerError, AnyReport, PrintedBit
from pcifma.regs.bdf import Bdf

_START = "+------ PCI-Express Device Error"
_ROW = re.compile(r"(?P<key>[A-Za-z][\w #-]{1,40}?)\s{0,8}: ?(?P<value>[^\t]{0,60}?)\s{0,8}$")
_AGENT = re.compile(r"(?:Receiver|Requester|Completer|Transmitter|Unregistered Agent) ID$")
_IDENTITY = re.compile(
    r"VendorID=(?P<vendor>[0-9a-f]{4})h, DeviceID=(?P<device>[0-9a-f]{4})h, "
    r"Bus=(?P<bus>[0-9a-f]{2})h, Device=(?P<dev>[01][0-9a-f])h, Function=0(?P<fn>[0-7])h"
)
_DWORDS = re.compile(r"\s{0,4}(?:[0-9a-f]{8} ){3}[0-9a-f]{8}\s*$")
_NOWHERE = Bdf(0, 0, 0, 0)


class Old(Drafting[str, AerError]):
    """Grammar of those blocks. Two CPUs never print them at once: the service has one thread."""

    def read(self, line: Line) -> Iterator[AnyReport]:
        if line.text.startswith(_START):
            blank = AerError(line=line.number, boot_ns=line.boot_ns, wall_ns=line.wall_ns, bdf=_NOWHERE, origin="old")
            yield from self._begin("", blank, line)
        elif draft := self._drafts.get(""):
            self._drafts.update("", _continued(draft, line.text), line.number)

    def whole(self, draft: AerError) -> AerError:
        first = next((p.bit for p in draft.printed if p.first), None)
        return replace(draft, side=side_of(draft.severity) if draft.severity else None, first_error=first)


def _continued(draft: AerError, text: str) -> AerError:
    if match := _IDENTITY.match(text):
        bdf = Bdf(0, int(match["bus"], 16), int(match["dev"], 16), int(match["fn"]))
        return replace(draft, bdf=bdf, vendor=int(match["vendor"], 16), device=int(match["device"], 16))
    if _DWORDS.match(text):
        return replace(draft, header=words(text))
    match = _ROW.match(text)
    return _row(draft, match["key"].strip(), match["value"]) if match else draft


def _row(draft: AerError, key: str, value: str) -> AerError:
    if key == "Error Severity":
        return replace(draft, severity=severity_of(value))
    if key == "PCIE Bus Error type":
        return replace(draft, layer=value.strip("()"))
    if _AGENT.match(key) and re.fullmatch(r"[0-9a-f]{4}", value):
        number = int(value, 16)
        known = draft.bdf if draft.bdf != _NOWHERE else Bdf.from_requester_id(0, number)
        return replace(draft, agent=key, agent_id=number, bdf=known)
    if draft.severity is None or value not in ("", "First", "Multiple"):
        return draft
    bit = bit_of(key, side_of(draft.severity))
    if bit is None:
        return draft
    return replace(draft, printed=(*draft.printed, PrintedBit(bit, key, value == "First")), multiple=draft.multiple or value == "Multiple")
