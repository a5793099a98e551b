"""Acknowledgements: logged bits written back, where nobody owns the registers and the operator allowed it.

    LOGGED ── the row of the ledger says what will be written, in the same transaction as the ereports
       └─ durable ──> ASKED ── the keeper writes ──> WRITTEN (before, after in the ledger; the bit has left the latched set)
                        └───── the keeper refuses ──> NOT WRITTEN (the row says why; asked again with the slow tier, a few times)

A row that keeps neither is a write whose outcome a crash hid: after a restart its bits count as cleared, so that whatever is set
then is news. That may repeat an ereport, and never loses one.

Order: AER, then PCI and Secondary Status, then Device Status, Root Error Status last. One thread asks the keeper.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from queue import SimpleQueue

from pcifma.errors import PcifmaError, WriteRefusedError
from pcifma.event.identity import NAMESPACE
from pcifma.fmd.log.batch import RegisterWrite
from pcifma.plugin.watch import Evidence
from pcifma.regs.bdf import Bdf
from pcifma.regs.catalogue import BY_NAME
from pcifma.regs.table import Location

Write = Callable[[Bdf, Location, int], tuple[int, int]]
"""Write bits of a register back; its words before and after. WriteRefusedError, or another PcifmaError where nobody knows."""

Claim = tuple[str, Evidence]
"""A bit that may be written back, and the uuid of the ereport that is logged of it."""

REFUSALS = 3  # of one register, or writes that changed nothing; then it is left until the fabric changes or the daemon restarts
_ORDER = {"CAP_EXP": 2, "": 1, "ECAP_AER": 0}
_ROOT_ERROR_STATUS = Location("ECAP_AER", 0x30, 4)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why registers are written: by the daemon itself, or for an operator's *command* about *case*, given by *uid* and *pid*."""

    why: str = "logged"
    case: str = ""
    command: str = ""
    uid: int | None = None
    pid: int | None = None


LOGGED = Cause()


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Bits of one register of one Function to be written back, and the row that says so."""

    bdf: Bdf
    location: Location
    bits: int
    row: RegisterWrite


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of it: the ledger's row as it is now. *cleared*: its bits read zero after the write."""

    asked: Acknowledgement
    row: RegisterWrite
    cleared: bool
    refused: bool


@dataclass(slots=True)
class Wanted:
    """Bits of one register, and the ereports that they stand on."""

    bits: int = 0
    ereports: list[str] = field(default_factory=list)


def acknowledgeable(claims: Iterable[Claim], allowed: Callable[[Bdf], bool]) -> dict[tuple[Bdf, Location], Wanted]:
    """What of *claims* may be written back, by register, in the order in which it is."""
    found: dict[tuple[Bdf, Location], Wanted] = {}
    for ereport, one in claims:
        if one.target.kind == "function" and isinstance(one.location, Location) and has_row(one.location) and allowed(one.target.bdf):
            wanted = found.setdefault((one.target.bdf, one.location), Wanted())
            wanted.bits |= 1 << one.bit
            if ereport and ereport not in wanted.ereports:
                wanted.ereports.append(ereport)
    return dict(sorted(found.items(), key=lambda item: (_rank(item[0][1]), item[0][0], item[0][1].offset)))


def has_row(location: Location) -> bool:
    """True if a row of the tables lets the register be written. Several types of Function may have different registers there: which
    one this has, the keeper finds out; of several capabilities of one name it knows the first.
    """
    capability = BY_NAME.get(location.capability)
    rows = capability.registers if capability is not None and not location.number else ()
    return any(row.ack and (row.offset, row.width) == (location.offset, location.width) for row in rows)


def _rank(location: Location) -> int:
    return 3 if location == _ROOT_ERROR_STATUS else _ORDER.get(location.capability, 0)


