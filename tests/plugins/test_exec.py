"""The exec hook: who is run, with what, how often, and what becomes of an event whose program fails or is killed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.agent import TestHouse, case, load
from support.desk import Desk, Probe
from support.event import ereport, suspect

from pcifma.event.case import ListEvent

SECOND = 10**9


@pytest.fixture
def desk(tmp_path: Path, house: TestHouse) -> Iterator[Desk]:
    desk = Desk(tmp_path / "log.db", house=house)
    yield desk
    desk.close()


@pytest.fixture
def said(tmp_path: Path) -> Path:
    path = tmp_path / "said"
    path.touch()
    return path


def writer(said: Path, then: str = "") -> list[str]:
    return ["/bin/sh", "-c", f"cat >> {said}; {then}"]


def lines(said: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.read_text().splitlines()]


def statistic(desk: Desk, name: str) -> int:
    return desk.engine.statistics("exec").get(name, 0)


def test_without_a_program_nothing_is_taken(desk: Desk) -> None:
    loaded = load(desk, "exec")
    case(desk, suspect())
    assert (loaded.statistics.delivered, loaded.failed) == (0, "")


def test_program_gets_each_case_event_as_one_line_of_json(desk: Desk, house: TestHouse, said: Path) -> None:
    load(desk, "exec", program=writer(said))
    uuid = case(desk, suspect())
    desk.log_events(ereport(0))  # not subscribed to
    house.until(desk, lambda: statistic(desk, "succeeded") == 1)
    (line,) = lines(said)
    assert (line["class"], line["uuid"], line["fault-list"][0]["location"]) == ("list.suspect", uuid, "Slot 3")


def test_hostile_text_is_data_and_never_a_word_of_a_shell(desk: Desk, house: TestHouse, said: Path, tmp_path: Path) -> None:
    load(desk, "exec", program=[sys.executable, "-c", f"import sys; open({str(said)!r}, 'w').write(sys.stdin.read())"])
    hostile = f"$(touch {tmp_path}/owned); `touch {tmp_path}/owned` \x1b[2J"
    case(desk, suspect(location=hostile))
    house.until(desk, lambda: statistic(desk, "succeeded") == 1)
    assert lines(said)[0]["fault-list"][0]["location"] == hostile
    assert not (tmp_path / "owned").exists()


def test_subscription_is_configured(desk: Desk, house: TestHouse, said: Path) -> None:
    load(desk, "exec", program=writer(said), subscribe=["ereport.io.pciex.dl.*"])
    desk.log_events(ereport(0), ereport(1, class_="ereport.io.pciex.tl.ur"))
    house.until(desk, lambda: statistic(desk, "succeeded") == 1)
    assert [line["class"] for line in lines(said)] == ["ereport.io.pciex.dl.btlp"]


def test_rate_makes_the_rest_wait_and_loses_none(desk: Desk, house: TestHouse, said: Path) -> None:
    load(desk, "exec", program=writer(said), subscribe=["ereport.*"], rate=2, per=60.0)
    desk.log_events(*(ereport(n) for n in range(5)))
    house.until(desk, lambda: statistic(desk, "succeeded") == 2)
    desk.settle()
    assert (len(lines(said)), statistic(desk, "waiting")) == (2, 3)
    for _ in range(2):
        desk.clock.wait_until(desk.clock.boot_ns() + 61 * SECOND)
        desk.settle()
        house.until(desk, lambda: statistic(desk, "waiting") in (1, 0) and not house.programs.running)
    assert [line["tick"] for line in lines(said)] == [0, 1, 2, 3, 4]


def test_queue_is_bounded_and_what_it_drops_is_counted(desk: Desk, said: Path) -> None:
    load(desk, "exec", program=writer(said), subscribe=["ereport.*"], rate=1)
    desk.log_events(*(ereport(n) for n in range(100)))
    desk.settle()
    assert (statistic(desk, "waiting"), statistic(desk, "events-dropped")) == (64, 36)


def test_waiting_events_outlive_a_restart(desk: Desk, house: TestHouse, said: Path) -> None:
    load(desk, "exec", program=["/bin/sh", "-c", "exec sleep 600"], subscribe=["ereport.*"])
    desk.log_events(ereport(0), ereport(1))
    desk.settle()
    desk.restart()
    assert not house.programs.running
    load(desk, "exec", program=writer(said), subscribe=["ereport.*"])
    house.until(desk, lambda: statistic(desk, "succeeded") == 2)
    assert [line["tick"] for line in lines(said)] == [0, 1]


@pytest.mark.parametrize(
    ("program", "kind", "outcome"),
    [
        (["/bin/sh", "-c", "echo no modem >&2; exit 4"], "failed", "exit 4: no modem"),
        (["/nonexistent/pager"], "start", "start: /nonexistent/pager: No such file or directory"),
        (["/bin/sh", "-c", "exec sleep 600"], "late", "late"),
    ],
)
def test_failure_is_counted_and_said_once(desk: Desk, house: TestHouse, program: list[str], kind: str, outcome: str) -> None:
    load(desk, "exec", program=program, subscribe=["ereport.*"], limit=0.5)
    seen = Probe()
    desk.add("seen", seen, "ereport.pcifma.exec")
    desk.log_events(ereport(0), ereport(1))
    house.until(desk, lambda: statistic(desk, kind) == 2)
    desk.settle()
    assert [event.payload["outcome"] for event in seen.events if not isinstance(event, ListEvent)] == [outcome]
    assert statistic(desk, kind) == 2  # its own ereport, which it is subscribed to, started nothing


def test_relative_program_is_refused(desk: Desk) -> None:
    loaded = load(desk, "exec", program=["pager"])
    assert loaded.failed == "PluginError: modules.exec.program: 'pager': give the program's absolute path"


def test_what_a_program_leaves_behind_ends_with_it(desk: Desk, house: TestHouse, tmp_path: Path) -> None:
    load(desk, "exec", program=["/bin/sh", "-c", f"sleep 600 & echo $! > {tmp_path}/pid"], subscribe=["ereport.*"])
    desk.log_events(ereport(0))
    house.until(desk, lambda: statistic(desk, "succeeded") == 1)
    pid = int((tmp_path / "pid").read_text())
    house.until(desk, lambda: _state(pid) in ("", "Z"))


def _state(pid: int) -> str:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except (ProcessLookupError, FileNotFoundError):
        return ""
