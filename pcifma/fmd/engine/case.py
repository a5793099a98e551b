"""A case: evidence, suspects, and where it stands.

                 1 solve                      5 settled, all isolated        6 repair (closed)
    UNSOLVED ------------> SOLVED            +-----------------> CLOSED --------------------+
        |                   | |              |                                              |
        | 2 close           | +------------> CLOSE_WAIT                                     v      8 resolve
        +----------------+  |   3 close,     |   |  7 settled, all repaired             REPAIRED -----------> RESOLVED
                         |  |   4 repair     |   +---------------------------------------->
                         v  v                |
                        CLOSE_WAIT ----------+--- 9 settled, never solved: discarded

| # | from, to | by | action |
|---|---|---|---|
| 1 | UNSOLVED, SOLVED | solve, by its module | suspects into the resource cache, list.suspect |
| 2 | UNSOLVED, CLOSE_WAIT | close, by its module | |
| 3 | SOLVED, CLOSE_WAIT | close, by its module; isolate, by an agent | isolated suspects become unusable |
| 4 | SOLVED, CLOSE_WAIT | repair of the last faulty suspect | |
| 5 | CLOSE_WAIT, CLOSED | settled after 3 | list.isolated, if an agent isolated |
| 6 | CLOSED, REPAIRED | repair of the last faulty suspect | list.repaired, probation begins |
| 7 | CLOSE_WAIT, REPAIRED | settled after 4 | list.repaired, probation begins |
| 8 | REPAIRED, RESOLVED | quiet probation over, or the case that followed is resolved | list.resolved, evidence released |
| 9 | CLOSE_WAIT, gone | settled after 2 | evidence released |

Settled: the owning module has taken all that was logged when the closing began, so that late evidence of the same fault lands in
this case and opens no other. A repair that leaves another suspect faulty changes no state: list.updated.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from pcifma.errors import PluginError
from pcifma.event.case import ListClass, ListEvent, Suspect, Urgency
from pcifma.fmd.log.batch import CaseRow

State = Literal["UNSOLVED", "SOLVED", "CLOSE_WAIT", "CLOSED", "REPAIRED", "RESOLVED", "DISCARDED"]
Closing = Literal["", "discard", "close", "isolate", "repair"]

TRANSITIONS: dict[tuple[State, State], str] = {
    ("UNSOLVED", "SOLVED"): "1",
    ("UNSOLVED", "CLOSE_WAIT"): "2",
    ("SOLVED", "CLOSE_WAIT"): "3, 4",
    ("CLOSE_WAIT", "CLOSED"): "5",
    ("CLOSED", "REPAIRED"): "6",
    ("CLOSE_WAIT", "REPAIRED"): "7",
    ("REPAIRED", "RESOLVED"): "8",
    ("CLOSE_WAIT", "DISCARDED"): "9",
}
OPEN: tuple[State, ...] = ("UNSOLVED", "SOLVED", "CLOSE_WAIT")
PUBLISHED: tuple[State, ...] = ("SOLVED", "CLOSE_WAIT", "CLOSED")
FAULTY = ("faulty", "degraded", "unusable", "not-present")


class CaseRecord(msgspec.Struct, kw_only=True):
    """A case as it is checkpointed.

    *id* is its number in this log, *key* the module's name for it. *more* counts evidence beyond what is kept. *posted* numbers
    its list events. *closing* is what CLOSE_WAIT leads to, once the owner's cursor has reached *close_seq*. *probation_wall_ns* is
    when REPAIRED becomes RESOLVED (in the boot *probation_boot*: at *probation_boot_ns*). *follows* is the repaired case at whose place
    this one came up while it was on probation, *followed_by* the other way round. *remarks* are what operators said, a line each.
    *opened_wall_ns*, *repaired_wall_ns* in ns since 1970 (0: not yet).
    """

    id: int
    uuid: str
    module: str
    key: str
    opened_wall_ns: int
    state: State = "UNSOLVED"
    de: dict[str, str] = {}
    rules: str = ""
    code: str = ""
    severity: str = ""
    urgency: Urgency = "never-mind"
    diag_time: str = ""
    suspects: list[Suspect] = []
    more: int = 0
    posted: int = 0
    closing: Closing = ""
    close_seq: int = 0
    repaired_wall_ns: int = 0
    probation_wall_ns: int = 0
    probation_boot: str = ""
    probation_boot_ns: int = 0
    follows: str = ""
    followed_by: str = ""
    remarks: list[str] = []
    injected: bool = False

    @property
    def faulty(self) -> bool:
        """True while one of its suspects still is."""
        return any(suspect.status in FAULTY for suspect in self.suspects)

    @property
    def first(self) -> Suspect:
        """The most certain of those that are still blamed; where nobody is, the one that was named first. Only of a solved case."""
        return max((suspect for suspect in self.suspects if suspect.status in FAULTY), key=lambda s: s.certainty, default=self.suspects[0])

    def move(self, state: State) -> None:
        """Go to *state*; PluginError if no transition leads there."""
        if (self.state, state) not in TRANSITIONS:
            raise PluginError(f"case {self.uuid} is {self.state}: it cannot become {state}")
        self.state = state

    def row(self) -> CaseRow:
        """As the log stores it."""
        return CaseRow(self.id, self.uuid, self.module, self.key, self.state, _ENCODER.encode(self))


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(CaseRecord)


def load(row: CaseRow) -> CaseRecord:
    """Read a case back."""
    return _DECODER.decode(row.body)


def normalise(suspects: Iterable[Suspect], whole: int = 100) -> list[Suspect]:
    """Most certain first, certainties in percent that add up to *whole* (largest remainder; all 0 counts as all equal)."""
    ordered = sorted(suspects, key=lambda suspect: -suspect.certainty)
    weights = [max(suspect.certainty, 0) for suspect in ordered]
    if not any(weights):
        weights = [1] * len(ordered)
    total = sum(weights)
    shares = [weight * whole // total for weight in weights]
    by_remainder = sorted(range(len(ordered)), key=lambda i: -(weights[i] * whole % total))
    for i in by_remainder[: whole - sum(shares)]:
        shares[i] += 1
    return [msgspec.structs.replace(suspect, certainty=share) for suspect, share in zip(ordered, shares, strict=True)]


SuspectKey = tuple[str, str, str, str]


def suspect_key(suspect: Suspect) -> SuspectKey:
    """Two suspects of the same key blame the same thing for the same reason (fmd's rule for duplicates)."""
    return suspect.class_, suspect.resource, suspect.asru, suspect.fru


def list_event(case: CaseRecord, class_: ListClass, *, event: str, host: str, time: str, ereports: Iterable[str]) -> ListEvent:
    """The list event *class_* of *case* as it stands; *event* is its own uuid, *ereports* the evidence."""
    return ListEvent(
        class_=class_,
        uuid=case.uuid,
        event=event,
        host=host,
        seq=0,
        time=time,
        diag_time=case.diag_time,
        de=case.de,
        code=case.code,
        severity=case.severity,
        urgency=case.urgency,
        fault_list=list(case.suspects),
        ereports=list(ereports),
        rules=case.rules or msgspec.UNSET,
        follows=case.follows or msgspec.UNSET,
        injected=True if case.injected else msgspec.UNSET,
    )
