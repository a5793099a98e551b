"""A drill goes through everything that a real fault goes through, says so everywhere, and leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.daemon import Daemon, configure, daemon
from support.desk import Desk, Probe
from support.event import BOOT, HOST, ereport, suspect
from support.sysfs import Sysfs

from pcifma.errors import DaemonError
from pcifma.event.case import ListEvent
from pcifma.event.ereport import Ereport
from pcifma.fmd.drill import DRILL_CLASS, DRILL_FAULT, Drills
from pcifma.fmd.engine.own import Author
from pcifma.fmd.log.purge import purge
from pcifma.fmd.socket import Later, Peer

PEER = Peer(pid=7, uid=0, gid=0)
S = 10**9


def diagnose(probe: Probe, event: Ereport | ListEvent) -> None:
    if isinstance(event, Ereport) and event.class_ == DRILL_CLASS:
        case = probe.services.open_case(f"drill:{event.uuid}")
        case.add_ereport(event)
        case.add_suspect(suspect("host", class_=DRILL_FAULT, resource=event.uuid, asru="", fru=""))
        case.solve("PCIFMA-8003-4M", severity="Minor", urgency="now")


class Range:
    """An engine with a diagnosing module, an agent, and drills."""

    def __init__(self, path: Path) -> None:
        self.desk = Desk(path)
        self.diag, self.agent = Probe(on_recv=diagnose), Probe()
        self.outcomes: list[dict[str, object]] = []
        self.load()

    def load(self, agent: Probe | None = None) -> None:
        self.desk.add("diag", self.diag, "ereport.pcifma.drill")
        self.desk.add("agent", agent or self.agent, "list.*")
        author = Author(self.desk.clock, host=HOST, boot=BOOT)
        self.drills = Drills(self.desk.engine, self.desk.log, author, self.desk.clock)

    def begin(self, timeout_s: float = 30.0) -> None:
        later = Later()
        later.then = self.outcomes.append  # type: ignore[assignment]
        self.drills.begin(PEER, later, urgency="now", timeout_s=timeout_s)

    def settle(self) -> None:
        for _ in range(4):
            self.desk.settle()
            self.drills.check()
        self.desk.settle()

    @property
    def events(self) -> list[Ereport | ListEvent]:
        with closing(self.desk.log.reader()) as reader:
            return [logged.event for logged in reader.events(0, 1000)]


@pytest.fixture
def drilling(tmp_path: Path) -> Iterator[Range]:
    range_ = Range(tmp_path / "log.db")
    yield range_
    range_.desk.close()


def test_drill_passes_once_every_agent_has_the_fault_and_its_end(drilling: Range) -> None:
    drilling.begin()
    drilling.settle()
    (outcome,) = drilling.outcomes
    assert (outcome["passed"], outcome["agents"]) == (True, ["agent"])
    assert list(outcome["stages"]) == ["logged", "diagnosed", "announced", "closed", "passed"]  # type: ignore[call-overload]
    assert drilling.agent.classes == ["list.suspect", "list.repaired", "list.resolved"]


def test_everything_of_a_drill_says_that_it_is_injected(drilling: Range) -> None:
    drilling.begin()
    drilling.settle()
    assert len(drilling.events) == 5
    assert all(event.injected is True for event in drilling.events)
    assert all(event.injected is True for event in drilling.agent.events)


def test_drill_accuses_no_part_and_leaves_no_case(drilling: Range) -> None:
    drilling.begin()
    drilling.settle()
    assert drilling.desk.engine.docket.cases == {}
    assert [entry.state for entry in drilling.desk.engine.docket.cache.entries.values()] == ["repaired"]


def test_second_drill_waits_for_the_first(drilling: Range) -> None:
    drilling.begin()
    with pytest.raises(DaemonError, match="a drill is under way"):
        drilling.begin()
    drilling.settle()
    drilling.begin()
    drilling.settle()
    assert [outcome["passed"] for outcome in drilling.outcomes] == [True, True]


def test_agent_that_fails_on_it_is_named(tmp_path: Path) -> None:
    def fail(probe: Probe, event: Ereport | ListEvent) -> None:
        raise ValueError("the pager is off")

    drilling = Range(tmp_path / "log.db")
    drilling.desk.engine.unregister("agent")
    drilling.desk.add("pager", Probe(on_recv=fail), "list.suspect")
    drilling.begin()
    drilling.settle()
    (outcome,) = drilling.outcomes
    assert (outcome["passed"], outcome["missing"], outcome["silent"]) == (False, "announced", ["pager"])
    assert drilling.desk.engine.docket.cases == {}, "its case is closed all the same"
    assert (drilling.drills.passed, drilling.drills.failed, drilling.drills.last) == (0, 1, None)
    drilling.desk.close()


@pytest.mark.parametrize(("counted", "missing"), [({"waiting": 1}, None), ({"waiting": 0, "late": 1}, "announced"), ({"waiting": 0}, "")])
def test_agent_that_hands_on_has_answered_when_it_has_arrived(tmp_path: Path, counted: dict[str, int], missing: str | None) -> None:
    class Handing(Probe):
        def stats(self) -> dict[str, int]:
            return counted if self.events else {"waiting": 0}

    drilling = Range(tmp_path / "log.db")
    drilling.desk.add("pager", Handing(), "list.suspect")
    drilling.begin()
    drilling.settle()
    assert [outcome["missing"] for outcome in drilling.outcomes] == ([] if missing is None else [missing])
    drilling.desk.close()


def test_drill_that_nobody_diagnoses_fails_at_once(drilling: Range) -> None:
    drilling.desk.engine.unregister("diag")
    drilling.begin()
    drilling.settle()
    (outcome,) = drilling.outcomes
    assert (outcome["passed"], outcome["missing"]) == (False, "diagnosed")
    assert "no module that is active takes it" in str(outcome["why"])


def test_drill_out_of_time_fails(drilling: Range) -> None:
    drilling.begin(timeout_s=5)
    drilling.drills.check()
    assert drilling.outcomes == []
    drilling.desk.clock.advance_to(drilling.desk.clock.boot_ns() + 5 * S)
    drilling.drills.check()
    assert drilling.outcomes[0]["passed"] is False


def test_case_that_a_killed_daemon_left_is_closed_by_the_next(drilling: Range) -> None:
    drilling.begin()
    drilling.desk.settle()  # a case is made of it, and nobody closes it
    assert len(drilling.desk.engine.docket.cases) == 1
    drilling.desk.crash()
    drilling.load()
    drilling.settle()
    assert drilling.desk.engine.docket.cases == {}
    assert drilling.events[-1].class_ == "list.resolved"


def test_last_drill_that_passed_is_known_after_a_restart(drilling: Range) -> None:
    drilling.begin()
    drilling.settle()
    drilling.desk.restart()
    drilling.load()
    assert drilling.drills.last is not None
    assert (drilling.drills.last.agents, drilling.drills.last.case) == (["agent"], drilling.outcomes[0]["case"])


def test_purge_takes_drills_out_of_log_and_archives_and_nothing_else(drilling: Range) -> None:
    for n in range(2):
        drilling.desk.log_events(ereport(n))
        drilling.begin()
        drilling.settle()
        if n == 0:
            drilling.desk.log.rotate("error")
            drilling.desk.log.rotate("fault")
    found = []
    drilling.desk.log.do(lambda store: found.append(purge(store))).wait()
    assert (found[0].ereports, found[0].lists, len(found[0].cases)) == (4, 6, 2)
    assert [event.class_ for event in drilling.events] == ["ereport.io.pciex.dl.btlp"]
    assert drilling.desk.log.do(lambda store: found.append(purge(store))).wait()
    assert (found[1].ereports, found[1].lists) == (0, 0)
    drilling.begin()
    drilling.settle()
    assert drilling.outcomes[-1]["passed"] is True


# The same, through a real daemon.

AGENT = """
class Agent:
    def recv(self, event): HOW
    def timeout(self, timer, data): pass
    def close(self): pass
    def stats(self): return {}
    def topo(self, fabric): pass
