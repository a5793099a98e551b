"""An operator's one-time order to write logged bits back, on the same road as every acknowledgement.

    given ──> the next look, so that what stands now is logged ──> its writes, as the ledger has them ──> answered
                 └── Functions that are somebody else's: left, and said why

What is not logged, or stands in a register whose row has no `ack`, is left as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pcifma.errors import PcifmaError
from pcifma.fabric.fabric import Fabric
from pcifma.fmd.acknowledge import Acknowledgement, Cause, Outcome
from pcifma.fmd.log.batch import RegisterWrite
from pcifma.regs.bdf import Bdf

Refusal = Callable[[Fabric, Bdf], str]
"""Why the registers of a Function are not ours to write; empty where they are."""


@dataclass(slots=True)
class Answer:
    """What became of an order. *refused*: address and reason; *left*: address, register and bits that are never written.

    *writes* are rows of the ledger, refused ones included, in the order in which they were asked for. *ereports*: uuids of all that
    stood when its Functions were looked at.
    """

    writes: list[RegisterWrite] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    left: list[tuple[str, str, int]] = field(default_factory=list)
    ereports: list[str] = field(default_factory=list)


class Order:
    """*functions* None: every Function. *then* is called once, with an Answer or with why there is none."""

    def __init__(
        self, functions: Iterable[Bdf] | None, cause: Cause, refusal: Refusal, *, then: Callable[[Answer | PcifmaError], None]
    ) -> None:
        self.functions = None if functions is None else frozenset(functions)
        self.cause, self.refusal = cause, refusal
        self.answer = Answer()
        self._then = then
        self._open: set[str] = set()

    def covers(self, bdf: Bdf) -> bool:
        """True if *bdf* is one of its Functions."""
        return self.functions is None or bdf in self.functions

    def expect(self, acks: Iterable[Acknowledgement]) -> None:
        """Its writes are these; with none it is answered at once."""
        self._open = {ack.row.id for ack in acks}
        if not self._open:
            self._then(self.answer)

    def note(self, outcome: Outcome) -> None:
        """One of the daemon's writes has been answered: perhaps one of this order's."""
        if outcome.row.id in self._open:
            self._open.discard(outcome.row.id)
            self.answer.writes.append(outcome.row)
            if not self._open:
                self._then(self.answer)

    def fail(self, err: PcifmaError) -> None:
        """It cannot be carried out."""
        self._open.clear()
        self._then(err)

    @property
    def done(self) -> bool:
        """Nothing of it is open any more."""
        return not self._open
