"""What a run found: the trailer, and the exit status that goes with it (contract 3)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from pcifma.event.value import FABRIC_CLASS, MODULE_CLASS
from pcifma.poll.absence import ASLEEP, summary
from pcifma.poll.look import Look

if TYPE_CHECKING:
    from pcifma.event.ereport import Ereport
    from pcifma.event.line import Event

NOTHING, FOUND, INCOMPLETE = 0, 1, 3


class Counts(NamedTuple):
    """The trailer's numbers, as SweepSummary has them."""

    functions: int
    read: int
    unread: dict[str, int]
    ereports: int
    residue: int
    writes: int

    def line(self) -> bytes:
        """The trailer in JSON, byte for byte as msgspec would write it, which a sweep that finds nothing need not import."""
        return json.dumps({"class": "sweep.summary", "version": 1, **self._asdict()}, separators=(",", ":"), ensure_ascii=False).encode()


class Outcome(NamedTuple):
    """The trailer of a run over one or more looks. *failed*: plugins that were set aside, with what they raised."""

    summary: Counts
    failed: tuple[str, ...] = ()

    @classmethod
    def of(cls, looks: Sequence[Look], writes: int = 0) -> Outcome:
        """Count the ereports of all *looks*; Functions are those of the last."""
        events = [event for look in looks for event in look.ereports]
        last = looks[-1]
        return cls(
            Counts(
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


def write_json(out: BinaryIO, events: Sequence[Event], trailer: Counts) -> None:
    """All of *events* as lines, then the trailer."""
    lines = _encoded(events) if events else []
    lines.append(trailer.line())
    out.write(b"\n".join(lines) + b"\n")
    out.flush()


def _encoded(events: Iterable[Event]) -> list[bytes]:
    from pcifma.event.line import encode  # noqa: PLC0415 - see Counts.line

    return [encode(event) for event in events]


def bits(events: Iterable[Ereport]) -> list[Ereport]:
    """The ereports that stand on a bit: no raw snapshots, nothing of pcifma's own."""
    return [event for event in events if event.class_ != FABRIC_CLASS and not event.class_.startswith("ereport.pcifma.")]
