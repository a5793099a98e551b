"""What each cell's outcome is worth: was the error reported, by whom, under its right name, for its Function, once.

Nothing here asks pcifma what is right: classes come from lab.expect, what was readable from the registers at the end of the round.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..expect import ERRORS, Error
from .cell import Cell
from .mode import ROOT
from .session import Phase
from .witness import Severity, Sighting

# right: once, by its name. accounted: the registers were wiped, but its severity is told with the Function as its source; or, where the
# kernel's recovery from another error of that Function wiped it, its message is one more than its Root Port is known to have had.
# merged: the registers were wiped, and so was its message, by that of another error which the Function sent at the same moment, and which
# is told or accounted for: of two that reach a Root Port while the first waits for its handler nobody can know that they were two.
# asleep: nobody could have looked without waking the Function, no message came of it, and coverage had said that it is not looked at.
Told = Literal["right", "accounted", "merged", "twice", "missed", "asleep"]
# named: the error and its Function. told: the Function and a severity. silent: neither.
Heard = Literal["named", "told", "silent"]
PEERS = ("kernel", "rasdaemon", "collectd")
_LEAVES = {f"ereport.io.pciex.{error.leaf}": error for error in ERRORS}
_MESSAGES: dict[str, Severity] = {"ereport.io.pciex.rc.nfe-msg": "nonfatal", "ereport.io.pciex.rc.fe-msg": "fatal"}
_SHADOWS = {f"ereport.io.pciex.{severity}": severity for severity in ("correctable", "nonfatal", "fatal")}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One error of one cell. *foretold*: whether coverage said that its message would be heard, None if it did not know; *heard*: whether
    it was, or another of the same severity that the Function sent with it: a Root Port names the first sender, and counts the rest as
    "multiple" (Root Error Status, 7.8.4.10), and what comes while Linux recovers from the first is dropped.
    """

    mode: str
    kind: str
    row: str
    place: str
    node: str
    error: str
    readable: bool
    pcifma: Told
    kernel: Heard
    rasdaemon: Heard
    collectd: Heard
    foretold: bool | None
    heard: bool
    severity: Severity

    @property
    def is_foretold_wrong(self) -> bool:
        """True if coverage knew, and the kernel's log says otherwise."""
        return self.foretold is not None and self.foretold != self.heard


@dataclass(frozen=True, slots=True)
class Judged:
    """One mode: its outcomes, and the ereports that no injection explains: (Function's name, class)."""

    mode: str
    control: bool
    outcomes: tuple[Outcome, ...]
    false: tuple[tuple[str, str], ...]


def judge(phase: Phase) -> Judged:
    """Compare what was injected in *phase* with what everybody said."""
    ledger = _Ledger(phase)
    # Who stands alone has the first claim to a report without a name: of several at once it need not be one each.
    told = {i: ledger.told(phase.cells[i]) for i in sorted(range(len(phase.cells)), key=lambda i: len(phase.cells[i].row.errors))}
    cells = [
        list(ledger.cell(cell, phase.standing[i], told[i], asleep=asleep))
        for i, (cell, asleep) in enumerate(zip(phase.cells, phase.asleep, strict=True))
    ]
    outcomes = tuple(one for cell in ledger.by_messages(cells) for one in _merged(cell))
    return Judged(phase.mode.name, phase.mode.control, outcomes, tuple(ledger.unexplained()))


def _merged(cell: Sequence[Outcome]) -> Iterator[Outcome]:
    sent = {one.severity for one in cell if one.pcifma in ("right", "accounted")}
    for one in cell:
        wiped = one.kind == "several" and one.pcifma == "missed" and not one.readable
        yield replace(one, pcifma="merged") if wiped and one.severity in sent else one


