"""The module's cases by their key, what each was opened for, and how one is opened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from pcifma.plugin import Case, Ereport, Fabric, Function, Services, Suspect, fmri, message_code

from .history import KEPT as HISTORY_KEPT
from .history import Entry
from .rule import Rules
from .store import Store

CHAINS = 6  # chains of cases that are kept for `pcifma explain`, the newest of each of 256 buffers, by the uuid's first two digits
OF_SLOTS = frozenset({"fault.io.pciex.slot-power", "defect.io.pciex.pulled"})
_OPEN = frozenset({"UNSOLVED", "SOLVED", "CLOSE_WAIT"})
_HISTORY = msgspec.json.Decoder(list[Entry])
_CHAINS = msgspec.json.Decoder(dict[str, dict[str, Any]])
_encode = msgspec.json.encode


class Accused(NamedTuple):
    """Whom a case speaks of (class and device): its list, all that may be at fault; and whether it is only watched."""

    suspects: frozenset[tuple[str, str]] = frozenset()
    candidates: frozenset[tuple[str, str]] = frozenset()
    watch: bool = False


_NOBODY = Accused()


def slim(event: Ereport) -> Ereport:
    """*event* without what no case needs of it."""
    return msgspec.structs.replace(event, payload={}, detector={}, resource="", sources=[])


def suspect(fabric: Fabric, class_: str, function: Function, certainty: int) -> Suspect:
    """*function* blamed for *class_*."""
    detector = fmri.detector(fabric, function)
    resource = fmri.hc(fabric, function)
    # A VF is swapped with the card of its PF. A port is blamed for the slot that it leads to, anything else for the card that it is on.
    card = (fabric.get(function.physfn) if function.physfn is not None else None) or function
    slot = function.slot_below if class_ in OF_SLOTS else card.slot
    return Suspect(
        class_=class_,
        certainty=certainty,
        status="faulty",
        device=str(function.bdf),
        asru=f"dev:///{detector['device-path']}",
        fru=resource if card is function else fmri.hc(fabric, card),
        location=slot.label if slot is not None else "",
        resource=resource,
    )


class Docket:
    """Cases of this module. A published case stays open under its key until it is repaired: the same fault tells nobody twice."""

    def __init__(self, services: Services, store: Store, rules: Rules) -> None:
        """Take up the cases that are open."""
        self._services, self._store, self._rules = services, store, rules
        self._known: dict[str, Case] = {case.key: case for case in services.cases()}
        self._accused: dict[str, tuple[bytes | None, dict[str, Accused]]] = {}
        self._blamed = {pair: case for case in self._known.values() for pair in self.suspects(case)}
        self._wide = {pair: case for case in self._known.values() for pair in self._unlisted(case)}
        kept = store.get("history")
        self.history: list[Entry] = _HISTORY.decode(kept) if kept else []

    def of(self, key: str) -> Case | None:
        """The open case under *key*."""
        case = self._known.get(key)
        if case is not None and case.state not in _OPEN:
            del self._known[key]
            return None
        return case

    def open(self, key: str, events: Iterable[Ereport], suspects: Sequence[Suspect]) -> Case:
        """A case under *key* with its evidence and suspects, not yet told."""
        case = self._services.open_case(key)
        self._known[key] = case
        for event in events:
            case.add_ereport(event)
        for one in suspects:
            case.add_suspect(one)
        return case

    def solve(self, case: Case, chain: dict[str, Any], *, code: str, severity: str, urgency: str) -> bool:
        """Tell of *case* and keep its *chain*; False if it repeats one that is told already, which then stands under its key as well."""
        case.solve(code, severity=severity, urgency=urgency, rest=int(chain.get("rest", 0)))
        pairs = [(str(row["class"]), str(row["device"])) for row in chain.get("suspects", ())]
        if case.state in _OPEN:
            self._told(case, chain)
            return True
        survivor = next((old for pair in pairs if (old := self._blamed.get(pair)) is not None and old.state in _OPEN), None)
        if survivor is not None:
            self._known[case.key] = survivor
            self.keep_chain(survivor, {**self.chain(survivor), **chain, "watch": bool(chain.get("watch"))})
        return False

    def revise(self, case: Case, key: str, chain: dict[str, Any], suspects: Sequence[Suspect], *, severity: str, urgency: str) -> None:
        """Tell what is known better of *case*, which stands under *key* as well from now on."""
        code, rest = self.code([one.class_ for one in suspects]), int(chain.get("rest", 0))
        case.revise(suspects, code=code, severity=severity, urgency=urgency, rest=rest)
        self._known[key] = case
        self._told(case, chain)

    def _told(self, case: Case, chain: dict[str, Any]) -> None:
        self.keep_chain(case, chain)
        self._blamed |= dict.fromkeys(self.suspects(case), case)
        self._wide |= dict.fromkeys(self._unlisted(case), case)

    def _unlisted(self, case: Case) -> frozenset[tuple[str, str]]:
        return self.candidates(case) - self.suspects(case)

    def first_of(self, pair: tuple[str, str]) -> Case | None:
        """The open case that blames *pair*, class and device, before all others."""
        case = self._blamed.get(pair)
        listed = self.chain(case).get("suspects", ()) if case is not None and case.state in _OPEN else ()
        return case if listed and (str(listed[0]["class"]), str(listed[0]["device"])) == pair else None

    def naming(self, pair: tuple[str, str]) -> Case | None:
        """The open case that has *pair*, class and device, among its candidates, listed or not."""
        for known in (self._blamed, self._wide):
            case = known.get(pair)
            if case is not None and case.state in _OPEN and pair in self.candidates(case):
                return case
            known.pop(pair, None)
        return None

    def suspects(self, case: Case) -> frozenset[tuple[str, str]]:
        """Class and device of each suspect that *case* was told with, or narrowed to."""
        return self._of(case).suspects

    def is_watched(self, case: Case) -> bool:
        """True of a case that pages nobody yet."""
        return self._of(case).watch

    def _of(self, case: Case) -> Accused:
        # What the chains of a buffer say, as long as the buffer is the same.
        buffer = _buffer(case.uuid)
        kept = self._store.get(buffer)
        known = self._accused.get(buffer)
        if known is None or known[0] is not kept:
            known = self._accused[buffer] = kept, {uuid: _accused(chain) for uuid, chain in self._chains(case.uuid).items()}
        return known[1].get(case.uuid, _NOBODY)

    def candidates(self, case: Case) -> frozenset[tuple[str, str]]:
        """Class and device of all that may be at fault in *case*, more than a list holds."""
        return self._of(case).candidates

    def code(self, classes: Sequence[str]) -> str:
        """The message code of a list of these *classes*, the first suspect's first."""
        found = self._rules.code_of(frozenset(classes)) or self._rules.code_of(frozenset(classes[:1]))
        return "-" if found is None else message_code(*found)

    def keep_chain(self, case: Case, chain: dict[str, Any]) -> None:
        """Keep *chain* with *case*; of very many the oldest goes."""
        chains = {**self._chains(case.uuid), case.uuid: chain}
        for uuid in list(chains)[:-CHAINS]:
            del chains[uuid]
        self._store.put(_buffer(case.uuid), _encode(chains))

    def chain(self, case: Case) -> dict[str, Any]:
        """What was kept with *case*."""
        return self._chains(case.uuid).get(case.uuid, {})

    def _chains(self, uuid: str) -> dict[str, dict[str, Any]]:
        kept = self._store.get(_buffer(uuid))
        return _CHAINS.decode(kept) if kept else {}

    def remember(self, entries: Iterable[Entry]) -> None:
        """Add *entries* to the history of the swap test."""
        self.history = [*self.history, *entries][-HISTORY_KEPT:]
        self._store.put("history", _encode(self.history))


def _accused(chain: dict[str, Any]) -> Accused:
    suspects = frozenset((str(row["class"]), str(row["device"])) for row in chain.get("suspects", ()))
    candidates = frozenset((str(class_), str(device)) for class_, device in chain.get("candidates", ()))
    return Accused(suspects, candidates or suspects, chain.get("watch") is True)


def _buffer(uuid: str) -> str:
    return f"why:{uuid[:2]}"
