"""The engine hands every event to every subscriber once, in log order, and forgets nothing of what they made of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.desk import Desk, Probe
from support.event import ereport, suspect

from pcifma.errors import PluginError
from pcifma.event.case import ListEvent
from pcifma.event.ereport import Ereport
from pcifma.fmd.engine.module import Registration


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "log.db")
    yield desk
    desk.close()


def solve(probe: Probe, event: Ereport | ListEvent) -> None:
    if isinstance(event, Ereport):
        case = probe.services.open_case("link")
        case.add_ereport(event)
        if case.state == "UNSOLVED":
            case.add_suspect(suspect())
            case.solve("PCIEX-8000-0A", severity="Major", urgency="now")


def test_event_goes_to_each_subscriber_in_log_order(desk: Desk) -> None:
    one, two = Probe(), Probe()
    desk.add("one", one)
    desk.add("two", two, "ereport.io.pciex.tl.*")
    desk.log_events(ereport(0), ereport(1, class_="ereport.io.pciex.tl.ur"), ereport(2))
    desk.settle()
    assert one.seqs == [1, 2, 3]
    assert two.seqs == [2]


def test_new_module_starts_at_the_end_of_the_log(desk: Desk) -> None:
    desk.log_events(ereport(0))
    late = Probe()
    desk.add("late", late)
    desk.log_events(ereport(1))
    desk.settle()
    assert late.seqs == [2]


def test_new_module_that_was_late_starts_where_it_is_told(desk: Desk) -> None:
    desk.log_events(ereport(0), ereport(1))
    late = Probe()
    desk.engine.register(Registration("late", "1", late.open, ("ereport.*",), since=1))
    desk.settle()
    assert late.seqs == [2]


@pytest.mark.parametrize("stats", [None, {"n": 10**5000}, {"\ud800": 1}, {"n": "many"}])
def test_module_whose_statistics_are_wrong_is_set_aside(desk: Desk, stats: object) -> None:
    probe = Probe()
    probe.stats = lambda: stats  # type: ignore[method-assign,assignment,return-value]
    desk.add("diag", probe)
    assert "seen" not in desk.engine.statistics("diag")
    assert desk.engine.modules["diag"].failed


def test_round_ends_when_its_time_is_over_and_goes_on_later(desk: Desk) -> None:
    probe = Probe()
    desk.add("diag", probe)
    desk.log_events(*(ereport(n) for n in range(5)))
    assert desk.engine.pump(until_s=0.0)
    assert probe.seqs == [1]
    desk.settle()
    assert probe.seqs == [1, 2, 3, 4, 5]


def test_timers_that_are_due_before_an_event_share_its_round_no_longer_than_there_is_time(desk: Desk) -> None:
    probe, order = Probe(), list[str]()
    probe.on_recv, probe.on_timeout = lambda _, event: order.append(str(event.seq)), lambda _, timer, data: order.append(timer)
    desk.add("diag", probe)
    for name in "abc":
        probe.services.arm(name, 1.0)
    desk.clock.wait_until(desk.clock.boot_ns() + 2 * 10**9)
    desk.log_events(ereport(0), ereport(1))
    done = []
    while desk.engine.pump(until_s=0.0):
        done.append(len(order))
    assert order == ["a", "b", "c", "1", "2"]
    assert done == [1, 2, 4]
    assert desk.engine.modules["diag"].cursor == 2


def test_known_module_gets_what_it_missed(desk: Desk) -> None:
    desk.add("diag", Probe())
    desk.engine.unregister("diag")
    desk.log_events(ereport(0), ereport(1))
    again = Probe()
    desk.add("diag", again)
    desk.settle()
    assert again.seqs == [1, 2]


def test_list_event_reaches_subscribers_of_its_class_and_of_its_suspects(desk: Desk) -> None:
    agent, retire, other = Probe(), Probe(), Probe()
    desk.add("diag", Probe(on_recv=solve))
    desk.add("agent", agent, "list.suspect")
    desk.add("retire", retire, "fault.io.*")
    desk.add("other", other, "fault.cpu.*")
    desk.log_events(ereport(0))
    desk.settle()
    assert (agent.classes, retire.classes, other.classes) == (["list.suspect"], ["list.suspect"], [])


def test_case_survives_a_restart_and_is_announced_once(desk: Desk) -> None:
    desk.add("diag", Probe(on_recv=solve))
    desk.log_events(ereport(0))
    desk.settle()
    uuid = next(iter(desk.engine.docket.cases))
    desk.restart()
    agent, diag = Probe(), Probe(on_recv=solve)
    desk.add("diag", diag)
    desk.add("agent", agent, "list.*")
    desk.log_events(ereport(1))
    desk.settle()
    case = desk.engine.docket.cases[uuid]
    assert (case.state, list(case.ereports.values())) == ("SOLVED", [1, 3])
    assert agent.events == []


def test_round_that_was_not_committed_is_repeated_from_the_checkpoint(desk: Desk) -> None:
    first = Probe(on_recv=lambda probe, _: probe.services.count("seen"))
    desk.add("diag", first)
    desk.log_events(ereport(0))
    desk.settle()
    desk.log_events(ereport(1))
    desk.engine._round(100)
    desk.crash()
    again = Probe(on_recv=lambda probe, _: probe.services.count("seen"))
    desk.add("diag", again)
    desk.settle()
    assert (first.seqs, again.seqs) == ([1, 2], [2])
    assert desk.engine.statistics("diag")["seen"] == 1


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_module_that_raises_anything_is_set_aside_and_reported(desk: Desk, error: BaseException) -> None:
    def fail(probe: Probe, event: Ereport | ListEvent) -> None:
        raise error

    bad, good = Probe(on_recv=fail), Probe()
    loaded = desk.add("bad", bad, "ereport.io.*")
    desk.add("good", good)
    desk.log_events(ereport(0), ereport(1))
    desk.settle()
    assert good.classes == [ereport().class_, ereport().class_, "ereport.pcifma.module"]
    assert bad.seqs == [1]
    assert (loaded.statistics.delivered, loaded.statistics.dropped) == (1, 1)
    assert loaded.failed.startswith(type(error).__name__)


def test_module_goes_on_after_the_event_it_failed_on(desk: Desk) -> None:
    def fail(probe: Probe, event: Ereport | ListEvent) -> None:
        raise RuntimeError("bug")

    desk.add("bad", Probe(on_recv=fail), "ereport.io.*")
    desk.log_events(ereport(0), ereport(1))
    desk.settle()
    desk.restart()
    mended = Probe()
    desk.add("bad", mended, "ereport.io.*")
    desk.settle()
    assert mended.seqs == [2]


def test_module_that_fails_to_open_is_set_aside(desk: Desk) -> None:
    class Broken(Probe):
        def open(self, services: object) -> Probe:
            raise OSError("no such file")

    loaded = desk.add("broken", Broken())
    assert loaded.failed == "OSError: no such file"


def test_second_module_of_a_name_is_refused(desk: Desk) -> None:
    desk.add("diag", Probe())
    with pytest.raises(PluginError, match="loaded already"):
        desk.add("diag", Probe())