class Acknowledger:
    """Asks *write* for what is given to it, on a thread of its own; *report* is called there with each outcome."""

    def __init__(self, write: Write, report: Callable[[Outcome], None], *, boot: str) -> None:
        self._write, self._report, self._boot = write, report, boot
        self._queue: SimpleQueue[Acknowledgement | None] = SimpleQueue()
        self._refusals: dict[tuple[Bdf, Location], int] = {}
        self._asked: dict[tuple[Bdf, Location], int] = {}
        self._number = 0
        self.outstanding = 0  # asked for by the loop's thread, and not settled there yet
        threading.Thread(target=self._run, name="acknowledge", daemon=True).start()

    def prepare(self, claims: Iterable[Claim], allowed: Callable[[Bdf], bool], now_ns: int, cause: Cause = LOGGED) -> list[Acknowledgement]:
        """What to write for *claims*; the rows go into the transaction that makes it durable, then `ask` (wall time *now_ns*).

        What is being asked for already is left out; so is what was refused before, unless an operator orders it.
        """
        return list(self._prepared(acknowledgeable(claims, allowed), now_ns, cause))

    def _prepared(self, wanted: dict[tuple[Bdf, Location], Wanted], now_ns: int, cause: Cause) -> Iterator[Acknowledgement]:
        for key, found in wanted.items():
            new = found.bits & ~self._asked.get(key, 0)
            if new and (cause.command or self._refusals.get(key, 0) < REFUSALS):
                self.outstanding += 1
                self._asked[key] = self._asked.get(key, 0) | new
                yield Acknowledgement(*key, new, self._row(key, replace(found, bits=new), now_ns, cause))
                now_ns += 1  # the ledger keeps their order

    def _row(self, key: tuple[Bdf, Location], wanted: Wanted, now_ns: int, cause: Cause) -> RegisterWrite:
        self._number += 1
        bdf, location = key
        return RegisterWrite(
            id=str(uuid.uuid5(NAMESPACE, f"write\0{self._boot}\0{now_ns}\0{self._number}")),
            wall_ns=now_ns,
            boot=self._boot,
            device=str(bdf),
            register=str(location),
            width=location.width,
            before=None,
            value=wanted.bits,
            after=None,
            why=cause.why,
            ereports=tuple(wanted.ereports),
            case=cause.case,
            command=cause.command,
            uid=cause.uid,
            pid=cause.pid,
        )

    def ask(self, wanted: Iterable[Acknowledgement]) -> None:
        """Their rows are durable: write."""
        for one in wanted:
            self._queue.put(one)

    def forgive(self) -> None:
        """Ask again where it was refused: the fabric, or who owns it, has changed."""
        self._refusals.clear()

    def settled(self, outcome: Outcome) -> None:
        """The outcome has been taken note of: its bits may be asked for again."""
        self.outstanding -= 1
        key = (outcome.asked.bdf, outcome.asked.location)
        self._asked[key] = self._asked.get(key, 0) & ~outcome.asked.bits
        self._refusals[key] = 0 if outcome.cleared else self._refusals.get(key, 0) + 1

    def close(self) -> None:
        """Ask for nothing more."""
        self._queue.put(None)

    def _run(self) -> None:
        while (asked := self._queue.get()) is not None:
            self._report(self._outcome(asked))

    def _outcome(self, asked: Acknowledgement) -> Outcome:
        try:
            before, after = self._write(asked.bdf, asked.location, asked.bits)
        except WriteRefusedError as err:
            return Outcome(asked, replace(asked.row, value=0, why=f"not written: {err}"), cleared=False, refused=True)
        except PcifmaError as err:
            return Outcome(asked, replace(asked.row, why=f"outcome unknown: {err}"), cleared=False, refused=True)
        row = replace(asked.row, before=before, value=before & asked.bits, after=after)
        return Outcome(asked, row, cleared=not after & asked.bits, refused=False)


def unfinished(rows: Iterable[RegisterWrite], boot: str) -> set[tuple[str, str, int]]:
    """(device, register, bit) of writes in this *boot* whose outcome is not known."""
    lost = [row for row in rows if row.boot == boot and row.after is None and row.value]
    return {(row.device, row.register, bit) for row in lost for bit in range(8 * row.width) if row.value >> bit & 1}
