"""What a module asks of the daemon: timers, SERD engines, buffers, statistics, ereports of its own; kept over a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from support.desk import Desk, Probe
from support.event import BOOT, HOST, ereport, suspect

from pcifma.access.clock import EPOCH_2000_NS, SimulatedClock
from pcifma.errors import PluginError
from pcifma.event.case import ListEvent
from pcifma.event.ereport import Ereport
from pcifma.event.identity import utc
from pcifma.fmd.engine import services as limits
from pcifma.fmd.engine.dispatch import GLOB_LIMIT
from pcifma.plugin import HOST as HOST_TARGET
from pcifma.plugin import Evidence, Finding, Module, Services

S = 10**9


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "log.db")
    yield desk
    desk.close()


def at(desk: Desk, seconds: float) -> None:
    """Let time pass and what is due happen."""
    desk.clock.advance_to(round(seconds * S))
    desk.settle()


def serd(n: int, t_s: float) -> Callable[[Probe, Ereport | ListEvent], None]:
    def record(probe: Probe, event: Ereport | ListEvent) -> None:
        assert isinstance(event, Ereport)
        if probe.services.serd("link", n, t_s).record(event):
            probe.services.count("fired")

    return record


def arm(*timers: tuple[str, float]) -> Callable[[Probe, Ereport | ListEvent], None]:
    def on_recv(probe: Probe, event: Ereport | ListEvent) -> None:
        for name, delay_s in timers:
            probe.services.arm(name, delay_s, f"for {event.seq}")

    return on_recv


def fired(desk: Desk) -> int:
    return desk.engine.statistics("diag").get("fired", 0)


def test_serd_counts_over_a_restart(desk: Desk) -> None:
    desk.add("diag", Probe(on_recv=serd(2, 100)))
    for second in (10, 20):
        desk.clock.advance_to(second * S)
        desk.log_events(ereport(second))
    desk.settle()
    desk.restart()
    desk.add("diag", Probe(on_recv=serd(2, 100)))
    desk.clock.advance_to(110 * S)
    desk.log_events(ereport(110))
    desk.settle()
    assert fired(desk) == 1


def test_serd_of_events_taken_late_counts_when_they_happened(desk: Desk) -> None:
    desk.add("diag", Probe(on_recv=serd(2, 5)))
    for second in (10, 20, 30):
        desk.clock.advance_to(second * S)
        desk.log_events(ereport(second))
    desk.settle()
    assert fired(desk) == 0


def reboot(desk: Desk, wall_ns: int) -> None:
    """Stop, and start in another boot at that wall time, its boot time beginning at 0."""
    desk.close()
    desk.clock = SimulatedClock(wall_ns)
    desk.boot = "another-boot"
    desk.start()


@pytest.mark.parametrize(("gap_s", "expected"), [(50, 1), (200, 0)])
def test_serd_window_spans_a_reboot_by_the_wall_clock(desk: Desk, gap_s: int, expected: int) -> None:
    desk.add("diag", Probe(on_recv=serd(1, 100)))
    desk.clock.advance_to(1000 * S)
    desk.log_events(ereport(1000))
    desk.settle()
    reboot(desk, EPOCH_2000_NS + (1000 + gap_s) * S)
    desk.add("diag", Probe(on_recv=serd(1, 100)))
    desk.log_events(ereport(1000 + gap_s, boot="another-boot"))
    desk.settle()
    assert fired(desk) == expected


def test_event_of_an_earlier_boot_taken_in_this_one_is_placed_by_the_wall_clock(desk: Desk) -> None:
    desk.add("diag", Probe())
    desk.clock.advance_to(500 * S)
    desk.engine.unregister("diag")
    desk.log_events(ereport(500, time=utc(EPOCH_2000_NS + 500 * S)))
    reboot(desk, EPOCH_2000_NS + 560 * S)
    seen: list[int] = []
    desk.add("diag", Probe(on_recv=lambda probe, event: seen.append(probe.services.now_ns())))
    desk.settle()
    assert seen == [-60 * S]


def test_step_of_the_wall_clock_opens_no_window(desk: Desk) -> None:
    class Stepping(SimulatedClock):
        step_ns = 0

        def wall_ns(self) -> int:
            return super().wall_ns() + self.step_ns

    desk.close()
    desk.clock = clock = Stepping()
    desk.start()
    desk.add("diag", Probe(on_recv=serd(1, 100)))
    desk.log_events(ereport(0))
    desk.settle()
    clock.step_ns = 10**6 * S
    clock.advance_to(50 * S)
    desk.log_events(ereport(1, time=utc(clock.wall_ns())))
    desk.settle()
    assert fired(desk) == 1


def test_timer_runs_out_once_at_its_time(desk: Desk) -> None:
    probe = Probe(on_recv=arm(("t", 10)))
    desk.add("diag", probe)
    desk.log_events(ereport(0))
    at(desk, 9.9)
    assert (probe.timeouts, desk.engine.next_due_ns()) == ([], 10 * S)
    at(desk, 25)
    at(desk, 50)
    assert probe.timeouts == [("t", "for 1", 10 * S)]
    assert desk.engine.next_due_ns() is None


def test_timer_runs_out_before_an_event_that_happened_after_it(desk: Desk) -> None:
    probe = Probe(on_recv=arm(("t", 10)))
    desk.add("diag", probe)
    desk.log_events(ereport(0))
    desk.settle()
    desk.clock.advance_to(15 * S)
    desk.log_events(ereport(1))
    desk.settle()
    assert probe.timeouts == [("t", "for 1", 10 * S)]
    at(desk, 25)
    assert probe.timeouts[1:] == [("t", "for 2", 25 * S)]


def test_timer_survives_restart_and_reboot(desk: Desk) -> None:
    desk.add("diag", Probe(on_recv=arm(("t", 100))))
    desk.log_events(ereport(0))
    desk.settle()
    desk.restart()
    reboot(desk, EPOCH_2000_NS + 40 * S)
    probe = Probe()
    desk.add("diag", probe)
    at(desk, 59)
    assert probe.timeouts == []
    at(desk, 60)
    assert probe.timeouts == [("t", "for 1", 60 * S)]


def test_disarmed_timer_stays_so_over_a_restart(desk: Desk) -> None:
    desk.add("diag", Probe(on_recv=arm(("t", 10), ("u", 20))))
    desk.log_events(ereport(0))
    desk.settle()
    desk.engine.modules["diag"].services.disarm("t")
    desk.restart()
    probe = Probe()
    desk.add("diag", probe)
    at(desk, 100)
    assert [name for name, _, _ in probe.timeouts] == ["u"]


def test_timer_of_no_delay_does_not_stop_the_others(desk: Desk) -> None:
    busy = Probe(on_recv=arm(("t", 0)), on_timeout=lambda probe, timer, data: probe.services.arm(timer, 0))
    other = Probe()
    desk.add("busy", busy)
    desk.add("other", other)
    desk.log_events(ereport(0))
    for _ in range(3):
        desk.engine.pump()
    assert other.seqs == [1]
    assert len(busy.timeouts) >= 1000
    busy.services.disarm("t")


def test_buffers_and_statistics_survive_a_restart(desk: Desk) -> None:
    probe = Probe()
    desk.add("diag", probe)
    probe.services.put("seen", b"\x00\xff")
    probe.services.count("looks", 3)
    desk.restart()
    again = Probe()
    desk.add("diag", again)
    again.services.count("looks")
    assert (again.services.get("seen"), again.services.get("none")) == (b"\x00\xff", None)
    assert desk.engine.statistics("diag")["looks"] == 4


def test_reset_forgets_checkpoint_and_unsolved_cases(desk: Desk) -> None:
    probe = Probe(on_recv=lambda probe, event: probe.services.open_case("c"))
    desk.add("diag", probe)
    probe.services.put("seen", b"x")
    probe.services.count("looks")
    probe.services.arm("t", 5)
    desk.log_events(ereport(0))
    desk.settle()
    desk.engine.reset("diag")
    desk.settle()
    assert (desk.engine.docket.cases, probe.services.get("seen"), probe.closed) == ({}, None, 1)
    desk.restart()
    again = Probe()
    desk.add("diag", again)
    at(desk, 10)
    assert (again.services.get("seen"), again.timeouts, again.events) == (None, [], [])
    assert "looks" not in desk.engine.statistics("diag")


def test_reset_keeps_the_reasons_of_cases_that_were_told(desk: Desk) -> None:
    probe = Probe()
    desk.add("diag", probe)
    probe.services.put("why:ab", b"because")
    probe.services.put("seen", bytes(limits.BUFFER_BYTES))
    desk.engine.reset("diag")
    desk.settle()
    assert probe.services.get("why:ab") == b"because"
    desk.restart()
    again = Probe()
    loaded = desk.add("diag", again)
    assert (again.services.get("why:ab"), again.services.get("seen")) == (b"because", None)
    assert loaded.services.buffered_bytes == len(b"because")


def test_own_ereport_is_logged_and_dispatched(desk: Desk) -> None:
    finding = Finding("ereport.pcifma.test", Evidence(HOST_TARGET, "fact", 3), "info", {"x": 1})
    probe, listener = Probe(on_recv=lambda probe, event: probe.services.post(finding)), Probe()
    desk.add("diag", probe, "ereport.io.*")
    desk.add("listener", listener, "ereport.pcifma.*")
    desk.log_events(ereport(0), ereport(1))
    desk.settle()
    events = [event for event in listener.events if isinstance(event, Ereport)]
    assert [(e.class_, e.plugin, e.host, e.boot, e.payload) for e in events] == [
        ("ereport.pcifma.test", "diag", HOST, BOOT, {"register": "fact", "bit": 3, "x": 1})
    ] * 2
    assert events[0].uuid != events[1].uuid


def each(numbers: Iterable[int], action: Callable[[int], object]) -> None:
    for n in numbers:
        action(n)


def use(action: Callable[[Services], object]) -> Callable[[Services], object]:
    return action


@pytest.mark.parametrize(
    "misuse",
    [
        use(lambda s: s.put("b", bytes(limits.BUFFER_BYTES + 1))),
        use(lambda s: each(range(11), lambda n: s.put(f"b{n}", bytes(limits.BUFFER_BYTES)))),
        use(lambda s: s.put("nul\0", b"")),
        use(lambda s: s.count("\ud800")),
        use(lambda s: s.open_case("x" * 300)),
        use(lambda s: s.arm("t", 1e12)),
        use(lambda s: s.arm("t", 1, "x" * 70000)),
        use(lambda s: each(range(limits.TIMER_LIMIT + 1), lambda n: s.arm(f"t{n}", 1))),
        use(lambda s: each(range(limits.CASE_LIMIT + 1), lambda n: s.open_case(f"c{n}"))),
        use(lambda s: s.post(Finding("fault.x", Evidence(HOST_TARGET, "f", 0), "info"))),
        use(lambda s: s.post(Finding("ereport.x", Evidence(HOST_TARGET, "f", 0), "info", count=0))),
        use(lambda s: s.post(Finding("ereport.x", Evidence(HOST_TARGET, "f", 0), "info", {"x": "\ud800"}))),
        use(lambda s: s.post(Finding("ereport.x", Evidence(HOST_TARGET, "f", -1), "info"))),
        use(lambda s: s.post("ereport.x")),  # type: ignore[arg-type]
        use(lambda s: s.put("b", 5)),  # type: ignore[arg-type]
        use(lambda s: each(range(limits.BUFFER_LIMIT + 1), lambda n: s.put(f"b{n}", b""))),
        use(lambda s: s.count("n", 10**5000)),
        use(lambda s: s.count("n", 1.5)),  # type: ignore[arg-type]
        use(lambda s: each((1, 2), lambda n: s.count("n", (1 << 63) - n))),
        use(lambda s: each(range(limits.STATISTIC_LIMIT + 1), lambda n: s.count(f"n{n}"))),
        use(lambda s: s.serd("e", 10**400, 1.0)),
        use(lambda s: s.serd("e", 3, float("nan"))),
        use(lambda s: s.serd("e", 3, -1.0)),
        use(lambda s: s.serd(b"e", 3, 1.0)),  # type: ignore[arg-type]
        use(lambda s: s.serd("e", 3, 1.0).record(ereport(0, count=10**400))),
        use(lambda s: s.serd("e", 3, 1.0).record(ereport(0, seq="1"))),
        use(lambda s: s.arm("t", float("inf"))),
        use(lambda s: s.arm(["t"], 1)),  # type: ignore[arg-type]
        use(lambda s: s.subscribe(*(f"ereport.x.n{n}" for n in range(GLOB_LIMIT)))),
        use(lambda s: each(range(GLOB_LIMIT), lambda n: s.subscribe(f"ereport.x.n{n}"))),
        use(lambda s: s.subscribe("ereport." + "x" * 300)),
        use(lambda s: s.subscribe(5)),  # type: ignore[arg-type]
        use(lambda s: s.open_case("c").add_ereport(ereport(0, seq=1 << 70))),
        use(lambda s: s.open_case("c").add_ereport(ereport(0, uuid="\ud800"))),
        use(lambda s: s.open_case("c").add_ereport(None)),  # type: ignore[arg-type]
        use(lambda s: s.open_case("c").add_suspect(suspect(location="x" * 100_000))),
        use(lambda s: s.open_case("c").add_suspect(suspect(certainty=float("nan")))),  # type: ignore[arg-type]
        use(lambda s: s.open_case("c").solve("x" * 100_000, severity="Major", urgency="now")),
    ],
)
def test_misuse_is_refused_and_harms_nobody(desk: Desk, misuse: Callable[[Services], object]) -> None:
    probe, other = Probe(), Probe()
    desk.add("diag", probe)
    desk.add("other", other)
    with pytest.raises(PluginError, match=r".+"):
        misuse(probe.services)
    desk.log_events(ereport(0))
    desk.settle()
    assert other.seqs[-1:] != []


def test_passing_timer_costs_no_checkpoint_and_is_forgotten_by_a_restart(desk: Desk) -> None:
    probe = Probe()
    loaded = desk.add("export", probe)
    desk.settle()
    before = loaded.statistics.checkpoints
    for _ in range(3):
        probe.services.arm("tick", 1, keep=False)
        desk.clock.wait_until(desk.clock.boot_ns() + S)
        desk.settle()
    assert [name for name, _, _ in probe.timeouts] == ["tick"] * 3
    assert loaded.statistics.checkpoints == before
    probe.services.arm("tick", 1, keep=False)
    desk.restart()
    again = Probe()
    desk.add("export", again)
    desk.clock.wait_until(desk.clock.boot_ns() + 9 * S)
    desk.settle()
    assert again.timeouts == []


def test_timer_that_was_kept_and_is_now_passing_is_forgotten_too(desk: Desk) -> None:
    probe = Probe()
    desk.add("export", probe)
    probe.services.arm("tick", 1)
    desk.settle()
    probe.services.arm("tick", 5, keep=False)
    desk.settle()
    desk.restart()
    again = Probe()
    desk.add("export", again)
    desk.clock.wait_until(desk.clock.boot_ns() + 9 * S)
    desk.settle()
    assert again.timeouts == []


class Choosy(Probe):
    """Subscribes to what its properties say."""

    def open(self, services: Services) -> Module:
        services.subscribe(*(str(glob) for glob in (services.properties["classes"],)))
        return super().open(services)


def test_module_subscribes_to_what_it_is_told_to(desk: Desk) -> None:
    probe = Choosy()
    desk.add("hook", probe, "list.none", properties={"classes": "ereport.io.pciex.dl.*"})
    desk.log_events(ereport(0), ereport(1, class_="ereport.io.pciex.tl.ur"))
    desk.settle()
    assert probe.classes == ["ereport.io.pciex.dl.btlp"]
    with pytest.raises(PluginError, match=r"subscription 'ereport\.io\.p\*'"):
        probe.services.subscribe("ereport.io.p*")


def test_status_tells_of_modules_and_published_cases(desk: Desk) -> None:
    probe = Probe()
    desk.add("diag", probe)
    probe.services.open_case("unsolved")
    case = probe.services.open_case("k")
    case.add_suspect(suspect())
    case.solve("PCIEX-8000-0A", severity="critical", urgency="now")
    desk.log_events(ereport(0))
    desk.settle()
    status = probe.services.status()
    assert [(one.code, one.state, one.suspects[0].device) for one in status.cases] == [("PCIEX-8000-0A", "SOLVED", "0000:04:00.0")]
    assert status.cases[0].opened_ns == EPOCH_2000_NS
    assert [(one.name, one.version, one.failed, one.delivered) for one in status.modules] == [("diag", "1", "", 1)]
    assert list(probe.services.coverage()) == []


def test_replay_runs_no_programs(desk: Desk) -> None:
    probe = Probe()
    desk.add("hook", probe)
    with pytest.raises(PluginError, match="a replay runs no programs"):
        probe.services.execute("page", ["/bin/true"], b"", 1.0)
