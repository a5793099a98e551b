"""Looking, again and again: what the poller finds goes to the log, and only then back to hardware and on to the modules.

    look ──> batch (ereports, latched set, baselines, ledger rows) ──> durable ──> acknowledge ──> outcome into the ledger
                                                                          └──────> the engine dispatches

A batch that the log does not take waits, and no new look is made before it is in: the registers keep what they have latched.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import msgspec

from pcifma.access.seam import ConfigSpace, Machine
from pcifma.errors import DaemonError, LogBusyError, LogError
from pcifma.event.ereport import Ereport
from pcifma.fabric.build import update
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.fmri import identity
from pcifma.fabric.function import Function
from pcifma.fmd.acknowledge import Acknowledgement, Acknowledger, Claim, Outcome, has_row, unfinished
from pcifma.fmd.claim import ordered, shadows, standing
from pcifma.fmd.deadline import Readers, Wanted
from pcifma.fmd.log.batch import Batch, FabricSnapshot, Position
from pcifma.fmd.log.log import Log
from pcifma.fmd.log.ticket import Ticket
from pcifma.fmd.order import Order
from pcifma.plugin.status import LOOK_BOUNDS_S
from pcifma.poll.ereport import Maker
from pcifma.poll.latched import Baseline, LatchedSet
from pcifma.poll.look import Look
from pcifma.poll.poller import Poller
from pcifma.poll.target import Sourced
from pcifma.poll.triage import BatchReader
from pcifma.regs.bdf import Bdf
from pcifma.regs.table import Location

# A look between two writes to one Function would take the Device Status bit for one that nothing explains: wait so long for them.
ACK_PATIENCE_NS = 200_000_000
ACK_PAUSE_NS = 2_000_000
# Looks share the loop with whoever asks over the control socket: so much processor time at once, where everything changes at once.
SPAN_S = 0.03


@dataclass(slots=True)
class Count:
    """What has been done since the start. *functions* and *unread* are of the last look; *buckets* sort looks by how long they took."""

    looks: int = 0
    deferred: int = 0
    reads: int = 0
    ereports: int = 0
    writes: int = 0
    refused: int = 0
    functions: int = 0
    unread: dict[str, str] = field(default_factory=dict)
    last_wall_ns: int | None = None
    longest_ns: int = 0
    spent_ns: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(LOOK_BOUNDS_S) + 1))


@dataclass(frozen=True, slots=True)
class Duty:
    """How to look: times in ns. *may_clear* tells for which Functions logged bits may be written back; *automatic*: without being
    told to, each time. *polls*: by the clock at all.
    """

    fast_ns: int
    slow_ns: int
    may_clear: Callable[[Fabric, Bdf], bool]
    automatic: bool = True
    polls: bool = True


class Lookout:
    """Owns the poller. Everything here runs on the loop's thread."""

    def __init__(
        self,
        machine: Machine,
        fabric: Fabric,
        sources: Iterable[Sourced],
        log: Log,
        *,
        duty: Duty,
        streams: Sequence[str] = (),
        readers: Readers | None,
        acknowledger: Acknowledger | None,
    ) -> None:
        """Go on from what *log* holds."""
        self.machine, self.log, self.duty = machine, log, duty
        self.acknowledger = acknowledger
        self.count = Count()
        reader = log.reader()
        position = reader.position()
        latched = LatchedSet(machine.boot, reader.latched(), reader.baselines())
        self._stored: dict[str, Baseline] = {row.target: row for row in latched.baselines()}
        maker = Maker(machine.name, machine.boot, fabric, snapshot=position.snapshot)
        self.poller = Poller(
            machine, fabric, list(sources), latched=latched, maker=maker, tick=position.tick,
            reader=_batch_reader(readers), streams=streams, fast_ns=duty.fast_ns, slow_ns=duty.slow_ns, polls=duty.polls,
            span_s=SPAN_S,
        )  # fmt: skip
        self._presumed = unfinished(reader.writes(), machine.boot) if acknowledger is not None else set()
        reader.close()
        # Which of what was seen belongs to planned work.
        self.mark: Callable[[Sequence[Ereport], Fabric], Sequence[Ereport]] = lambda ereports, fabric: ereports
        self._logged_fabric = ""
        self._refused: LogError | None = None
        self._took_ns = 0  # the look under way, so far
        self._generation = log.generation
        self._acks_since_ns: int | None = None
        self._waiting: deque[tuple[Batch, list[Acknowledgement]]] = deque()
        self._orders: list[Order] = []
        self._ordered: list[Order] = []

    @property
    def fabric(self) -> Fabric:
        """The fabric as the poller sees it."""
        return self.poller.fabric

    @property
    def due_ns(self) -> int:
        """Boot time of the next look."""
        return self.poller.due_ns

    def keep_pace(self) -> None:
        """The duty has changed: look as often as it says, from now on."""
        self.poller.pace(self.duty.fast_ns, self.duty.slow_ns)
        self.poller.polls = self.duty.polls

    def look(self, extra: Iterable[Ereport] = ()) -> bool:
        """Look, and hand what was found to the log; False if the log takes nothing now. *extra* ereports go along.

        LogError if what an earlier look found was refused for good: only a restart makes memory and log agree again.
        """
        if self._refused is not None:
            raise self._refused
        clock = self.machine.clock
        if self._is_acknowledging(clock.boot_ns()):
            self.poller.due_ns = clock.boot_ns() + ACK_PAUSE_NS
            return True
        if not self._send():
            self.count.deferred += 1
            self.poller.due_ns = clock.boot_ns() + self.duty.fast_ns
            return False
        self._presume_cleared()
        if self.log.generation != self._generation:
            self._renew()
        started_ns = clock.boot_ns()
        slow = started_ns >= self.poller.slow_due_ns
        look = self.poller.look()
        self._note(look, clock.boot_ns() - started_ns)
        slow = slow and look.whole
        acks = self._carry_out(look) + self._acknowledgements(look, slow=slow)
        batch = self._batch(look, acks, tuple(extra), slow=slow)
        if batch is not None:
            self._waiting.append((batch, acks))
            self._send()
        return True

    def _is_acknowledging(self, now_ns: int) -> bool:
        if self.acknowledger is None or not self.acknowledger.outstanding:
            self._acks_since_ns = None
            return False
        self._acks_since_ns = self._acks_since_ns or now_ns
        return now_ns - self._acks_since_ns < ACK_PATIENCE_NS

    # The log had to begin a new file, which knows nothing of what was seen.
    def _renew(self) -> None:
        self._generation = self.log.generation
        self.poller.latched.renew()
        self._stored.clear()
        self._logged_fabric = ""

    def rescan(self, changed: Iterable[Bdf]) -> bool:
        """Take in which Functions are there now; *changed* are looked at anew. True if the fabric is another one."""
        rescan = getattr(self.machine.configs, "rescan", None)
        if rescan is not None:
            rescan()
        before = self.fabric
        here = set(self.machine.configs) | set(self.machine.unread)
        gone = {Bdf.parse(device) for device, reason in self.count.unread.items() if reason in ("gone", "unreadable")}
        again = (set(changed) | gone) & here
        if not again and here == set(before.functions):
            return False
        fabric = update(self.machine, before, again)
        self.poller.update(fabric)  # a Function that was replaced by its like has other descriptors
        if fabric.id == before.id:
            return False
        if self.acknowledger is not None:
            self.acknowledger.forgive()
        return True

    def outcome(self, outcome: Outcome) -> None:
        """An acknowledgement has been answered: into the ledger, and out of the latched set if it is cleared."""
        assert self.acknowledger is not None
        self.acknowledger.settled(outcome)
        self.count.writes += bool(outcome.row.value and not outcome.refused)
        self.count.refused += outcome.refused
        if outcome.cleared:
            asked = outcome.asked
            bits = {(str(asked.location), bit) for bit in range(8 * asked.location.width) if asked.bits >> bit & 1}
            self._fall(asked.bdf, bits)
        now_ns = self.machine.clock.boot_ns()
        self._waiting.append((Batch(now_ns, latched=self.poller.latched.take_changes(), writes=(outcome.row,)), []))
        self._send()
        for order in self._ordered:
            order.note(outcome)
        self._ordered = [order for order in self._ordered if not order.done]

    def _send(self) -> bool:
        # In order, and only what the log takes: the rest waits.
        while self._waiting:
            batch, acks = self._waiting[0]
            try:
                ticket = self.log.append(batch)
            except LogBusyError:
                return False
            self._waiting.popleft()
            ticket.then(partial(self._synced, acks))
        return True

    def _synced(self, acks: list[Acknowledgement], ticket: Ticket) -> None:
        # On the log's thread.
        self._refused = self._refused or ticket.error
        if ticket.durable and self.acknowledger is not None:
            self.acknowledger.ask(acks)

    def _batch(self, look: Look, acks: list[Acknowledgement], extra: tuple[Ereport, ...], *, slow: bool) -> Batch | None:
        ereports = (*self.mark(look.ereports, self.fabric), *extra)
        fabrics = self._new_fabric(look.when.wall_ns)
        news = bool(ereports or look.latched or acks or fabrics)
        baselines = self._new_baselines() if news or slow else ()
        if not news and not baselines:
            return None
        position = Position(self.poller.tick, self.poller.maker.snapshot)
        rows = tuple(ack.row for ack in acks)
        return Batch(
            look.when.boot_ns, ereports=ereports, latched=look.latched, baselines=baselines, position=position, fabrics=fabrics, writes=rows
        )

    def _new_baselines(self) -> tuple[Baseline, ...]:
        new = tuple(row for row in self.poller.latched.baselines() if self._stored.get(row.target) is not row)
        self._stored.update((row.target, row) for row in new)
        return new

    def _new_fabric(self, wall_ns: int) -> tuple[FabricSnapshot, ...]:
        if self.fabric.id == self._logged_fabric:
            return ()
        self._logged_fabric = self.fabric.id
        return (FabricSnapshot(self.fabric.id, wall_ns, described(self.fabric)),)

    def _acknowledgements(self, look: Look, *, slow: bool) -> list[Acknowledgement]:
        if self.acknowledger is None or not self.duty.automatic:
            return []
        claims: list[Claim] = list(look.evidence)
        if slow:  # what stands from before: refused then, or logged by a daemon that was not allowed to
            for function in self.fabric:
                claims += standing(self.poller, function.bdf)
        claims += shadows(self.poller, claims)
        return self.acknowledger.prepare(claims, partial(self.duty.may_clear, self.fabric), look.when.wall_ns)

    # What an operator says and orders.

    def rebase(self, functions: Iterable[Bdf]) -> None:
        """A repair was made there: what is latched at the next look, at once, is the new baseline and no news."""
        for bdf in functions:
            self.poller.examine(bdf, rebase=True)
        self.poller.due_ns = self.machine.clock.boot_ns()

    def latched(self, functions: Iterable[Bdf]) -> int:
        """How many bits stand there that hide their repeats: those that could be written back, and are not by the daemon itself."""
        claims = [claim for bdf in functions for claim in standing(self.poller, bdf) if not self._clears(bdf)]
        return sum(isinstance(evidence.location, Location) and has_row(evidence.location) for _, evidence in claims)

    def _clears(self, bdf: Bdf) -> bool:
        return self.acknowledger is not None and self.duty.automatic and self.duty.may_clear(self.fabric, bdf)

    def order(self, order: Order) -> None:
        """Look at its Functions whole, at once, and write back what is logged of them then."""
        self._orders.append(order)
        for function in self.fabric:
            if order.covers(function.bdf):
                self.poller.examine(function.bdf)
        self.poller.due_ns = self.machine.clock.boot_ns()

    def _carry_out(self, look: Look) -> list[Acknowledgement]:
        orders, self._orders = self._orders, []
        acks: list[Acknowledgement] = []
        for order in orders:
            if self.acknowledger is None:
                order.fail(DaemonError("nothing can be written here: only a daemon that root started on this machine writes"))
                continue
            own = self.acknowledger.prepare(ordered(self.poller, order), lambda _: True, look.when.wall_ns, order.cause)
            order.expect(own)
            acks += own
        self._ordered = [order for order in (*self._ordered, *orders) if not order.done]
        return acks

    def _presume_cleared(self) -> None:
        for bdf in {Bdf.parse(device) for device, _, _ in self._presumed}:
            self._fall(bdf, {(register, bit) for device, register, bit in self._presumed if device == str(bdf)})
        self._presumed = set()

    def _fall(self, bdf: Bdf, bits: set[tuple[str, int]]) -> None:
        function = self.fabric.get(bdf)
        if function is None:
            return
        for row in self.poller.latched.standing(identity(self.fabric, function)):
            if (row.register, row.bit) in bits:
                self.poller.latched.fall(row)
        self.poller.examine(bdf)

    def _note(self, look: Look, took_ns: int) -> None:
        count = self.count
        count.reads += look.reads
        count.ereports += len(look.ereports)
        count.functions, count.unread = look.functions, look.unread
        count.last_wall_ns = look.when.wall_ns
        count.spent_ns += took_ns
        self._took_ns += took_ns
        if look.whole:
            count.looks += 1
            count.longest_ns = max(count.longest_ns, self._took_ns)
            count.buckets[bisect_left(LOOK_BOUNDS_S, self._took_ns / 1e9)] += 1
            self._took_ns = 0


def described(fabric: Fabric) -> bytes:
    """The fabric as JSON: one object a Function, by address."""
    rows = {
        str(f.bdf): {
            "vendor": f.vendor, "device": f.device, "class": f.class_code, "serial": f.serial, "type": f.dev_type, "driver": f.driver,
            "parent": None if f.parent is None else str(f.parent), "slot": None if f.slot is None else f.slot.label, "unread": f.unread,
            "physfn": None if f.physfn is None else str(f.physfn), **_slot_sources(f),
        }
        for f in fabric
    }  # fmt: skip
    return msgspec.json.encode(rows)


def _slot_sources(function: Function) -> dict[str, object]:
    if function.slot is None:
        return {}
    return {"slot_source": function.slot.source, "slot_others": function.slot.others}


def _batch_reader(readers: Readers | None) -> BatchReader | None:
    if readers is None:
        return None

    def prepare(wanted: Sequence[tuple[ConfigSpace, int, int]]) -> Callable[[], list[bytes | None]]:
        read = readers.again(cast("Sequence[Wanted]", wanted))
        return lambda: [outcome if isinstance(outcome, bytes) else None for outcome in read()]

    return prepare
