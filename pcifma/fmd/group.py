"""A group: what has arrived since the last sync began, to be committed in one transaction."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

import msgspec

from pcifma.event.case import ListEvent
from pcifma.event.line import encode
from pcifma.fmd.batch import Batch, CaseRow, Checkpoint, FabricSnapshot, LatchedBit, RegisterWrite, ResourceRow
from pcifma.fmd.fold import FOLD_AT, merge
from pcifma.fmd.row import Arrival, arrival, wall_of
from pcifma.fmd.ticket import Ticket


@dataclass(frozen=True, slots=True)
class ListArrival:
    """A list event on its way into the fault log."""

    event: ListEvent
    boot_ns: int
    wall_ns: int

    def body(self, seq: int) -> bytes:
        """The line to store, with its *seq*."""
        return encode(msgspec.structs.replace(self.event, seq=seq))


@dataclass(slots=True)
class Group:
    """Batches joined. *events* keep their order of arrival; of everything else the latest state counts."""

    events: list[Arrival | ListArrival] = field(default_factory=list)
    latched: dict[tuple[str, str, int], LatchedBit] = field(default_factory=dict)
    fabrics: dict[str, FabricSnapshot] = field(default_factory=dict)
    writes: list[RegisterWrite] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    cases: dict[str, CaseRow] = field(default_factory=dict)
    resources: dict[tuple[str, int], ResourceRow] = field(default_factory=dict)
    evidence: list[tuple[str, int]] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    tickets: list[Ticket] = field(default_factory=list)
    folded: int = 0
    _open: dict[bytes, Arrival] = field(default_factory=dict)

    def add(self, batch: Batch, ticket: Ticket) -> None:
        """Join *batch*, or nothing of it: ValueError if an ereport or list event does not follow the contract."""
        arrivals = [arrival(event, batch.boot_ns) for event in batch.ereports]
        lists = [ListArrival(event, batch.boot_ns, wall_of(event.time)) for event in batch.lists]
        for row in arrivals:
            self._add(row)
        self.events += lists
        self._add_state(batch)
        self.tickets.append(ticket)

    def _add(self, row: Arrival) -> None:
        if len(self.events) >= FOLD_AT:
            known = self._open.get(row.origin)
            if known is not None:
                merge(known, row)
                self.folded += 1
                return
        self._open[row.origin] = row
        self.events.append(row)

    def _add_state(self, batch: Batch) -> None:
        self.latched.update(((bit.target, bit.location, bit.bit), bit) for bit in batch.latched)
        self.fabrics.update((fabric.id, fabric) for fabric in batch.fabrics)
        self.writes += batch.writes
        self.checkpoints += batch.checkpoints
        self.cases.update((case.uuid, case) for case in batch.cases)
        self.resources.update(((row.case, row.n), row) for row in batch.resources)
        self.evidence += batch.evidence
        self.released += batch.released


def uuid_bytes(text: str) -> bytes:
    """A uuid as the 16 bytes that the tables hold."""
    return uuid.UUID(text).bytes
