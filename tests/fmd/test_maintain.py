"""Planned work: what belongs to it is logged and marked, and no module that diagnoses gets it; it ends by itself, over restarts too."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.daemon import Daemon, configure, daemon
from support.desk import NO_FABRIC, Desk, Probe, slot_with
from support.event import BOOT, ereport
from support.fabric import bridge, endpoint, fabric_of, root_port
from support.image import DOWNSTREAM, UPSTREAM
from support.sysfs import CARD, DEVICE_STATUS, PORT, UNCORRECTABLE_STATUS, Sysfs

from pcifma.access.clock import EPOCH_2000_NS, SimulatedClock
from pcifma.errors import UsageError
from pcifma.event.ereport import Ereport
from pcifma.event.identity import utc
from pcifma.fmd.engine.module import Registration
from pcifma.fmd.log.log import Log
from pcifma.fmd.maintain import KNOWN_NS, Planned, Work
from pcifma.fmd.scope import anchors, covered
from pcifma.fmd.socket import Peer

S = 10**9
PEER = Peer(pid=7, uid=1000, gid=0)

# Where.

SWITCH = fabric_of(
    root_port("0000:00:01.0", 1, 4, slot=3),
    bridge("0000:01:00.0", UPSTREAM, 2, 4),
    bridge("0000:02:00.0", DOWNSTREAM, 3, 3),
    bridge("0000:02:01.0", DOWNSTREAM, 4, 4),
    endpoint("0000:03:00.0"),
    endpoint("0000:04:00.0"),
    root_port("0000:00:02.0", 5, 5, slot=4),
    endpoint("0000:05:00.0"),
    endpoint("0000:05:00.1"),
    endpoint("0000:00:1f.0"),
    endpoint("0000:00:1f.6"),
)


@pytest.mark.parametrize(
    ("what", "meant"),
    [
        ("0000:03:00.0", {"0000:02:00.0", "0000:03:00.0"}),
        ("02:01.0", {"0000:02:01.0", "0000:04:00.0"}),
        ("05:00.1", {"0000:00:02.0", "0000:05:00.0", "0000:05:00.1"}),
        ("slot 4", {"0000:00:02.0", "0000:05:00.0", "0000:05:00.1"}),
        ("Slot 3", {"0000:00:01.0", "0000:01:00.0", "0000:02:00.0", "0000:02:01.0", "0000:03:00.0", "0000:04:00.0"}),
        ("4", {"0000:00:02.0", "0000:05:00.0", "0000:05:00.1"}),
        ("0000:00:1f.6", {"0000:00:1f.0", "0000:00:1f.6"}),
        ("0000:00:02.0", {"0000:00:02.0", "0000:05:00.0", "0000:05:00.1"}),
    ],
)
def test_part_means_its_link_its_device_and_all_below(what: str, meant: set[str]) -> None:
    assert covered(SWITCH, anchors(SWITCH, what)) == meant


@pytest.mark.parametrize("what", ["0000:09:00.0", "Slot 5", "", "03:00"])
def test_what_is_no_part_is_refused(what: str) -> None:
    with pytest.raises(UsageError, match="is no Function and no slot here"):
        anchors(SWITCH, what)


# When.


@dataclass
class Bench:
    log: Log
    clock: SimulatedClock
    told: list[tuple[str, str]] = field(default_factory=list)

    def planned(self, boot: str = BOOT) -> Planned:
        return Planned(self.log, self.clock, boot, lambda work, state: self.told.append((work.id, state)))

    def seen(self, since_s: float | None, at_s: float, device: str = CARD) -> Ereport:
        not_before = None if since_s is None else utc(EPOCH_2000_NS + round(since_s * S))
        return ereport(time=utc(EPOCH_2000_NS + round(at_s * S)), not_before=not_before, device=device)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    clock = SimulatedClock()
    log = Log.open(tmp_path / "log.db", clock=clock)
    clock.advance_to(100 * S)
    yield Bench(log, clock)
    log.close()


def begin(planned: Planned, what: str = "", for_s: float = 60) -> Work:
    work, ticket = planned.begin(slot_with(), PEER, what=what, why="reseat", for_s=for_s)
    assert ticket.wait(30)
    return work


@pytest.mark.parametrize(
    ("since_s", "at_s", "belongs"),
    [
        (99, 99.5, False), (99.5, 100.5, True), (120, 121, True), (None, 130, True), (130, 190, True), (160.5, 161, False),
        (None, 161, False),
    ],
)  # fmt: skip
def test_ereport_belongs_if_it_may_have_happened_meanwhile(bench: Bench, since_s: float | None, at_s: float, belongs: bool) -> None:
    planned = bench.planned()
    work = begin(planned)
    (event,) = planned.mark([bench.seen(since_s, at_s)], NO_FABRIC)
    assert (event.maintenance == work.id) is belongs


def test_only_what_is_worked_on_is_marked(bench: Bench) -> None:
    planned, fabric = bench.planned(), slot_with()
    begin(planned, CARD)
    events = [bench.seen(110, 111, device) for device in (CARD, PORT, "0000:09:00.0", "host")]
    assert [isinstance(event.maintenance, str) for event in planned.mark(events, fabric)] == [True, True, False, False]
    empty = slot_with(0)
    assert isinstance(planned.mark([bench.seen(110, 111)], empty)[0].maintenance, str), "the card is out, and still meant"


def test_work_ends_by_itself_and_that_is_told_once(bench: Bench) -> None:
    planned = bench.planned()
    work = begin(planned)
    bench.clock.advance_to(159 * S)
    planned.check()
    assert planned.active == [work]
    bench.clock.advance_to(160 * S)
    assert planned.active == []
    planned.check()
    planned.check()
    assert bench.told == [(work.id, "began"), (work.id, "ended")]
    assert isinstance(planned.mark([bench.seen(159, 170)], NO_FABRIC)[0].maintenance, str), "a slow look may still find it"
    bench.clock.advance_to(160 * S + KNOWN_NS)
    planned.check()
    assert planned.mark([bench.seen(159, 170)], NO_FABRIC)[0].maintenance is not work.id


def test_work_is_ended_by_its_id(bench: Bench) -> None:
    planned = bench.planned()
    work = begin(planned)
    bench.clock.advance_to(110 * S)
    ended, ticket = planned.end(work.id, EPOCH_2000_NS + 109 * S)
    assert ticket.wait(30)
    assert (ended.until_boot_ns, planned.active) == (109 * S, [])
    events = [bench.seen(108, 109), bench.seen(108.5, 111), bench.seen(109, 110)]
    assert [isinstance(event.maintenance, str) for event in planned.mark(events, NO_FABRIC)] == [True, True, False]
    with pytest.raises(UsageError, match="no planned work"):
        planned.end(work.id, None)


@pytest.mark.parametrize("boot", [BOOT, "another-boot"])
def test_work_goes_on_after_restart_and_reboot(bench: Bench, boot: str) -> None:
    work = begin(bench.planned())
    bench.clock.advance_to(120 * S)
    again = bench.planned(boot)
    assert [(other.id, other.until_wall_ns, other.uid) for other in again.active] == [(work.id, work.until_wall_ns, 1000)]
    bench.clock.advance_to(161 * S)
    assert again.active == []


@pytest.mark.parametrize(("why", "for_s", "says"), [(" ", 60, "say why"), ("x", 0, "it lasts"), ("x", 31 * 86400, "30 days at most")])
def test_work_without_reason_or_end_is_refused(bench: Bench, why: str, for_s: float, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        bench.planned().begin(NO_FABRIC, PEER, what="", why=why, for_s=for_s)


# Who gets it.


def test_modules_get_ereports_of_planned_work_only_if_they_want_them(tmp_path: Path) -> None:
    desk, diag, counter = Desk(tmp_path / "log.db"), Probe(), Probe()
    desk.add("diag", diag)
    desk.engine.register(Registration("counter", "1", counter.open, ("ereport.*",), planned=True))
    desk.log_events(ereport(0), ereport(1, maintenance="0badcafe"), ereport(2))
    desk.settle()
    assert (diag.seqs, counter.seqs) == ([1, 3], [1, 2, 3])
    assert desk.engine.statistics("diag")["planned"] == 1
    with closing(desk.log.reader()) as reader:
        assert [logged.event.maintenance for logged in reader.events(1, 1) if isinstance(logged.event, Ereport)] == ["0badcafe"]
    desk.close()


# All of it, in a real daemon.


def maintain(fmd: Daemon, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-c", "from pcifma.cli.main import run; run()", "maintain", *words, "--root", str(fmd.paths.root)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def logged(fmd: Daemon) -> Sequence[Ereport]:
    with closing(fmd.log()) as reader:
        return [found.event for found in reader.events(0, 1000) if isinstance(found.event, Ereport)]


def test_errors_of_planned_work_make_no_case_and_later_ones_do(root: Path) -> None:
    configure(root, "poll: {interval: 100ms, slow_interval: 300ms}\nmodules: {pcie_diagnosis: {window: 300ms}}\n")
    tree = Sysfs(root / "sys")
    source = ("--source", str(tree.root))
    with daemon(root, *source) as fmd:
        fmd.until_looks()
        done = maintain(fmd, "2h", CARD, "--why", "reseat the card", "--json")
        work = json.loads(done.stdout)
        assert (done.returncode, work["uid"], work["below"]) == (0, os.geteuid(), [PORT])
        tree.put(tree.card, UNCORRECTABLE_STATUS, 1 << 18, 4)
        tree.put(tree.card, DEVICE_STATUS, 4, 2)
        fmd.until(lambda: "ereport.io.pciex.tl.mtlp" in fmd.classes(), "the ereport")
        fmd.stop()
    with daemon(root, *source) as fmd:
        assert [other["id"] for other in fmd.ask("maintain-list")] == [work["id"]]
        assert fmd.status()["maintenance"][0]["why"] == "reseat the card"
        assert f"planned work {work['id']} on {CARD}" in maintain(fmd, "--list").stdout
        assert maintain(fmd, "--end", work["id"]).returncode == 0
        tree.put(tree.card, UNCORRECTABLE_STATUS, 1 << 18 | 1 << 22, 4)
        fmd.until(lambda: "list.suspect" in fmd.classes(), "a case")
        with closing(fmd.log()) as reader:
            (case,) = [event for event in reader.lists() if event.class_ == "list.suspect"]
        planned = [event for event in logged(fmd) if isinstance(event.maintenance, str)]
        states = [event.payload["state"] for event in logged(fmd) if event.class_ == "ereport.pcifma.maintenance"]
    assert "ereport.io.pciex.tl.mtlp" in [event.class_ for event in planned]
    assert {event.maintenance for event in planned} == {work["id"]}
    assert not set(case.ereports) & {event.uuid for event in planned}
    assert states == ["began", "ended"]


@pytest.mark.parametrize(
    "words", [[], ["2h", "--list"], ["2h"], ["2h", "--why", " "], ["soon", "--why", "x"], ["2h", "Slot 99", "--why", "x"], ["--end", "no"]]
)
def test_wrong_words_are_one_line(fmd_once: Daemon, words: list[str]) -> None:
    done = maintain(fmd_once, *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


@pytest.fixture(scope="module")
def fmd_once() -> Iterator[Daemon]:
    path = Path(tempfile.mkdtemp(prefix="pcifma-"))
    path.chmod(0o755)
    with daemon(path, "--source", str(Sysfs(path / "sys").root)) as running:
        yield running
    shutil.rmtree(path)
