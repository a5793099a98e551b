"""Origins: stored once, known until they are gone."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from support.event import ereport

from pcifma.access.clock import SimulatedClock
from pcifma.fmd.log.log import Log
from pcifma.fmd.log.origin import Origins
from pcifma.fmd.log.row import arrival


def bodies(many: int) -> list[bytes]:
    return [arrival(ereport(n), 0).origin + b" " * n for n in range(many)]


def table(tmp_path: Path) -> sqlite3.Connection:
    Log.open(tmp_path / "log", clock=SimulatedClock()).close()
    return sqlite3.connect(tmp_path / "log", isolation_level=None)


def test_more_origins_than_are_taken_up_at_a_start_stay_known_when_one_is_removed(tmp_path: Path) -> None:
    connection = table(tmp_path)
    origins, kinds = Origins(connection), bodies(1500)
    ids = [origins.id_of(body) for body in kinds]
    origins.save()
    origins.keep()
    connection.execute("DELETE FROM origin WHERE id = ?", (ids[0],))
    origins.reload()
    assert [origins.id_of(body) for body in kinds[1:]] == ids[1:]
    assert origins.id_of(kinds[0]) == max(ids) + 1
    connection.close()


def test_origin_whose_number_was_the_last_and_was_removed_takes_it_again(tmp_path: Path) -> None:
    connection = table(tmp_path)
    origins, kinds = Origins(connection), bodies(3)
    ids = [origins.id_of(body) for body in kinds]
    origins.save()
    origins.keep()
    connection.execute("DELETE FROM origin WHERE id = ?", (ids[-1],))
    origins.reload()
    assert origins.id_of(kinds[-1]) == ids[-1]
    origins.save()
    assert connection.execute("SELECT count(*) FROM origin").fetchone() == (3,)
    connection.close()
