"""Extended Error Handling of POWER: the register log of a frozen partitionable endpoint, pseries and powernv, Linux 2.6.2x to 7.0."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from pcifma.access.kernlog.grammar import Drafting
from pcifma.access.kernlog.line import BDF, Line
from pcifma.access.kernlog.report import AnyReport, EehDevice
from pcifma.regs.bdf import Bdf

_PREFIX = re.compile(r"EEH(?:\(\d{1,10}\))?: {1,4}")
_NODE = re.compile(rf"of node=(?:(?P<bdf>{BDF})|(?P<path>/\S{{1,200}}))")
_ROW = re.compile(r"PCI-E (?P<aer>AER )?(?P<at>[0-9a-f]{2}): {1,4}(?P<words>(?:[0-9a-f]{8}(?: {1,2}|$)){1,4})$")
_FIELDS = (
    (re.compile(r"PCI device/vendor: ([0-9a-f]{8})"), "identity"),
    (re.compile(r"PCI cmd/status register: ([0-9a-f]{8})"), "command_status"),
    (re.compile(r"Bridge secondary status: ([0-9a-f]{4})"), "bridge_secondary_status"),
    (re.compile(r"Bridge control: ([0-9a-f]{4})"), "bridge_control"),
    (re.compile(r"PCI-X status: ([0-9a-f]{8})"), "pcix_status"),
)
_AER_DWORDS = 14
_EXPRESS_DWORDS = 16


@dataclass(slots=True)
class _Log:
    line: Line
    bdf: Bdf | None
    fields: dict[str, int] = field(default_factory=dict)
    express: dict[int, int] = field(default_factory=dict)
    aer: dict[int, int] = field(default_factory=dict)


class Eeh(Drafting[str, _Log]):
    """Grammar of the register log. The kernel logs one Function after another."""

    def read(self, line: Line) -> Iterator[AnyReport]:
        prefix = _PREFIX.search(line.text)
        if prefix is None:
            return
        rest = line.text[prefix.end() :]
        if match := _NODE.match(rest):
            yield from self._begin("", _Log(line, Bdf.parse(match["bdf"]) if match["bdf"] else None), line)
            return
        draft = self._drafts.get("")
        if draft is None and (_ROW.match(rest) or _FIELDS[0][0].match(rest)):
            draft = _Log(line, None)
            self._drafts.begin("", draft, line.number)
        if draft is not None:
            _add(draft, rest)
            self._drafts.update("", draft, line.number)

    def whole(self, draft: _Log) -> EehDevice | None:
        if not (draft.fields or draft.express or draft.aer):
            return None
        return EehDevice(
            line=draft.line.number,
            boot_ns=draft.line.boot_ns,
            wall_ns=draft.line.wall_ns,
            bdf=draft.bdf,
            express=_row(draft.express),
            aer=_row(draft.aer),
            identity=draft.fields.get("identity"),
            command_status=draft.fields.get("command_status"),
            bridge_secondary_status=draft.fields.get("bridge_secondary_status"),
            bridge_control=draft.fields.get("bridge_control"),
            pcix_status=draft.fields.get("pcix_status"),
        )


def _add(draft: _Log, rest: str) -> None:
    for pattern, name in _FIELDS:
        if match := pattern.match(rest):
            draft.fields[name] = int(match[1], 16)
    if match := _ROW.match(rest):
        found = [int(w, 16) for w in match["words"].split()]
        at = int(match["at"], 16)
        # Kernels before 3.17 print one dword a line and count dwords; later ones four, and count bytes.
        first = at if len(found) == 1 and at < 0x10 else at // 4
        into = draft.aer if match["aer"] else draft.express
        into.update((first + i, w) for i, w in enumerate(found) if first + i < (_AER_DWORDS if match["aer"] else _EXPRESS_DWORDS))


def _row(words: dict[int, int]) -> tuple[int, ...]:
    # As far as it goes without a gap: a word after a lost line would stand at the wrong offset.
    count = next((i for i in range(len(words) + 1) if i not in words), 0)
    return tuple(words[i] for i in range(count))
