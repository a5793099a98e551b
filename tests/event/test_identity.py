"""Uuids and times are what the standards say, however they are made."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from pcifma.event.identity import NAMESPACE, ereport_uuid, name_uuid, utc


@given(st.text())
def test_name_uuid_is_the_version_5_uuid(name: str) -> None:
    if not name.isprintable():
        name = name.encode("utf-8", "replace").decode()
    assert name_uuid(name) == str(uuid.uuid5(NAMESPACE, name))


def test_ereport_uuid_depends_on_each_of_its_parts() -> None:
    names = ("host", "boot", "target", "register")
    plain = ereport_uuid(*names, 6, occurrence=0)
    others = [ereport_uuid(*names[:n], "9", *names[n + 1 :], 6, occurrence=0) for n in range(4)]
    assert len({plain, ereport_uuid(*names, 9, occurrence=0), ereport_uuid(*names, 6, occurrence=1), *others}) == 7


@given(st.integers(0, 4 * 10**18))
def test_utc_reads_back(ns: int) -> None:
    text = utc(ns)
    seconds = datetime.fromisoformat(text[:19] + "+00:00").replace(tzinfo=UTC).timestamp()
    assert (int(seconds), int(text[20:29]), text[29]) == (ns // 10**9, ns % 10**9, "Z")
