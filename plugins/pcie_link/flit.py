"""Flit Logging (PCIe Base Spec 7.7.8): the logged flit in error, and the counters where somebody has switched them on.

FEC corrects, or a replay repairs: `fec-uncorrectable` tells which. At 64 GT/s corrected symbols are the normal state of a link, so
what the per-lane counters say is information.
"""

from __future__ import annotations

from collections.abc import Iterator

from pcifma.plugin import (
    CAPABILITIES,
    Evidence,
    Field,
    Finding,
    Function,
    Location,
    PayloadValue,
    Read,
    Register,
    Severity,
    Snapshot,
    Target,
    Watch,
    findings,
)

Payload = dict[str, PayloadValue]

FLIT = CAPABILITIES["ECAP32"]
LOG_1, CONTROL, STATUS = FLIT["flit_error_log_1"], FLIT["flit_error_counter_control"], FLIT["flit_error_counter_status"]
MEASUREMENT, INVALID = FLIT["fber_measurement_control"], FLIT["fber_measurement_status_2"]
LANES = tuple(FLIT[f"fber_measurement_status_{3 + i}"] for i in range(8))
ENABLE = 1

_LOG_1, _LOG_2 = FLIT.location(LOG_1), FLIT.location(FLIT["flit_error_log_2"])
_CONTROL, _STATUS, _MEASUREMENT = FLIT.location(CONTROL), FLIT.location(STATUS), FLIT.location(MEASUREMENT)
_READS = (Read(_LOG_1), Read(_LOG_2), Read(_CONTROL), Read(_STATUS), Read(_MEASUREMENT))
_DETAILS = {
    "link-width": "flit_error_link_width",
    "offset": "flit_offset_from_the_last_logged_flit_in_error",
    "consecutive": "consecutive_flit_error_after_the_last_flit_error",
}


def watches(function: Function) -> Iterator[Watch]:
    """The log, and every counter: those that are off stand still."""
    if function.offset_of(FLIT.name) is None:
        return
    target = Target.function(function.bdf)
    yield Watch(target, _LOG_1, LOG_1.fields[0].mask, reads=_READS)
    yield Watch(target, _STATUS, when="count")
    for register in (INVALID, *LANES):
        yield Watch(target, FLIT.location(register), when="count")


def normalise(now: Snapshot, before: Snapshot | None) -> Iterator[Finding]:
    """The flit that was logged, and what each running counter has counted since *before*."""
    word = now.word(_LOG_1)
    if word is None:
        return
    if word & ENABLE:
        yield from findings(now, _LOG_1, LOG_1, _logged(word))
    control = now.word(_CONTROL) or 0
    if control & ENABLE:
        payload: Payload = {"events-to-count": CONTROL.get("events_to_count", control)}
        yield from _moved(now, before, STATUS, class_="ereport.io.pciex.pl.flit-cnt", severity="correctable", payload=payload)
    if (now.word(_MEASUREMENT) or 0) & ENABLE:
        yield from _moved(now, before, INVALID, class_="ereport.io.pciex.pl.flit-inv", severity="correctable", payload={})
        for register in LANES:
            yield from _moved(now, before, register, class_="ereport.io.pciex.pl.fber", severity="info", payload={})


def _logged(word: int) -> Payload:
    found: Payload = {key: LOG_1.get(name, word) for key, name in _DETAILS.items()}
    found["fec-uncorrectable"] = bool(LOG_1.get("fec_uncorrectable_error_in_flit", word))
    found["unrecognized"] = bool(LOG_1.get("unrecognized_flit", word))
    found["more"] = bool(LOG_1.get("more_entries_for_flit_error_log_register_are_valid", word))
    return found


def _moved(
    now: Snapshot, before: Snapshot | None, register: Register, *, class_: str, severity: Severity, payload: Payload
) -> Iterator[Finding]:
    location = FLIT.location(register)
    for field in register.fields:
        if field.key.endswith("counter"):
            count = _delta(now, before, location, field)
            if count > 0:
                evidence = Evidence(now.target, location, field.lo)
                yield Finding(class_, evidence, severity, {"name": field.title, **payload}, count=count)


def _delta(now: Snapshot, before: Snapshot | None, location: Location, field: Field) -> int:
    # A counter that fell was cleared in between: what it shows has come since.
    word, last = now.word(location), before.word(location) if before is not None else None
    count, known = field.get(word or 0), field.get(last or 0)
    return count - known if count >= known else count
