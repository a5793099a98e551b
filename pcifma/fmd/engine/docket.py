"""The docket: all cases of all modules, and what has changed of them since the last checkpoint.

Nothing here is published before it is durable: list events leave in the same transaction as the case that they speak of, and are
dispatched from the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

import msgspec

from pcifma.access.seam import Clock
from pcifma.errors import PluginError
from pcifma.event.case import ListClass, ListEvent, Suspect, SuspectStatus, Urgency
from pcifma.event.identity import name_uuid, utc
from pcifma.fmd.engine.cache import Resource, ResourceCache, place
from pcifma.fmd.engine.case import FAULTY, OPEN, PUBLISHED, CaseRecord, Closing, SuspectKey, list_event, load, suspect_key
from pcifma.fmd.engine.handle import Case
from pcifma.fmd.engine.probation import DAY_NS, Probation, first_places
from pcifma.fmd.log.batch import CaseRow, ResourceRow

# After a repair a case stays under watch for a day before it is resolved.
PROBATION_NS = DAY_NS
REMARKS = 64
# So many resolved cases are still known by their uuid: as many as the log keeps by default.
RESOLVED_KNOWN = 1000
_URGENCY: tuple[Urgency, ...] = get_args(Urgency)[::-1]  # least urgent first


@dataclass(slots=True)
class Changes:
    """What the next checkpoint has to store."""

    lists: list[ListEvent] = field(default_factory=list)
    cases: dict[int, CaseRecord] = field(default_factory=dict)
    resources: dict[tuple[int, int], Resource] = field(default_factory=dict)
    evidence: list[tuple[int, int]] = field(default_factory=list)
    released: list[int] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.lists or self.cases or self.resources or self.evidence or self.released)


def _spared(case: Case, blamed: Mapping[SuspectKey, int]) -> dict[int, SuspectStatus]:
    # Whom the case blames and *blamed* does not: they are acquitted.
    return {n: "acquitted" for n, s in enumerate(case.record.suspects) if s.status in FAULTY and suspect_key(s) not in blamed}


class Docket:
    """Cases by uuid, and the resource cache that their suspects fill."""

    def __init__(
        self,
        *,
        host: str,
        clock: Clock,
        committed: Callable[[], int],
        target_of: Callable[[str], str],
        probation: Probation | None = None,
    ) -> None:
        self.cache = ResourceCache()
        self.changes = Changes()
        self.cases: dict[str, Case] = {}
        self._by_id: dict[int, Case] = {}
        self._last_id = 0
        self._resolved: dict[str, int] = {}
        self.probation = probation or Probation(clock, "", PROBATION_NS)
        self._host = host
        self._clock = clock
        self._target_of = target_of
        self._committed = committed
        self._open: dict[str, dict[str, Case]] = {}
        self._blamed: dict[SuspectKey, Case] = {}
        # Told of each ereport that becomes evidence (module, seq).
        self.on_evidence: Callable[[str, int], None] = lambda module, seq: None
        # Cases published since the start, by module.
        self.solved: Counter[str] = Counter()
        self._closing: set[str] = set()
        self._on_probation: set[str] = set()

    def restore(self, cases: Iterable[CaseRow], resources: Iterable[ResourceRow], evidence: Callable[[int], dict[str, int]]) -> None:
        """Take up what the log kept; *evidence* gives uuid and seq of a case's ereports."""
        self.cache = ResourceCache(resources)
        for row in cases:
            self._last_id = max(self._last_id, row.id)
            if row.state == "RESOLVED":
                self._resolved[row.uuid] = row.id
                continue
            case = Case(self, load(row), evidence(row.id))
            self._index(case)
            self._blame(case)

    def open(self, module: str, key: str, *, cause: str, de: dict[str, str], rules: str) -> Case:
        """The open case of *module* under *key*, or a new one whose uuid follows from *cause*."""
        known = self._open.get(module, {}).get(key)
        if known is not None:
            return known
        self._last_id += 1
        name = "\0".join((self._host, module, key, cause, str(self._clock.wall_ns())))
        record = CaseRecord(
            id=self._last_id,
            uuid=name_uuid(name),
            module=module,
            key=key,
            opened_wall_ns=self._clock.wall_ns(),
            de=de,
            rules=rules,
        )
        case = Case(self, record, {})
        self._index(case)
        self.touch(case)
        return case

    def number_of(self, uuid: str) -> int | None:
        """The number of the one case whose uuid begins with *uuid*, resolved ones included; None if there is none, or several."""
        known = {key: case.record.id for key, case in self.cases.items()} | self._resolved
        found = [number for key, number in known.items() if key.startswith(uuid)]
        return found[0] if len(found) == 1 else None

    def limit(self, module: str, key: str, most: int) -> None:
        """PluginError if a case under *key* would be one open case of *module* too many."""
        known = self._open.get(module, {})
        if len(known) >= most and key not in known:
            raise PluginError(f"module {module}: more than {most} open cases")

    def of(self, module: str) -> list[Case]:
        """The cases of *module* that are not closed."""
        return list(self._open.get(module, {}).values())

    def _index(self, case: Case) -> None:
        record = case.record
        self.cases[record.uuid] = self._by_id[record.id] = case
        for known, states in ((self._closing, ("CLOSE_WAIT",)), (self._on_probation, ("REPAIRED",))):
            (known.add if record.state in states else known.discard)(record.uuid)
        open_ = self._open.setdefault(record.module, {})
        if record.state in OPEN:
            open_[record.key] = case
        elif open_.get(record.key) is case:
            del open_[record.key]

    # Whom a repeated diagnosis would blame again: faulty suspects of published cases that nobody has begun to repair.
    def _blame(self, case: Case) -> None:
        open_ = case.record.state in PUBLISHED and case.record.closing != "repair"
        for suspect in case.record.suspects:
            if open_ and suspect.status in FAULTY:
                self._blamed[suspect_key(suspect)] = case
            elif self._blamed.get(suspect_key(suspect)) is case:
                del self._blamed[suspect_key(suspect)]

    def touch(self, case: Case) -> None:
        """Store *case* with the next checkpoint."""
        self.changes.cases[case.record.id] = case.record

    def solve(self, case: Case) -> None:
        """Publish *case*, or let it merge into the one that it repeats."""
        record = case.record
        old = self._repeated(record)
        if old is not None:
            self._merge(case, old)
            return
        record.move("SOLVED")
        self._follow(case)
        record.diag_time = utc(self._clock.wall_ns())
        for n in range(len(record.suspects)):
            self._remember(case, n)
        self._blame(case)
        self._index(case)
        self.post(case, "list.suspect")
        self.solved[record.module] += 1

    # What comes up where a repair was made, while that is on probation, says so; the newest such repair counts.
    def _follow(self, case: Case) -> None:
        record = case.record
        places = first_places(record.suspects, [self._target_of(suspect.device) for suspect in record.suspects])
        for old in sorted((self.cases[key] for key in self._on_probation), key=lambda old: -old.record.repaired_wall_ns):
            blamed = {place(entry.target) for (number, _), entry in self.cache.entries.items() if number == old.record.id}
            if places & blamed and not record.injected:
                record.follows, old.record.followed_by = old.uuid, case.uuid
                self.touch(old)
                return

    # Two lists are of one fault where the first suspect of one is in the other: that the last of both is the same says nothing.
    def _repeated(self, record: CaseRecord) -> Case | None:
        keys = [suspect_key(suspect) for suspect in record.suspects]
        for n, key in enumerate(keys):
            old = self._blamed.get(key)
            if old is not None and (n == 0 or suspect_key(old.record.suspects[0]) in keys):
                return old
        return None

    # A repeated diagnosis tells nobody twice; by the same module, it narrows the list to what both blame, and may be more urgent.
    def _merge(self, new: Case, old: Case) -> None:
        old.adopt(new)
        if new.record.module == old.record.module and _URGENCY.index(new.record.urgency) > _URGENCY.index(old.record.urgency):
            old.record.urgency, old.record.severity = new.record.urgency, new.record.severity
            self.post(old, "list.updated")
        if new.record.module == old.record.module:
            self._narrow(old, {suspect_key(suspect): suspect.certainty for suspect in new.record.suspects})
        self._leave(new, "discard")
        self._finish(new)

    # Whom both blame is as certain as the newer list says; whom only the old one blamed is acquitted, and not certain at all.
    def _narrow(self, case: Case, blamed: Mapping[SuspectKey, int]) -> None:
        spared = _spared(case, blamed)
        if spared:
            self._weigh(case, blamed)
            self.set_status(case, spared)

    def _weigh(self, case: Case, blamed: Mapping[SuspectKey, int]) -> None:
        for n, s in enumerate(case.record.suspects):
            if s.status in FAULTY:
                case.record.suspects[n] = msgspec.structs.replace(s, certainty=blamed.get(suspect_key(s), 0))
                self._remember(case, n)

    def revise(self, case: Case, suspects: Sequence[Suspect], *, severity: str, urgency: Urgency) -> None:
        """*case* blames *suspects* now, and is as urgent as it was, or more: list.updated."""
        record = case.record
        if _URGENCY.index(urgency) >= _URGENCY.index(record.urgency):
            record.urgency, record.severity = urgency, severity
        blamed = {suspect_key(suspect): suspect.certainty for suspect in suspects}
        known = {suspect_key(suspect) for suspect in record.suspects}
        record.suspects += [suspect for suspect in suspects if suspect_key(suspect) not in known]
        self._weigh(case, blamed)
        self._set(case, _spared(case, blamed))
        self.post(case, "list.updated")

    def _leave(self, case: Case, closing: Closing) -> None:
        case.record.move("CLOSE_WAIT")
        case.record.closing = closing
        case.record.close_seq = self._committed()
        self._index(case)
        self.touch(case)

    def close(self, case: Case) -> None:
        """Its module has done with *case*: transitions 2 and 3."""
        self._leave(case, "discard" if case.record.state == "UNSOLVED" else "close")

    def isolate(self, case: Case) -> None:
        """An agent has put every faulty suspect of *case* out of service: transition 3. PluginError for a drill's case."""
        if case.record.injected:
            raise PluginError(f"case {case.uuid} is injected: nothing is ever taken out of service for it")
        faulty = [n for n, suspect in enumerate(case.record.suspects) if suspect.status in FAULTY]
        self._leave(case, "isolate")
        self._set(case, dict.fromkeys(faulty, "unusable"))

    def set_status(self, case: Case, changes: Mapping[int, SuspectStatus]) -> None:
        """Give suspects of *case* a new status; list.updated, or, when the last faulty one goes, repair: transitions 4 and 6."""
        if not changes:
            return
        self._set(case, changes)
        record = case.record
        if record.faulty:
            # Who is only gone for now, or back, is no news.
            if not set(changes.values()) <= set(FAULTY):
                self.post(case, "list.updated")
        elif record.state == "SOLVED":
            self._leave(case, "repair")
        elif record.state == "CLOSE_WAIT":
            record.closing = "repair"
        elif record.state == "CLOSED":
            self._repaired(case)

    def _set(self, case: Case, changes: Mapping[int, SuspectStatus]) -> None:
        for n, status in changes.items():
            before = case.record.suspects[n]
            case.record.suspects[n] = msgspec.structs.replace(before, status=status)
            self._remember(case, n, was=before.status if status == "not-present" else None)
        self._blame(case)
        self.touch(case)

    def _remember(self, case: Case, n: int, was: SuspectStatus | None = None) -> None:
        suspect, number = case.record.suspects[n], case.record.id
        known = self.cache.entries.get((number, n))
        target = known.target if known is not None else self._target_of(suspect.device)
        entry = Resource(target=target, case=number, n=n, suspect=suspect, changed_wall_ns=self._clock.wall_ns(), was=was)
        self.cache.put(entry)
        self.changes.resources[number, n] = entry

    def settle(self, cursor_of: Callable[[str], int | None]) -> None:
        """Finish what is closing where its owner (None: there is none) has taken what came before: transitions 5, 7, 9."""
        for key in list(self._closing):
            case = self.cases[key]
            cursor = cursor_of(case.record.module)
            if cursor is None or cursor >= case.record.close_seq:
                self._finish(case)

    def _finish(self, case: Case) -> None:
        closing = case.record.closing
        case.record.closing = ""
        if closing == "discard":
            self._discard(case)
        elif closing == "repair":
            self._repaired(case)
        else:
            case.record.move("CLOSED")
            self._index(case)
            self.touch(case)
            if closing == "isolate":
                self.post(case, "list.isolated")

    def _discard(self, case: Case) -> None:
        case.record.move("DISCARDED")
        self._index(case)
        self.touch(case)
        self._drop(case)

    def _repaired(self, case: Case) -> None:
        record = case.record
        record.move("REPAIRED")
        self.probation.begin(record)
        self._index(case)
        self.post(case, "list.repaired")

    def _drop(self, case: Case) -> None:
        del self.cases[case.record.uuid], self._by_id[case.record.id]
        self.changes.released.append(case.record.id)

    def resolve_due(self) -> None:
        """Resolve every case whose probation is over: transition 8."""
        for case in list(self._watched()):
            if self.probation.left_ns(case.record) <= 0:
                self.resolve(case)

    def next_left_ns(self) -> int | None:
        """How long the probation that ends next still lasts."""
        return min((self.probation.left_ns(case.record) for case in self._watched()), default=None)

    # Who was followed by another case is resolved with that one.
    def _watched(self) -> Iterator[Case]:
        return (case for key in self._on_probation if (case := self.cases[key]).record.followed_by not in self.cases)

    def remark(self, number: int, text: str) -> None:
        """Keep what was said of the case *number*, with the time; the newest 64 stay."""
        case = self._by_id.get(number)
        if case is not None:
            case.record.remarks[:] = [*case.record.remarks, f"{utc(self._clock.wall_ns())} {text}"][-REMARKS:]
            self.touch(case)

    def resolve(self, case: Case) -> None:
        """*case* is over: transition 8."""
        case.record.move("RESOLVED")
        self._index(case)
        self.post(case, "list.resolved")
        self._drop(case)
        for old in [old for old in self.cases.values() if old.record.followed_by == case.uuid and old.record.state == "REPAIRED"]:
            self.resolve(old)
        self._resolved[case.uuid] = case.record.id
        while len(self._resolved) > RESOLVED_KNOWN:
            del self._resolved[next(iter(self._resolved))]

    def forget(self, cases: Iterable[int]) -> None:
        """Resolved cases of these numbers are in the log no more."""
        gone = set(cases)
        self._resolved = {uuid: number for uuid, number in self._resolved.items() if number not in gone}
        self.cache.entries = {key: entry for key, entry in self.cache.entries.items() if key[0] not in gone}

    def topo(self, changes: Iterable[tuple[Resource, SuspectStatus]]) -> None:
        """Take over what a new fabric says of bad parts."""
        self._apply(changes)

    def rule(self, entries: Iterable[Resource], status: SuspectStatus) -> None:
        """Give each suspect of *entries* the same new status."""
        self._apply((entry, status) for entry in entries)

    def _apply(self, changes: Iterable[tuple[Resource, SuspectStatus]]) -> None:
        by_case: dict[int, dict[int, SuspectStatus]] = {}
        for entry, status in changes:
            by_case.setdefault(entry.case, {})[entry.n] = status
        for key, found in by_case.items():
            if key in self._by_id:
                self.set_status(self._by_id[key], found)

    def post(self, case: Case, class_: ListClass) -> None:
        """Send list event *class_* of *case* with the next checkpoint."""
        record = case.record
        record.posted += 1
        event = name_uuid(f"{record.uuid}\0{record.posted}")
        time = utc(self._clock.wall_ns())
        self.changes.lists.append(list_event(record, class_, event=event, host=self._host, time=time, ereports=case.ereports))
        self.touch(case)

    def renew(self) -> None:
        """Put everything into the next checkpoint; evidence that the log no longer has is gone."""
        for case in self.cases.values():
            self.touch(case)
        self.changes.resources.update(self.cache.entries)

    def take(self) -> Changes:
        """What has changed since the last call."""
        taken, self.changes = self.changes, Changes()
        return taken
