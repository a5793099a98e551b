"""Times as fmdump takes them, and with a zone: a moment, or how long ago; in the log's own form."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from pcifma.errors import UsageError
from pcifma.event.identity import utc

_S, _MIN, _H, _D = (seconds * 10**9 for seconds in (1, 60, 3600, 86400))
_UNITS = {
    "ns": 1, "nsec": 1, "us": 10**3, "usec": 10**3, "ms": 10**6, "msec": 10**6, "s": _S, "sec": _S, "second": _S,
    "m": _MIN, "min": _MIN, "minute": _MIN, "h": _H, "hour": _H, "d": _D, "day": _D,
}  # fmt: skip
_AGO = re.compile(r"(\d{1,18})\s*([a-z]+)")
_ZONE = re.compile(r"(?<=\d)\s*(Z|[+-]\d\d:?\d\d)$")
_FRACTION = re.compile(r"(?<=:\d\d)[.,](\d{1,9})$")
_DATES = ("%m/%d/%Y", "%m/%d/%y", "%Y-%m-%d", "%y-%m-%d", "%d%b%Y", "%d%b%y", "%b %d")
_CLOCKS = ("%H:%M:%S", "%H:%M")
_NO_YEAR = "%b %d"
_FORMS = [(date, joint, clock) for date in _DATES for clock in _CLOCKS for joint in ("T", " ")] + [(date, "", "") for date in _DATES]


def moment(text: str, now: datetime | None = None) -> str:
    """*text* as the log writes times (UTC): `2h` ago, or a date and time, of this machine's zone unless it names one. UsageError."""
    here = now or datetime.now().astimezone()
    ago = _AGO.fullmatch(text.strip())
    if ago is not None and (unit := _unit(ago[2])):
        return utc(max(0, _ns(here) - int(ago[1]) * unit))
    whole, zone, fraction = _apart(text.strip())
    found = _parse(whole, here.replace(tzinfo=None))
    if found is None:
        raise UsageError(f"{text!r} is no time: write 2h (ago), 2026-11-22T20:15:00, 11/22/26 20:15:00, 22Nov2026, or 20:15")
    if zone is not None:
        found = found.replace(tzinfo=UTC) - _offset(zone)
    elif now is not None:
        found = found.replace(tzinfo=now.tzinfo)
    return utc(max(0, _ns(found.astimezone(UTC)) + fraction))


def _unit(word: str) -> int | None:
    return _UNITS.get(word) or _UNITS.get(word.removesuffix("s"))


def _ns(when: datetime) -> int:
    past = when - datetime(1970, 1, 1, tzinfo=UTC)
    return (past.days * 86400 + past.seconds) * 10**9 + past.microseconds * 1000


def _apart(text: str) -> tuple[str, str | None, int]:
    # What is left, the zone, and the fraction of a second in ns. A zone without a clock would be a year (22-11-2026).
    zone = _ZONE.search(text) if ":" in text.partition("+")[0] else None
    text = text[: zone.start()] if zone else text
    fraction = _FRACTION.search(text)
    text = text[: fraction.start()] if fraction else text
    return text, zone[1] if zone else None, int(fraction[1].ljust(9, "0")) if fraction else 0


def _offset(zone: str) -> timedelta:
    digits = "+0000" if zone == "Z" else zone.replace(":", "")
    return (-1 if digits[0] == "-" else 1) * timedelta(hours=int(digits[1:3]), minutes=int(digits[3:]))


def _parse(text: str, now: datetime) -> datetime | None:
    for date, joint, clock in _FORMS:
        yearless = date == _NO_YEAR
        given, form = (f"{now.year} {text}", f"%Y {date}") if yearless else (text, date)
        if (found := _strptime(given, form + joint + clock)) is not None:
            return found.replace(year=now.year - 1) if yearless and found > now + timedelta(days=1) else found
    today = f"{now:%Y-%m-%d} "
    return next((found for clock in _CLOCKS if (found := _strptime(today + text, f"%Y-%m-%d {clock}")) is not None), None)


def _strptime(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form)
    except ValueError:
        return None
