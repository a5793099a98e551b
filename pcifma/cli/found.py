"""What a run found: the trailer, and the exit status that goes with it (contract 3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import BinaryIO, NamedTuple

from pcifma.event.ereport import FABRIC_CLASS, Ereport, SweepSummary
from pcifma.event.line import Event, encode
from pcifma.poll.absence import ASLEEP, summary
from pcifma.poll.ereport import MODULE_CLASS
from pcifma.poll.poller import Look

NOTHING, FOUND, INCOMPLETE = 0, 1, 3


class Outcome(NamedTuple):
    """The trailer of a run over one or more looks. *failed*: plugins that were set aside, with what they raised."""

    summary: SweepSummary
    failed: tuple[str, ...] = ()

    @classmethod
    def of(cls, looks: Sequence[Look], writes: int = 0) -> Outcome:
        """Count the ereports of all *looks*; Functions are those of the last."""
        events = [event for look in looks for event in look.ereports]
        last = looks[-1]
        return cls(
            SweepSummary(
                functions=last.functions,
                read=last.read,
                unread=summary(last.unread.values()),
                ereports=sum(event.is_error for event in events),
                residue=sum(event.residue for event in events),
                writes=writes,
            ),
            tuple(f"plugin {e.payload['module']} was set aside: {e.payload['error']}" for e in events if e.class_ == MODULE_CLASS),
        )

    def status(self, *, strict: bool) -> int:
        """0, 1 or 3; a sleeping Function counts as not looked at only if *strict*, what a failed plugin would have seen always."""
        if self.summary.ereports:
            return FOUND
        unread = {reason for reason in self.summary.unread if strict or reason != ASLEEP}
        return INCOMPLETE if unread or self.failed else NOTHING


def write_json(out: BinaryIO, events: Iterable[Event], trailer: SweepSummary) -> None:
    """All of *events* as lines, then the trailer."""
    lines = [encode(event) for event in events]
    lines.append(encode(trailer))
    out.write(b"\n".join(lines) + b"\n")
    out.flush()


def bits(events: Iterable[Ereport]) -> list[Ereport]:
    """The ereports that stand on a bit: no raw snapshots, nothing of pcifma's own."""
    return [event for event in events if event.class_ != FABRIC_CLASS and not event.class_.startswith("ereport.pcifma.")]