class _Ledger:
    # Reports by Function; a report that names no error answers for one cell only.

    def __init__(self, phase: Phase) -> None:
        self._phase = phase
        self._names = {address: name for name, address in phase.address.items()}
        self._named: Counter[tuple[str, Error]] = Counter()
        self._severity: Counter[tuple[str, str]] = Counter()
        for event in phase.ereports:
            if error := _LEAVES.get(event["class"]):
                self._named[event["device"], error] += event["count"]
            elif severity := _SHADOWS.get(event["class"]):
                self._severity[event["device"], severity] += event["count"]
        self._messages: Counter[tuple[str, str]] = Counter()
        for event in phase.ereports:
            if severity := _MESSAGES.get(event["class"]):
                self._messages[event["device"], severity] += event["count"]
        self._peers = {peer: _Peer(phase.said.get(peer, ())) for peer in PEERS}
        self._injected: set[tuple[str, Error]] = set()

    def told(self, cell: Cell) -> dict[Error, Told]:
        device = self._phase.address[cell.node]
        return {error: self._told(device, error, _severity(cell, error)) for error in cell.row.errors}

    def cell(self, cell: Cell, standing: frozenset[Error], of: Mapping[Error, Told], *, asleep: bool) -> Iterator[Outcome]:
        device = self._phase.address[cell.node]
        severities = {error: _severity(cell, error) for error in cell.row.errors}
        heard = [self._peers[peer].heard(device, severities) for peer in PEERS]
        for error, severity in severities.items():
            self._injected.add((device, error))
            kernel, rasdaemon, collectd = (peer[error] for peer in heard)
            together = any(heard[0][other] != "silent" for other, its in severities.items() if its == severity)
            told = of[error]
            if told == "missed" and asleep and not together and self._is_left_asleep(device):
                told = "asleep"
            yield Outcome(
                cell.mode, cell.row.kind, cell.row.name, cell.place, cell.node, error.name, error in standing,
                told, kernel, rasdaemon, collectd, self._foretold(device, severity), together, severity,
            )  # fmt: skip

    def by_messages(self, cells: Sequence[Sequence[Outcome]]) -> list[list[Outcome]]:
        """*cells*, with what nobody could read accounted for where its Root Port has had more messages than errors are known of."""
        spare = Counter(self._messages)
        spare.subtract(self._sent(one) for cell in cells for one in cell if one.pcifma != "missed")
        return [[self._by_message(one, spare) for one in cell] for cell in cells]

    def _by_message(self, one: Outcome, spare: Counter[tuple[str, str]]) -> Outcome:
        if one.pcifma != "missed" or one.readable or spare[self._sent(one)] <= 0:
            return one
        spare[self._sent(one)] -= 1
        return replace(one, pcifma="accounted")

    def _sent(self, one: Outcome) -> tuple[str, str]:
        # To whom its message went, and which.
        return self._phase.address[ROOT.format(branch=one.node[2:])], one.severity

    def unexplained(self) -> Iterator[tuple[str, str]]:
        for (device, error), count in self._named.items():
            if (device, error) not in self._injected and not self._follows(device, error):
                yield from [(self._names.get(device, device), f"pciex.{error.leaf}")] * count
        for (device, severity), count in self._severity.items():
            if count > 0:
                yield self._names.get(device, device), f"pciex.{severity}"

    def _told(self, device: str, error: Error, severity: Severity) -> Told:
        count = self._named[device, error]
        if count == 1:
            return "right"
        if count:
            return "twice"
        if self._severity[device, severity] > 0:
            self._severity[device, severity] -= 1
            return "accounted"
        return "missed"

    def _follows(self, device: str, error: Error) -> bool:
        # An advisory error sets Advisory Non-Fatal too; more errors than the Header Log holds set Header Log Overflow.
        follows = {"ADV_NONFATAL": "advisory", "HL_OVERFLOW": "several"}.get(error.name)
        return any(cell.row.kind == follows and self._phase.address[cell.node] == device for cell in self._phase.cells)

    def _is_left_asleep(self, device: str) -> bool:
        line: dict[str, Any] = self._phase.coverage.get(device, {})
        return "poll" not in line.get("plan", ["poll"]) and any("asleep" in why for why in line.get("why", ()))

    def _foretold(self, device: str, severity: Severity) -> bool | None:
        line: dict[str, Any] = self._phase.coverage.get(device, {})
        heard: bool | None = line.get("heard", {}).get(severity)
        return heard


class _Peer:
    def __init__(self, said: Sequence[Sighting]) -> None:
        self._named = {(one.device, error) for one in said for error in one.errors}
        self._told: defaultdict[tuple[str, str], int] = defaultdict(int)
        for one in said:
            self._told[one.device, one.severity] += not one.errors

    def heard(self, device: str, severities: Mapping[Error, Severity]) -> dict[Error, Heard]:
        # Of the errors of one cell, which come as one message: a report without names answers for all of its severity.
        found: dict[Error, Heard] = {error: "named" for error in severities if (device, error) in self._named}
        for severity in {severity for error, severity in severities.items() if error not in found}:
            told: Heard = "told" if self._told[device, severity] > 0 else "silent"
            self._told[device, severity] -= told == "told"
            found |= {error: told for error, of in severities.items() if of == severity and error not in found}
        return found


def _severity(cell: Cell, error: Error) -> Severity:
    # The message that a Function sends of it (6.2.3.2.4): an advisory error is told as a correctable one.
    if error.correctable or cell.row.kind == "advisory":
        return "correctable"
    return "fatal" if cell.row.fatal else "nonfatal"
