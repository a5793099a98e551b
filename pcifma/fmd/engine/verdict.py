"""What a person, or an agent, says about a suspect: repaired, replaced, acquitted, out of service."""

from __future__ import annotations

from typing import Literal

from pcifma.errors import DaemonError
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.fmri import identity
from pcifma.fmd.engine.cache import Resource, part, place
from pcifma.fmd.engine.case import FAULTY
from pcifma.fmd.engine.docket import Docket
from pcifma.fmd.engine.handle import Case

Verdict = Literal["repaired", "replaced", "acquitted"]


def case_of(docket: Docket, uuid: str) -> Case:
    """The published, unresolved case of that uuid, or of the one uuid that begins so; DaemonError if there is none, or several."""
    found = [case for key, case in docket.cases.items() if key.startswith(uuid) and case.state != "UNSOLVED"] if uuid else []
    if len(found) != 1:
        what = f"{len(found)} cases begin with {uuid!r}: write more of it" if found else f"no case {uuid!r}: see `pcifma faulty --all`"
        raise DaemonError(what)
    return found[0]


def judge(docket: Docket, fabric: Fabric, what: str, verdict: Verdict, *, case: str = "") -> list[Resource]:
    """Pass *verdict* on every faulty suspect that *what* names: a label, an address, an FMRI, or a case's uuid (all of its suspects).

    *case* narrows it to one case. Returns the suspects as they are now; none where all that *what* names is faulty no more, so that
    saying it again is no mistake. DaemonError if *what* names nothing that ever was faulty, or if it is said to be replaced while the
    same part (same serial) is still there.
    """
    only = docket.number_of(case) if case else None
    if case and only is None:
        raise DaemonError(f"no case {case!r}: see `pcifma faulty --all`")
    chosen = [entry for entry in docket.cache.entries.values() if only is None or entry.case == only]
    known = [entry for entry in chosen if what in _names(entry)] or _of_case(docket, what, chosen)
    if not known:
        raise DaemonError(f"nothing faulty is called {what!r}: see `pcifma faulty` for what is")
    named = [entry for entry in known if entry.state in FAULTY]
    if verdict == "replaced":
        _refuse_same_part(fabric, named)
    docket.rule(named, verdict)
    return [docket.cache.entries[entry.case, entry.n] for entry in named]


def spoken(entry: Resource, verdict: Verdict) -> str:
    """What *verdict* on *entry* rests on where no serial number can show it; empty where one can."""
    is_function = entry.target.count("/") >= 3
    return "no serial, on your word" if is_function and verdict != "acquitted" and part(entry.target)[1] == "-" else ""


def _names(entry: Resource) -> tuple[str, ...]:
    suspect = entry.suspect
    return suspect.location, suspect.device, suspect.resource, suspect.asru, suspect.fru, entry.target


def _of_case(docket: Docket, uuid: str, chosen: list[Resource]) -> list[Resource]:
    number = docket.number_of(uuid) if len(uuid) >= 4 else None
    return [entry for entry in chosen if entry.case == number]


def _refuse_same_part(fabric: Fabric, named: list[Resource]) -> None:
    present = {place(target): target for target in (identity(fabric, function) for function in fabric)}
    for entry in named:
        serial = part(entry.target)[1]
        now = present.get(place(entry.target))
        if now is not None and serial != "-" and part(now) == part(entry.target):
            raise DaemonError(f"{entry.suspect.device}: serial {serial} is still there: say `repaired` if it was mended")


def flush(docket: Docket, what: str) -> list[tuple[int, int]]:
    """Forget what is known of the resource that *what* names and that is faulty no more: the entries (case, n) that went. DaemonError."""
    named = {key: entry for key, entry in docket.cache.entries.items() if what in _names(entry)}
    if not named:
        raise DaemonError(f"nothing is known of {what!r}")
    if any(entry.state in FAULTY for entry in named.values()):
        raise DaemonError(f"{what} is faulty: say repaired, replaced or acquit of it first")
    for key in named:
        del docket.cache.entries[key]
    return list(named)
