"""Times as fmdump takes them, whatever the order of their parts."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from pcifma.cli.moment import moment
from pcifma.errors import UsageError

NOW = datetime(2026, 11, 22, 20, 15, tzinfo=timezone(timedelta(hours=1)))
WHOLE = {
    "2h": "2026-11-22T17:15:00",
    "3days": "2026-11-19T19:15:00",
    "5m": "2026-11-22T19:10:00",
    "90 sec": "2026-11-22T19:13:30",
    "1hour": "2026-11-22T18:15:00",
    "2026-11-22T20:15:00": "2026-11-22T19:15:00",
    "2026-11-22 20:15": "2026-11-22T19:15:00",
    "2026-11-22T20:15:00Z": "2026-11-22T20:15:00",
    "2026-11-22T20:15:00+05:30": "2026-11-22T14:45:00",
    "2026-11-22T20:15-0800": "2026-11-23T04:15:00",
    "26-11-22": "2026-11-21T23:00:00",
    "11/22/2026": "2026-11-21T23:00:00",
    "11/22/26 20:15:00": "2026-11-22T19:15:00",
    "22Nov2026": "2026-11-21T23:00:00",
    "22Nov26 20:15": "2026-11-22T19:15:00",
    "Nov 22 20:15:00": "2026-11-22T19:15:00",
    "Dec 31 23:00:00": "2025-12-31T22:00:00",
    "18:30": "2026-11-22T17:30:00",
    "18:30:05": "2026-11-22T17:30:05",
}


@pytest.mark.parametrize("text", WHOLE)
def test_times_are_read_as_people_write_them(text: str) -> None:
    assert moment(text, NOW) == f"{WHOLE[text]}.000000000Z"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-22T20:15:00.5", "2026-11-22T19:15:00.500000000Z"),
        ("20:15:00.000000001", "2026-11-22T19:15:00.000000001Z"),
        ("250ms", "2026-11-22T19:14:59.750000000Z"),
        ("1ns", "2026-11-22T19:14:59.999999999Z"),
        ("999999999999h", "1970-01-01T00:00:00.000000000Z"),
    ],
)
def test_parts_of_a_second_are_kept(text: str, expected: str) -> None:
    assert moment(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "yesterday-ish", "2", "5 fortnights", "2026-13-01", "25:00", "20:15:00.1234567890", "\0", "-1h"])
def test_nonsense_time_names_the_forms(text: str) -> None:
    with pytest.raises(UsageError, match="is no time: write 2h"):
        moment(text, NOW)


def test_zone_of_the_machine_is_taken_where_none_is_said() -> None:
    naive = datetime(2026, 7, 1, 12, 0)
    assert moment("2026-07-01T12:00") == moment(f"{naive.astimezone():%Y-%m-%dT%H:%M:%S%z}")
