"""A group: what has arrived since the last sync began, to be committed in one transaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from pcifma.event.case import ListEvent
from pcifma.event.line import encode
from pcifma.fmd.log.batch import Batch, CaseRow, Checkpoint, FabricSnapshot, Position, RegisterWrite, ResourceRow
from pcifma.fmd.log.fold import FOLD_AT, merge
from pcifma.fmd.log.row import Arrival, arrival, wall_of
from pcifma.fmd.log.ticket import Ticket
from pcifma.poll.latched import Baseline, Standing


@dataclass(frozen=True, slots=True)
class ListArrival:
    """A list event on its way into the fault log."""

    event: ListEvent
    boot_ns: int
    wall_ns: int

    def body(self, seq: int) -> bytes:
        """The line to store, with its *seq*."""
        return encode(msgspec.structs.replace(self.event, seq=seq))


@dataclass(frozen=True, slots=True)
class Rows:
    """The events of a batch as they will be stored: made by whoever appends them, before anybody has to wait for that."""

    ereports: list[Arrival]
    lists: list[ListArrival]

    @classmethod
    def of(cls, batch: Batch) -> Rows:
        """The events of *batch*; ValueError if one does not follow the contract."""
        lists = [ListArrival(event, batch.boot_ns, wall_of(event.time)) for event in batch.lists]
        return cls([arrival(event, batch.boot_ns) for event in batch.ereports], lists)


@dataclass(slots=True)
class Group:
    """Batches joined. *events* keep their order of arrival; of everything else the latest state counts."""

    events: list[Arrival | ListArrival] = field(default_factory=list)
    latched: dict[tuple[str, str, int], Standing] = field(default_factory=dict)
    baselines: dict[str, Baseline] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)
    position: Position | None = None
    fabrics: dict[str, FabricSnapshot] = field(default_factory=dict)
    writes: list[RegisterWrite] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    cases: dict[int, CaseRow] = field(default_factory=dict)
    resources: dict[tuple[int, int], ResourceRow] = field(default_factory=dict)
    evidence: list[tuple[int, int]] = field(default_factory=list)
    released: list[int] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    tickets: list[Ticket] = field(default_factory=list)
    folded: int = 0
    _open: dict[bytes, Arrival] = field(default_factory=dict)

    def add(self, batch: Batch, rows: Rows, ticket: Ticket) -> None:
        """Join *batch*, whose events are *rows*."""
        for row in rows.ereports:
            self._add(row)
        self.events += rows.lists
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
        self._forget(batch.forgotten)
        self.latched.update(((row.target, row.register, row.bit), row) for row in batch.latched)
        self.baselines.update((row.target, row) for row in batch.baselines)
        self.position = batch.position or self.position
        self.fabrics.update((fabric.id, fabric) for fabric in batch.fabrics)
        self.writes += batch.writes
        self.checkpoints += batch.checkpoints
        self.cases.update((case.id, case) for case in batch.cases)
        self.resources.update(((row.case, row.n), row) for row in batch.resources)
        self.evidence += batch.evidence
        self.released += batch.released
        self.notes.update(batch.notes)

    def _forget(self, targets: Iterable[str]) -> None:
        for target in targets:
            self.forgotten.add(target)
            self.baselines.pop(target, None)
            self.latched.update((key, row._replace(standing=False)) for key, row in self.latched.items() if key[0] == target)
