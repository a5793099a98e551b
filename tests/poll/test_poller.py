"""The poller on a small board: what is news, what is read, what is left alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

import pytest
from support.board import (
    CONTROL,
    CORRECTABLE,
    DEVICE_STATUS,
    DOWN,
    END,
    HEADER_LOG,
    OLD,
    ROOT,
    ROOT_STATUS,
    SECONDARY_STATUS,
    STATUS,
    UNCORRECTABLE,
    UP,
    board,
)
from support.machine import Bench, bench
from support.source import MadeSource

from pcifma.access.seam import ConfigSpace, Host, Record
from pcifma.event.ereport import Ereport
from pcifma.event.value import FABRIC_CLASS
from pcifma.fabric.build import build, update
from pcifma.fabric.fabric import Fabric
from pcifma.plugin import Evidence, Finding, Location, Snapshot, Target, Watch
from pcifma.plugin.loader import builtin
from pcifma.poll.latched import LatchedSet
from pcifma.poll.look import Look
from pcifma.poll.poller import Poller
from pcifma.regs.bdf import Bdf

FAST_S = 1_000_000_000
SOURCES = ("pcie_aer", "pci_status")
AER_STATUS = Location.parse("ECAP_AER+10.l")


def poller(on: Bench, latched: LatchedSet | None = None) -> Poller:
    return Poller(on.machine, build(on.machine), builtin(SOURCES), latched=latched)


def next_look(of: Poller, on: Bench, seconds: int = 1) -> Look:
    on.clock.wait_until(on.clock.boot_ns() + seconds * FAST_S)
    return of.look()


def bits(look: Look) -> list[tuple[str, str]]:
    return [(e.device, e.class_.removeprefix("ereport.")) for e in look.ereports if e.class_ != FABRIC_CLASS]


def one(look: Look) -> Ereport:
    found = [e for e in look.ereports if e.class_ != FABRIC_CLASS]
    assert len(found) == 1, [e.class_ for e in found]
    return found[0]


@pytest.fixture
def on() -> Bench:
    return bench(*board())


def test_healthy_board_gives_no_line(on: Bench) -> None:
    look = poller(on).look()
    assert (look.ereports, look.functions, look.read) == ([], 5, 5)


def test_first_look_has_no_lower_bound(on: Bench) -> None:
    on.space(END).put(CORRECTABLE, 0x40, 4)
    event = one(poller(on).look())
    assert (event.class_, event.first_look, event.not_before) == ("ereport.io.pciex.dl.btlp", True, None)


def test_new_bit_is_bounded_by_the_look_that_saw_it_clear(on: Bench) -> None:
    of = poller(on)
    of.look()
    on.space(END).put(DEVICE_STATUS, 0x0001, 2)
    on.space(END).put(CORRECTABLE, 0x40, 4)
    event = one(next_look(of, on))
    assert (event.not_before, event.time) == ("2000-01-01T00:00:00.000000000Z", "2000-01-01T00:00:01.000000000Z")
    assert not event.first_look


def test_poller_that_does_not_poll_has_its_first_look_alone(on: Bench) -> None:
    on.space(END).put(CORRECTABLE, 0x40, 4)
    of = Poller(on.machine, build(on.machine), builtin(SOURCES), polls=False)
    assert bits(of.look()) == [(END, "io.pciex.dl.btlp")]
    on.space(END).put(DEVICE_STATUS, 0x0004, 2)
    on.space(END).put(UNCORRECTABLE, 0x40000, 4)
    look = next_look(of, on, 60)
    assert (look.ereports, look.reads) == ([], 0)


def test_snapshot_comes_first_and_shares_the_ena(on: Bench) -> None:
    on.space(END).put(UNCORRECTABLE, 0x40000, 4)
    on.space(END).put(CORRECTABLE, 0x40, 4)
    events = poller(on).look().ereports
    assert [e.class_.rpartition(".")[2] for e in events] == ["fabric", "mtlp", "btlp"]
    assert len({e.ena for e in events}) == 1
    assert (events[0].payload["pcie_ue_status"], events[0].payload["pcie_ce_status"]) == (0x40000, 0x40)


def test_standing_bit_is_said_once(on: Bench) -> None:
    on.space(END).put(CORRECTABLE, 0x40, 4)
    of = poller(on)
    of.look()
    assert [bits(next_look(of, on, 31)) for _ in range(3)] == [[], [], []]


def test_cleared_bit_that_rises_again_is_news_under_another_uuid(on: Bench) -> None:
    space = on.space(END)
    of = poller(on)
    of.look()
    seen = []
    for value in (0x40, 0, 0x40):
        space.put(DEVICE_STATUS, 1 if value else 0, 2)
        space.put(CORRECTABLE, value, 4)
        seen += [e.uuid for e in next_look(of, on).ereports if e.class_ != FABRIC_CLASS]
    assert len(set(seen)) == 2


def test_second_bit_behind_a_standing_device_status_is_found_in_the_fast_tier(on: Bench) -> None:
    space = on.space(END)
    space.put(DEVICE_STATUS, 1, 2)
    space.put(CORRECTABLE, 0x40, 4)
    of = poller(on)
    of.look()
    space.put(CORRECTABLE, 0xC0, 4)
    assert bits(next_look(of, on)) == [(END, "io.pciex.dl.bdllp")]


def test_device_status_that_outlives_its_aer_bit_is_no_error_of_its_own(on: Bench) -> None:
    space = on.space(END)
    of = poller(on)
    of.look()
    space.put(DEVICE_STATUS, 1, 2)
    space.put(CORRECTABLE, 0x40, 4)
    assert bits(next_look(of, on)) == [(END, "io.pciex.dl.btlp")]
    space.put(CORRECTABLE, 0, 4)
    assert bits(next_look(of, on)) + bits(next_look(of, on, 31)) == []
    space.put(CORRECTABLE, 0x80, 4)
    assert bits(next_look(of, on)) == [(END, "io.pciex.dl.bdllp")]


def test_device_status_alone_is_an_error_and_told_once(on: Bench) -> None:
    of = poller(on)
    of.look()
    on.space(END).put(DEVICE_STATUS, 1, 2)
    assert bits(next_look(of, on)) == [(END, "io.pciex.correctable")]
    assert bits(next_look(of, on, 31)) == []


def test_steady_state_is_one_two_byte_read_a_function(on: Bench) -> None:
    of = poller(on)
    of.look()
    next_look(of, on)
    on.forget_reads()
    next_look(of, on)
    assert on.reads[END] == [(DEVICE_STATUS, 2)]
    assert on.reads[OLD] == [(STATUS, 2)]
    assert on.reads[ROOT] == [(DEVICE_STATUS, 2), (ROOT_STATUS, 4)]


def test_saturated_function_adds_one_read_at_aer(on: Bench) -> None:
    on.space(END).put(DEVICE_STATUS, 1, 2)
    on.space(END).put(CORRECTABLE, 0x40, 4)
    of = poller(on)
    of.look()
    next_look(of, on)
    on.forget_reads()
    next_look(of, on)
    assert on.reads[END] == [(DEVICE_STATUS, 2), (UNCORRECTABLE, 16)]


def test_only_declared_bytes_are_ever_read(on: Bench) -> None:
    on.space(END).put(UNCORRECTABLE, 0x40000, 4)
    of = poller(on)
    of.look()
    next_look(of, on, 31)
    touched = {byte for offset, length in on.space(END).reads for byte in range(offset, offset + length)}
    assert max(touched) < HEADER_LOG + 16
    assert not touched & set(range(0x80, 0x100))


def test_toggling_transactions_pending_is_no_change(on: Bench) -> None:
    of = poller(on)
    of.look()
    on.space(END).put(DEVICE_STATUS, 0x20, 2)
    on.forget_reads()
    next_look(of, on)
    assert on.reads[END] == [(DEVICE_STATUS, 2)]


def test_sleeping_function_is_named_and_not_touched(on: Bench) -> None:
    on.facts.files[f"/sys/bus/pci/devices/{END}/power_state"] = b"D3cold\n"
    of = poller(on)
    on.forget_reads()
    look = of.look()
    assert END not in on.reads
    assert look.unread == {END: "asleep"}
    assert (one(look).class_, one(look).payload["reason"]) == ("ereport.pcifma.unread", "asleep")


def test_function_that_falls_asleep_later_is_left_alone(on: Bench) -> None:
    on.facts.files[f"/sys/bus/pci/devices/{END}/power/control"] = b"auto\n"
    of = poller(on)
    of.look()
    on.facts.files[f"/sys/bus/pci/devices/{END}/power/runtime_status"] = b"suspended\n"
    on.forget_reads()
    assert next_look(of, on).unread == {END: "asleep"}
    assert END not in on.reads


def test_function_that_wakes_is_looked_at_whole(on: Bench) -> None:
    state = f"/sys/bus/pci/devices/{END}/power/runtime_status"
    on.facts.files[state] = b"suspended\n"
    on.space(END).put(CORRECTABLE, 0x40, 4)
    of = poller(on)
    of.look()
    on.facts.files[state] = b"active\n"
    look = next_look(of, on)
    assert (look.unread, bits(look)) == ({}, [(END, "io.pciex.dl.btlp")])


def test_all_ones_is_gone_and_not_an_error(on: Bench) -> None:
    of = poller(on)
    of.look()
    on.space(END).data[:] = b"\xff" * 4096
    look = next_look(of, on)
    assert look.unread == {END: "gone"}
    assert one(look).payload["reason"] == "gone"
    assert next_look(of, on).ereports == []


@pytest.mark.parametrize("answers", range(1, 9))
def test_function_that_vanishes_while_it_is_read_has_no_error(on: Bench, answers: int) -> None:
    of = poller(on)
    of.look()
    on.space(END).put(DEVICE_STATUS, 0x0004, 2)
    on.space(END).put(UNCORRECTABLE, 0x40000, 4)
    on.space(END).answers = answers
    assert {cls for _, cls in bits(next_look(of, on))} <= {"pcifma.unread", "io.pciex.tl.mtlp"}
    on.space(END).answers = None
    found = bits(next_look(of, on, 2))
    assert [cls for _, cls in found if cls != "pcifma.unread"] in ([], ["io.pciex.tl.mtlp"])


@pytest.mark.parametrize("answers", range(1, 9))
def test_function_that_vanishes_while_it_is_read_is_told_of_once_when_it_is_back(on: Bench, answers: int) -> None:
    of = poller(on)
    of.look()
    on.space(END).put(DEVICE_STATUS, 0x0004, 2)
    on.space(END).put(UNCORRECTABLE, 0x40000, 4)
    on.space(END).answers = answers
    found = bits(next_look(of, on))
    on.space(END).answers = None
    found += bits(next_look(of, on)) + bits(next_look(of, on))
    assert [cls for _, cls in found if cls != "pcifma.unread"] == ["io.pciex.tl.mtlp"]


def test_function_in_reset_while_the_fabric_is_made_anew_goes_on_as_it_was(on: Bench) -> None:
    sysfs = f"/sys/bus/pci/devices/{END}"
    of = poller(on)
    card = of.fabric[Bdf.parse(END)]
    on.facts.files |= {f"{sysfs}/vendor": b"%#x" % card.vendor, f"{sysfs}/device": b"%#x" % card.device}
    of.look()
    on.space(END).answers = 0
    of.update(update(on.machine, of.fabric, [card.bdf]))
    assert [(e.device, e.payload["reason"]) for e in next_look(of, on).ereports] == [(END, "gone")]
    on.space(END).answers = None
    on.space(END).put(DEVICE_STATUS, 1, 2)
    on.space(END).put(CORRECTABLE, 0x40, 4)
    found = one(next_look(of, on))
    assert (found.class_, found.first_look, found.not_before is None) == ("ereport.io.pciex.dl.btlp", False, False)


def test_function_that_is_back_as_it_was_after_the_fabric_was_made_anew_is_unread_no_more(on: Bench) -> None:
    of = poller(on)
    of.look()
    on.space(END).answers = 0
    assert next_look(of, on).unread == {END: "gone"}
    on.space(END).answers = None
    of.update(update(on.machine, of.fabric, [Bdf.parse(END)]))
    assert next_look(of, on).unread == {}
    on.space(END).put(DEVICE_STATUS, 1, 2)
    on.space(END).put(CORRECTABLE, 0x40, 4)
    assert one(next_look(of, on)).not_before == "2000-01-01T00:00:02.000000000Z"


def test_function_that_answers_again_is_read_at_the_next_look(on: Bench) -> None:
    on.space(END).answers = 0
    of = poller(on)
    assert bits(of.look()) == [(END, "pcifma.unread")]
    on.space(END).answers = None
    on.space(END).put(DEVICE_STATUS, 0x0004, 2)
    on.space(END).put(UNCORRECTABLE, 0x40000, 4)
    assert bits(next_look(of, on)) == [(END, "io.pciex.tl.mtlp")]


def test_vanished_function_is_said_to_be_gone_once(on: Bench) -> None:
    of = poller(on)
    of.look()
    left = {bdf: space for bdf, space in on.spaces.items() if str(bdf) != END}
    of.machine = on.machine.but(configs=left)
    of.update(build(of.machine))
    look = next_look(of, on)
    assert (one(look).device, one(look).payload["reason"]) == (END, "gone")
    assert next_look(of, on).ereports == []


def test_truncated_function_is_short_but_its_status_is_still_seen() -> None:
    on = bench(*board(), size=64)
    on.space(END).put(STATUS, 0x8010, 2)
    look = poller(on).look()
    assert look.unread[END] == "short"
    assert (END, "io.pci.dpe") in bits(look)


def test_restart_says_nothing_again(on: Bench) -> None:
    on.space(END).put(CORRECTABLE, 0x40, 4)
    first = poller(on)
    rows = first.look().latched
    again = poller(on, LatchedSet("boot", rows, first.latched.baselines()))
    assert bits(again.look()) == []


def test_bit_that_rose_while_no_daemon_ran_is_bounded_by_the_last_look(on: Bench) -> None:
    first = poller(on)
    rows = first.look().latched
    on.clock.wait_until(3600 * FAST_S)
    on.space(END).put(CORRECTABLE, 0x40, 4)
    event = one(poller(on, LatchedSet("boot", rows, first.latched.baselines())).look())
    assert (event.not_before, event.first_look) == ("2000-01-01T00:00:00.000000000Z", False)


def test_secondary_status_is_bounded_by_its_own_slow_tier(on: Bench) -> None:
    of = poller(on)
    of.look()
    for _ in range(29):
        next_look(of, on)
    on.space(ROOT).put(SECONDARY_STATUS, 0x8000, 2)
    event = one(next_look(of, on))
    assert (event.class_, event.not_before) == ("ereport.io.pci.sec-dpe", "2000-01-01T00:00:00.000000000Z")


class Exploding:
    """A source that watches what pci_status watches, and leaves when it is to say what that means."""

    name = "exploding"

    @property
    def source(self) -> Exploding:
        return self

    def watches(self, fabric: Fabric, host: Host) -> Iterable[Watch]:
        return builtin(("pci_status",))[0].source.watches(fabric, host)

    def normalise(self, now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
        raise SystemExit("no more")


def test_plugin_that_raises_is_set_aside_and_the_others_go_on(on: Bench) -> None:
    on.space(END).put(CORRECTABLE, 0x40, 4)
    of = Poller(on.machine, build(on.machine), [*builtin(SOURCES), Exploding()])

    look = of.look()

    assert bits(look) == [(END, "io.pciex.dl.btlp"), ("host", "pcifma.module")]
    assert look.ereports[-1].payload["module"] == "exploding"


def test_source_loaded_later_gets_a_first_look_and_one_unloaded_says_no_more(on: Bench) -> None:
    on.space(END).put(CORRECTABLE, 0x40, 4)
    of = Poller(on.machine, build(on.machine), builtin(("pci_status",)))
    assert bits(of.look()) == []

    of.load(builtin(("pcie_aer",))[0])
    assert bits(next_look(of, on)) == [(END, "io.pciex.dl.btlp")]

    of.unload("pcie_aer")
    on.space(END).put(CORRECTABLE, 0xC0, 4)
    assert bits(next_look(of, on)) == []


class Echo(Exploding):
    """A source that says again what pcie_aer says, under a bit of its own."""

    name = "echo"

    def watches(self, fabric: Fabric, host: Host) -> Iterable[Watch]:
        return builtin(("pcie_aer",))[0].source.watches(fabric, host)

    def normalise(self, now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
        if str(now.target) == END:
            yield Finding("ereport.echo", Evidence(now.target, "echo", 0), "info")


def test_source_loaded_later_gets_a_first_look_though_its_registers_were_all_read(on: Bench) -> None:
    of = poller(on)
    of.look()

    of.load(Echo())

    assert bits(next_look(of, on)) == [(END, "echo")]


def test_bit_that_is_set_again_right_after_its_acknowledgement_is_news(on: Bench) -> None:
    on.space(END).put(CORRECTABLE, 0x40, 4)
    on.space(END).put(DEVICE_STATUS, 1, 2)
    of = poller(on)
    of.look()

    for row in of.latched.standing(next(t.subject.identity for t in of.targets() if str(t.subject.target) == END)):
        of.latched.fall(row)
    of.examine(Bdf.parse(END))

    assert bits(next_look(of, on)) == [(END, "io.pciex.dl.btlp")]


def test_tier_is_read_by_the_daemons_reader_where_there_is_one(on: Bench) -> None:
    asked: list[int] = []

    def read(wanted: Sequence[tuple[ConfigSpace, int, int]]) -> Callable[[], list[bytes | None]]:
        asked.append(len(wanted))
        return lambda: [None if offset == DEVICE_STATUS else space.read(offset, length) for space, offset, length in wanted]

    of = Poller(on.machine, build(on.machine), builtin(SOURCES), reader=read)
    of.look()
    on.space(END).put(DEVICE_STATUS, 1, 2)
    on.space(END).put(CORRECTABLE, 0x40, 4)

    assert bits(next_look(of, on)) == [(END, "io.pciex.dl.btlp")]  # what the reader could not read is looked at by itself
    assert 6 in asked


def test_header_log_that_changed_between_two_reads_is_not_believed(on: Bench) -> None:
    space = on.space(END)
    space.put(UNCORRECTABLE, 0x40000, 4)
    space.put(CONTROL, 18, 4)
    read, reads = space.read, iter(range(10_000))

    def restless(offset: int, length: int) -> bytes:
        if offset <= CONTROL < offset + length:
            space.put(CONTROL, next(reads) % 32, 4)
        return read(offset, length)

    space.read = restless  # type: ignore[method-assign]
    event = one(poller(on).look())
    assert event.payload["source-valid"] is False


def test_virtual_function_without_ids_is_there() -> None:
    images = board()
    images[-1].put(0, 0xFFFFFFFF, 4)
    on = bench(*images)
    on.space(END).put(CORRECTABLE, 0x40, 4)
    look = poller(on).look()
    assert (look.unread, bits(look)) == ({}, [(END, "io.pciex.dl.btlp")])


def test_function_that_was_not_ready_is_built_once_it_is() -> None:
    images = board()
    kept = bytes(images[-1].data)
    images[-1].data[:] = b"\x01\x00" + b"\xff" * 4094
    on = bench(*images)
    of = poller(on)
    assert of.look().unread == {END: "busy"}
    on.space(END).data[:] = kept
    on.space(END).put(CORRECTABLE, 0x40, 4)
    look = next_look(of, on)
    assert (look.unread, bits(look)) == ({}, [(END, "io.pciex.dl.btlp")])


def made(*findings: Callable[[Snapshot], Iterable[object]], watch: Watch | None = None) -> MadeSource:
    one = Watch(Target("function", END), AER_STATUS, tier="fast") if watch is None else watch
    meanings = iter(findings)
    last = findings[-1]
    return MadeSource([one], lambda now, before: next(meanings, last)(now))  # type: ignore[arg-type,return-value]


def with_made(on: Bench, plugin: MadeSource) -> Poller:
    on.space(END).put(CORRECTABLE, 0x40, 4)
    return Poller(on.machine, build(on.machine), [plugin, *builtin(SOURCES)])


def invented(now: Snapshot, first: int, many: int) -> Iterable[Finding]:
    return (Finding("ereport.made", Evidence(now.target, "made", bit), "info") for bit in range(first, first + many))


@pytest.mark.parametrize("count", [0, -1, 10**400, 1.5, None, "many"])
def test_source_whose_findings_are_wrong_is_set_aside_and_the_others_are_heard(on: Bench, count: object) -> None:
    of = with_made(on, made(lambda now: [next(iter(invented(now, 0, 1)))._replace(count=count)]))  # type: ignore[arg-type]
    look = of.look()
    assert sorted(event.class_ for event in look.ereports) == [
        FABRIC_CLASS, "ereport.io.pciex.dl.btlp", "ereport.pcifma.module",
    ]  # fmt: skip
    assert of.watchers[0].guard.failed is not None


def test_source_that_gives_a_million_at_once_is_set_aside(on: Bench) -> None:
    of = with_made(on, made(lambda now: invented(now, 0, 1_000_000)))
    assert {event.class_ for event in of.look().ereports} == {FABRIC_CLASS, "ereport.io.pciex.dl.btlp", "ereport.pcifma.module"}


def test_source_that_invents_bits_look_after_look_is_stopped_within_bounds(on: Bench) -> None:
    started = itertools.count(step=4000)
    of = with_made(on, made(lambda now: invented(now, next(started), 4000)))
    events = []
    for _ in range(5):
        of.examine(Bdf.parse(END))
        events += [event for event in next_look(of, on).ereports if event.class_ == "ereport.made"]

    assert 4000 < len(events) <= 4096
    assert "flood: more than 4096 different bits" in str(of.watchers[0].guard.failed)


def test_source_that_counts_without_end_in_one_look_is_stopped_within_bounds(on: Bench) -> None:
    def on_each(fabric: Fabric, host: Host) -> list[Watch]:
        return [Watch(Target("cpu", str(n)), facts=("/proc/cpuinfo",)) for n in range(100)]

    plugin = made(lambda now: invented(now, 0, 1000))
    plugin.watches = on_each  # type: ignore[method-assign]
    of = with_made(on, plugin)
    events = [event for event in of.look().ereports if event.class_ == "ereport.made"]

    assert len(events) == 16384 + 64 * len(of.fabric.functions)
    assert "flood" in str(of.watchers[0].guard.failed)


def test_watch_of_a_function_that_is_not_there_is_left_out(on: Bench) -> None:
    nowhere = Watch(Target("function", "0000:7f:1f.7"), AER_STATUS, tier="fast")
    look = with_made(on, made(lambda now: (), watch=nowhere)).look()
    assert look.unread == {}
    assert [event.class_ for event in look.ereports] == [FABRIC_CLASS, "ereport.io.pciex.dl.btlp"]


def in_parts(on: Bench) -> Poller:
    return Poller(on.machine, build(on.machine), builtin(SOURCES), span_s=0.0)


def whole(of: Poller, on: Bench, seconds: int = 1) -> list[Look]:
    parts = [next_look(of, on, seconds)]
    while not parts[-1].whole:
        assert of.due_ns <= on.clock.boot_ns()
        parts.append(next_look(of, on, seconds))
    return parts


def raise_everywhere(on: Bench) -> None:
    for bdf in (ROOT, UP, DOWN, END):
        on.space(bdf).put(DEVICE_STATUS, 0x0001, 2)
        on.space(bdf).put(CORRECTABLE, 0x40, 4)


def test_look_that_takes_long_goes_on_at_the_next_call_with_the_same_tick_and_bounds(on: Bench) -> None:
    of = in_parts(on)
    for _ in range(2):
        whole(of, on)
    started = of.tick
    raise_everywhere(on)
    events = [e for part in whole(of, on) for e in part.ereports if e.class_ != FABRIC_CLASS]
    assert [e.device for e in events] == [ROOT, UP, DOWN, END]
    assert {e.tick for e in events} == {started} and of.tick == started + 1
    assert len({e.not_before for e in events}) == 1 and len({e.time for e in events}) == 4
    assert not any(e.first_look for e in events)


def test_first_look_in_parts_tells_the_same(on: Bench) -> None:
    raise_everywhere(on)
    parts = whole(in_parts(on), on)
    assert len(parts) == 5
    assert [pair for part in parts for pair in bits(part)] == bits(poller(on).look())


def test_who_is_waited_for_is_looked_at_in_the_part_that_comes_next(on: Bench) -> None:
    of = in_parts(on)
    whole(of, on)
    raise_everywhere(on)
    next_look(of, on)
    of.examine(Bdf.parse(END))
    assert [device for device, _ in bits(next_look(of, on))] == [UP, END]
    assert [device for part in whole(of, on) for device, _ in bits(part)] == [DOWN]


def test_what_is_left_of_a_look_when_the_fabric_changes_is_found_by_the_next(on: Bench) -> None:
    of = in_parts(on)
    whole(of, on)
    raise_everywhere(on)
    first = next_look(of, on)
    of.update(build(on.machine))
    assert bits(first) + [pair for part in whole(of, on) for pair in bits(part)] == [
        (bdf, "io.pciex.dl.btlp") for bdf in (ROOT, UP, DOWN, END)
    ]


def test_bit_that_falls_and_rises_while_a_look_goes_on_is_told_once(on: Bench) -> None:
    of = in_parts(on)
    whole(of, on)
    raise_everywhere(on)
    parts = [next_look(of, on)]
    on.space(END).put(CORRECTABLE, 0, 4)
    on.space(END).put(CORRECTABLE, 0x40, 4)
    parts += whole(of, on)
    assert [device for part in parts for device, _ in bits(part)] == [ROOT, UP, DOWN, END]


def test_records_that_are_left_of_a_look_when_the_fabric_changes_come_with_the_next(on: Bench) -> None:
    of = Poller(on.machine, build(on.machine), builtin((*SOURCES, "aer_listen")), streams=("aer_event",), span_s=0.0)
    whole(of, on)
    fields = {"status": "0x1000", "severity": "0", "tlp_header_valid": "0"}
    on.facts.records = [Record("aer_event", {"dev_name": device, **fields}, on.clock.boot_ns()) for device in (ROOT, END)]
    assert bits(next_look(of, on)) == [(ROOT, "io.pciex.tl.ptlp")]
    of.update(build(on.machine))
    assert [pair for part in whole(of, on) for pair in bits(part)] == [(END, "io.pciex.tl.ptlp")]
