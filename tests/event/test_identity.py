"""Uuids and times are what the standards say, however they are made."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from pcifma.event.identity import NAMESPACE, ereport_uuid, name_uuid, utc


@given(st.text())
def test_name_uuid_is_the_version_5_uuid(name: str) -> None:
    if not name.isprintable():
        name = name.encode("utf-8", "replace").decode()
    assert name_uuid(name) == str(uuid.uuid5(NAMESPACE, name))


def test_ereport_uuid_depends_on_each_of_its_parts() -> None:
    of = partial(ereport_uuid, "host", "boot", "target", "register", 6, occurrence=0)
    others = [
        ereport_uuid("9", "boot", "target", "register", 6, occurrence=0),
        ereport_uuid("host", "9", "target", "register", 6, occurrence=0),
        ereport_uuid("host", "boot", "9", "register", 6, occurrence=0),
        ereport_uuid("host", "boot", "target", "9", 6, occurrence=0),
        ereport_uuid("host", "boot", "target", "register", 9, occurrence=0),
    ]
    assert len({of(), of(occurrence=1), *others}) == 7


@given(st.integers(0, 4 * 10**18))
def test_utc_reads_back(ns: int) -> None:
    text = utc(ns)
    seconds = datetime.fromisoformat(text[:19] + "+00:00").replace(tzinfo=UTC).timestamp()
    assert (int(seconds), int(text[20:29]), text[29]) == (ns // 10**9, ns % 10**9, "Z")
