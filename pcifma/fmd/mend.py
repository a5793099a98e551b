"""What an operator says of a suspect: repaired, replaced, acquitted. A case is over when its last faulty suspect is."""

from __future__ import annotations

from pcifma.errors import UsageError
from pcifma.event.case import Suspect, SuspectStatus
from pcifma.fmd.case import FAULTY, PUBLISHED
from pcifma.fmd.docket import Docket
from pcifma.fmd.handle import Case

_LEAST = 4  # characters of a uuid


def mend(docket: Docket, what: str, suspect: str, status: SuspectStatus) -> list[dict[str, str]]:
    """Give *status* to the suspects that *what* names: a case (its uuid or the first characters of it; then perhaps only
    *suspect*), or a part, in every case that blames it. One row a suspect; UsageError if that is none.
    """
    rows = []
    for case in list(docket.cases.values()):
        chosen = _chosen(case, what, suspect)
        if chosen:
            docket.set_status(case, dict.fromkeys(chosen, status))
            rows += [{"case": case.uuid, "device": s.device, "class": s.class_} for s in chosen.values()]
    if not rows:
        raise UsageError(f"{what!r} names no faulty suspect of an open case: `pcifma faulty` lists them")
    return rows


def _chosen(case: Case, what: str, suspect: str) -> dict[int, Suspect]:
    if case.record.state not in PUBLISHED:
        return {}
    faulty = {n: s for n, s in enumerate(case.record.suspects) if s.status in FAULTY}
    if len(what) >= _LEAST and case.uuid.startswith(what.lower()):
        return {n: s for n, s in faulty.items() if not suspect or _is(s, suspect)}
    return {n: s for n, s in faulty.items() if _is(s, what)}


def _is(suspect: Suspect, name: str) -> bool:
    return name in (suspect.device, suspect.asru, suspect.fru, suspect.resource) or (suspect.location != "" and name == suspect.location)