def open(services): return Agent()
"""


def agent(root: Path, how: str) -> None:
    path = root / "etc/pcifma/plugins/pager"
    path.mkdir(parents=True)
    (path / "plugin.yaml").write_text("{name: pager, version: '1', api: 1, kind: module, subscribe: ['list.*']}")
    (path / "plugin.py").write_text(AGENT.replace("HOW", how))
    for each in (path, *path.iterdir(), *(p for p in path.parents if root in p.parents)):
        each.chmod(0o755 if each.is_dir() else 0o644)


def drill(fmd: Daemon, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-c", "from pcifma.cli.main import run; run()", "drill", *words, "--root", str(fmd.paths.root)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)


def test_drill_reaches_agents_of_others_and_shows_in_status(root: Path) -> None:
    configure(root, "poll: {interval: 200ms}\n")
    agent(root, "pass")
    tree = Sysfs(root / "sys")
    with daemon(root, "--source", str(tree.root)) as fmd:
        fmd.plugins()  # loaded, all of them
        done = drill(fmd, "--json")
        outcome = json.loads(done.stdout)
        assert (done.returncode, outcome["passed"], outcome["silent"]) == (0, True, [])
        assert "pager" in outcome["agents"]
        assert fmd.status()["drill"]["last_passed"]["case"] == outcome["case"]
        assert "PASSED" in drill(fmd).stdout
        assert "were taken out of the logs" in drill(fmd, "--purge").stdout
        assert not any(name.startswith(("list.", "ereport.pcifma.drill")) for name in fmd.classes())


def test_drill_finds_out_an_agent_that_does_not_work(root: Path) -> None:
    agent(root, "raise ValueError('off')")
    tree = Sysfs(root / "sys")
    with daemon(root, "--source", str(tree.root)) as fmd:
        fmd.plugins()
        done = drill(fmd)
        assert done.returncode == 1
        assert "FAILED  announced: not answered by pager" in done.stdout
        fmd.until(lambda: "list.resolved" in fmd.classes(), "the case's end")
        assert fmd.status()["drill"] == {"last_passed": None, "passed": 0, "failed": 1}
