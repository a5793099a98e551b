"""Diagnostic data of POWER host bridges: the kernel's rows (`PHB4 PHB#48 Diag-data`), and skiboot's `name = value` lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from pcifma.access.kernlog.grammar import Drafting
from pcifma.access.kernlog.line import Line
from pcifma.access.kernlog.report import AnyReport, PhbDiag

_START = re.compile(r"(?P<kind>P7IOC|PHB[3-9]) PHB#(?P<number>[0-9a-fA-F]{1,8}) Diag-data")
_ROW = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9]{2,12}):(?P<words>(?: {1,12}(?:[0-9a-f]{16}|[0-9a-f]{8})){1,6})$")
_SKIBOOT = re.compile(
    r"PHB#(?P<number>[0-9a-fA-F]{4})\[\d{1,3}:\d{1,3}\]: {0,40}"
    r"(?P<name>[a-z][A-Za-z0-9]{2,30}|NEST FIR(?: WOF)?) ?= ?(?P<word>[0-9a-f]{8,16})$"
)
_ROWS = 64

# Rows of the kernel by the names that skiboot gives their words (hw/phb3.c, hw/phb4.c).
_NAMES: dict[str, tuple[str, int]] = {
    "brdgCtl": ("brdgCtl", 0),
    "deviceStatus": ("RootSts", 0),
    "slotStatus": ("RootSts", 1),
    "linkStatus": ("RootSts", 2),
    "devCmdStatus": ("RootSts", 3),
    "devSecStatus": ("RootSts", 4),
    "rootErrorStatus": ("RootErrSts", 0),
    "uncorrErrorStatus": ("RootErrSts", 1),
    "corrErrorStatus": ("RootErrSts", 2),
    "sourceId": ("sourceId", 0),
    "nFir": ("nFir", 0),
    "nFirMask": ("nFir", 1),
    "nFirWOF": ("nFir", 2),
    "NEST FIR": ("nFir", 0),
    "NEST FIR WOF": ("nFir", 2),
    "lemFir": ("Lem", 0),
    "lemErrorMask": ("Lem", 1),
    "lemWOF": ("Lem", 2),
    "phbErrorStatus": ("PhbErr", 0),
    "phbTxeErrorStatus": ("PhbTxeErr", 0),
    "phbRxeArbErrorStatus": ("RxeArbErr", 0),
    "phbRxeMrgErrorStatus": ("RxeMrgErr", 0),
    "phbRxeTceErrorStatus": ("RxeTceErr", 0),
    "phbPblErrorStatus": ("PblErr", 0),
    "phbRegbErrorStatus": ("RegbErr", 0),
}
_ROW_WORDS = {"RootSts": 5, "RootErrSts": 3, "nFir": 3, "Lem": 3}


@dataclass(slots=True)
class _Diag:
    line: Line
    kind: str
    number: int
    values: dict[str, tuple[int, ...]] = field(default_factory=dict)


class Phb(Drafting[str, _Diag]):
    """Grammar of host bridge diagnostics. The kernel's rows have no address, so one bridge is under way at a time."""

    def read(self, line: Line) -> Iterator[AnyReport]:
        if match := _START.search(line.text):
            # PHB3 and P7IOC are numbered in hexadecimal, PHB4 and later in decimal (pci.c of powernv).
            kind = match["kind"]
            base = 16 if kind in ("P7IOC", "PHB3") or not match["number"].isdecimal() else 10
            yield from self._begin("kernel", _Diag(line, kind, int(match["number"], base)), line)
        elif match := _SKIBOOT.search(line.text):
            key = f"skiboot {match['number']}"
            if self._drafts.get(key) is None:
                yield from self._begin(key, _Diag(line, "PHB", int(match["number"], 16)), line)
            self._place(key, match["name"], int(match["word"], 16), line.number)
        elif (draft := self._drafts.get("kernel")) and (match := _ROW.search(line.text)) and len(draft.values) < _ROWS:
            draft.values[match["name"]] = tuple(int(w, 16) for w in match["words"].split())
            self._drafts.update("kernel", draft, line.number)

    def whole(self, draft: _Diag) -> PhbDiag | None:
        if not draft.values:
            return None
        return PhbDiag(
            line=draft.line.number,
            boot_ns=draft.line.boot_ns,
            wall_ns=draft.line.wall_ns,
            kind=draft.kind,
            number=draft.number,
            values=dict(draft.values),
        )

    def _place(self, key: str, name: str, word: int, line: int) -> None:
        draft = self._drafts.get(key)
        assert draft is not None
        if name in _NAMES:
            row, index = _NAMES[name]
            held = list(draft.values.get(row, (0,) * _ROW_WORDS.get(row, 1)))
            held[index] = word
            draft.values[row] = tuple(held)
        self._drafts.update(key, draft, line)
