"""Looking with a log behind it: nothing is acknowledged before it is durable, nothing is lost when storage or the daemon fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.board import CORRECTABLE, DEVICE_STATUS, END, UNCORRECTABLE, board
from support.machine import Bench, bench

from pcifma.errors import DaemonError, LogBusyError, PcifmaError
from pcifma.event.ereport import Ereport
from pcifma.event.value import FABRIC_CLASS
from pcifma.fabric.build import build
from pcifma.fmd.acknowledge import Acknowledger, Cause, Outcome
from pcifma.fmd.claim import DEVICE_STATUS as DEVICE_STATUS_REGISTER
from pcifma.fmd.log.batch import Batch
from pcifma.fmd.log.log import Log
from pcifma.fmd.log.ticket import Ticket
from pcifma.fmd.lookout import Duty, Lookout
from pcifma.fmd.order import Answer, Order
from pcifma.plugin import Bdf, Location
from pcifma.plugin.loader import builtin

SECOND_NS = 1_000_000_000
CORRECTABLE_REGISTER = Location.parse("ECAP_AER+10.l")


class Keeper:
    """Clears in the machine on the bench, as hardware does; notes the order, and what was durable by then."""

    def __init__(self, on: Bench, log: Callable[[], Log]) -> None:
        self.on, self.log = on, log
        self.writes: list[tuple[str, str, int]] = []
        self.logged: list[list[str]] = []

    def write(self, bdf: Bdf, location: Location, bits: int) -> tuple[int, int]:
        reader = self.log().reader()
        self.logged.append([logged.event.class_ for logged in reader.events(0, 1000)])
        reader.close()
        offset = {CORRECTABLE_REGISTER: CORRECTABLE, DEVICE_STATUS_REGISTER: DEVICE_STATUS}[location]
        space = self.on.space(str(bdf))
        before = int.from_bytes(space.data[offset : offset + location.width], "little")
        space.put(offset, before & ~bits, location.width)
        self.writes.append((str(bdf), str(location), bits))
        return before, before & ~bits


class Scene:
    """A lookout on the bench, with a log in a file, and calls that wait for its threads."""

    def __init__(self, on: Bench, path: Path, *, clear: bool, automatic: bool = True) -> None:
        self.on, self.path = on, path
        self.outcomes: list[Outcome] = []
        self.log = Log.open(path, clock=on.clock, report=lambda _: None)
        self.keeper = Keeper(on, lambda: self.log)
        self.acknowledger = Acknowledger(self.keeper.write, self.outcomes.append, boot=on.machine.boot) if clear else None
        self.lookout = Lookout(
            on.machine, build(on.machine), builtin(("pcie_aer", "pci_status")), self.log,
            duty=Duty(SECOND_NS, 30 * SECOND_NS, lambda fabric, bdf: True, automatic=automatic), readers=None,
            acknowledger=self.acknowledger,
        )  # fmt: skip

    def look(self, seconds: int = 1) -> bool:
        self.on.clock.wait_until(self.on.clock.boot_ns() + seconds * SECOND_NS)
        looked = self.lookout.look()
        self.log.flush(10)
        return looked

    def wait(self, count: int) -> None:
        """Wait for *count* outcomes."""
        while len(self.outcomes) < count:
            self.log.flush(10)

    def settle(self, count: int) -> None:
        """Take the outcomes of *count* acknowledgements, as the loop does."""
        self.wait(count)
        for outcome in self.outcomes:
            self.lookout.outcome(outcome)
        self.outcomes.clear()
        self.log.flush(10)

    def classes(self) -> list[str]:
        reader = self.log.reader()
        try:
            found = [logged.event.class_.removeprefix("ereport.") for logged in reader.events(0, 1000)]
        finally:
            reader.close()
        return [name for name in found if name != FABRIC_CLASS.removeprefix("ereport.")]

    def close(self) -> None:
        if self.acknowledger is not None:
            self.acknowledger.close()
        self.log.close()


@pytest.fixture
def on() -> Bench:
    return bench(*board())


@pytest.fixture
def start(on: Bench, tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    open_ones: list[Scene] = []

    def make(*, clear: bool = False, automatic: bool = True) -> Scene:
        for scene in open_ones:
            scene.close()
        open_ones[:] = [Scene(on, tmp_path / "log.db", clear=clear, automatic=automatic)]
        return open_ones[0]

    yield make
    for scene in open_ones:
        scene.close()


def latch(on: Bench, correctable: int = 0x40) -> None:
    on.space(END).put(CORRECTABLE, correctable, 4)
    on.space(END).put(DEVICE_STATUS, 1, 2)


def test_bit_is_acknowledged_after_it_is_durable_and_with_its_device_status(on: Bench, start: Callable[..., Scene]) -> None:
    scene = start(clear=True)
    latch(on)
    scene.look()
    scene.settle(2)

    assert scene.keeper.writes == [(END, "ECAP_AER+10.l", 0x40), (END, "CAP_EXP+a.w", 1)]
    assert all("ereport.io.pciex.dl.btlp" in seen for seen in scene.keeper.logged)


def test_error_that_comes_again_after_its_acknowledgement_is_news_each_time(on: Bench, start: Callable[..., Scene]) -> None:
    scene = start(clear=True)
    for _ in range(3):
        latch(on)
        scene.look()
        scene.settle(2)

    assert scene.classes() == ["io.pciex.dl.btlp"] * 3


def test_no_look_is_made_between_two_writes_to_a_function(on: Bench, start: Callable[..., Scene]) -> None:
    scene = start(clear=True)
    latch(on)
    scene.look()
    looks = scene.lookout.count.looks
    scene.lookout.look()
    assert scene.lookout.count.looks == looks

    scene.settle(2)
    scene.look()

    assert scene.lookout.count.looks == looks + 1
    assert scene.classes() == ["io.pciex.dl.btlp"]


def test_keeper_that_never_answers_holds_looks_up_only_for_a_while(on: Bench, start: Callable[..., Scene]) -> None:
    scene = start(clear=True)
    latch(on)
    scene.look()
    scene.look()
    scene.look()

    assert scene.lookout.count.looks >= 2


def test_read_only_daemon_writes_nothing_and_says_the_bit_once(on: Bench, start: Callable[..., Scene]) -> None:
    scene = start()
    latch(on)
    for _ in range(3):
        scene.look()

    assert scene.classes() == ["io.pciex.dl.btlp"]
    assert list(scene.log.reader().writes()) == []


def test_bit_that_stood_before_clearing_was_allowed_is_written_back(on: Bench, start: Callable[..., Scene]) -> None:
    latch(on)
    start().look()

    scene = start(clear=True)
    scene.look()
    scene.settle(2)

    assert scene.keeper.writes[0] == (END, "ECAP_AER+10.l", 0x40)
    assert scene.classes() == ["io.pciex.dl.btlp"]


def test_restart_repeats_nothing(on: Bench, start: Callable[..., Scene]) -> None:
    latch(on)
    start().look()
    for _ in range(2):
        scene = start()
        scene.look()
        scene.look()

    assert scene.classes() == ["io.pciex.dl.btlp"]


def test_write_whose_outcome_a_crash_hid_makes_what_is_set_news_again(on: Bench, start: Callable[..., Scene]) -> None:
    scene = start(clear=True)
    latch(on)
    scene.look()
    scene.wait(2)  # the daemon dies here: the writes are out, their outcomes are not in the log
    latch(on)  # and the error comes again

    scene = start(clear=True)
    scene.look()

    assert scene.classes() == ["io.pciex.dl.btlp"] * 2


class Full:
    """A log that takes nothing while *full*."""

    def __init__(self, log: Log) -> None:
        self.log, self.full, self.generation = log, True, log.generation

    def append(self, batch: Batch) -> Ticket:
        if self.full:
            raise LogBusyError("full")
        return self.log.append(batch)


def test_batch_that_the_log_does_not_take_waits_and_no_look_is_made_meanwhile(on: Bench, start: Callable[..., Scene]) -> None:
    scene = start()
    full = Full(scene.log)
    scene.lookout.log = full  # type: ignore[assignment]
    latch(on)
    assert scene.look()
    on.space(END).put(UNCORRECTABLE, 1 << 18, 4)
    assert not scene.look()
    assert not scene.look()
    assert (scene.lookout.count.looks, scene.lookout.count.deferred) == (1, 2)
    assert scene.classes() == []

    full.full = False
    scene.look()

    assert scene.classes() == ["io.pciex.dl.btlp", "io.pciex.tl.mtlp"]


def test_fabric_is_logged_once_and_again_when_it_changes(on: Bench, start: Callable[..., Scene]) -> None:
    scene = start()
    latch(on)
    scene.look()
    first = scene.lookout.fabric.id
    configs = dict(on.machine.configs)
    del configs[Bdf.parse(END)]
    scene.lookout.machine = scene.lookout.poller.machine = on.machine.but(configs=configs)
    assert scene.lookout.rescan(())
    scene.look()

    reader = scene.log.reader()
    assert reader.fabric(first) is not None
    assert reader.fabric(scene.lookout.fabric.id) is not None
    assert scene.lookout.fabric.id != first
    assert "pcifma.unread" in scene.classes()


def test_log_that_was_taken_away_is_told_again_what_stands(on: Bench, start: Callable[..., Scene]) -> None:
    scene = start()
    latch(on)
    scene.look()
    before = scene.log.reader().latched()
    for name in ("log.db", "log.db-wal", "log.db-shm"):
        scene.path.with_name(name).unlink()
    latch(on, 0x41)
    scene.look()
    scene.look(31)
    reader = scene.log.reader()
    assert {(row.register, row.bit) for row in before} < {(row.register, row.bit) for row in reader.latched()}
    assert reader.baselines()
    assert reader.fabric(scene.lookout.fabric.id) is not None
    assert scene.classes() == ["io.pciex.pl.re"], "what stood before is no news"
    reader.close()


ORDERED = Cause("ordered", "", f"clear {END}", 0, 4711)


def order(scene: Scene, *functions: str, refusal: str = "") -> list[Answer | PcifmaError]:
    """Give an order; its answer will be in the list."""
    answers: list[Answer | PcifmaError] = []
    named = [Bdf.parse(function) for function in functions] or None
    scene.lookout.order(Order(named, ORDERED, lambda fabric, bdf: refusal, then=answers.append))
    return answers


def test_order_looks_first_and_writes_once_what_is_durable_by_then(on: Bench, start: Callable[..., Scene]) -> None:
    scene = start(clear=True, automatic=False)
    scene.look()
    latch(on)
    answers = order(scene, END)
    assert scene.lookout.due_ns <= on.clock.boot_ns()
    scene.look(0)
    scene.settle(2)

    (answer,) = answers
    assert isinstance(answer, Answer)
    assert scene.keeper.writes == [(END, "ECAP_AER+10.l", 0x40), (END, "CAP_EXP+a.w", 1)]
    assert all("ereport.io.pciex.dl.btlp" in seen for seen in scene.keeper.logged)
    assert [(row.outcome, row.command, row.uid, row.pid) for row in answer.writes] == [("done", f"clear {END}", 0, 4711)] * 2
    latch(on)
    scene.look()
    scene.look()
    assert len(scene.keeper.writes) == 2
    assert scene.classes() == ["io.pciex.dl.btlp"] * 2


def test_order_leaves_what_is_somebody_elses_and_says_whose(on: Bench, start: Callable[..., Scene]) -> None:
    scene = start(clear=True, automatic=False)
    latch(on)
    answers = order(scene, END, "0000:99:00.0", refusal="owner: native")
    scene.look()

    (answer,) = answers
    assert isinstance(answer, Answer)
    assert answer.refused == [("0000:99:00.0", "no such Function is here"), (END, "owner: native")]
    assert (answer.writes, scene.keeper.writes) == ([], [])


def test_order_where_nobody_can_write_is_refused(on: Bench, start: Callable[..., Scene]) -> None:
    scene = start()
    answers = order(scene)
    scene.look()

    assert [type(answer) for answer in answers] == [DaemonError]


def test_order_with_nothing_to_write_is_answered(on: Bench, start: Callable[..., Scene]) -> None:
    scene = start(clear=True, automatic=False)
    answers = order(scene)
    scene.look()

    assert answers == [Answer()]


def test_rebase_takes_what_stands_as_it_is_and_counts_what_hides_repeats(on: Bench, start: Callable[..., Scene]) -> None:
    scene = start()
    scene.look()
    latch(on)
    scene.look()
    scene.lookout.rebase([Bdf.parse(END)])
    latch(on, 0x41)
    scene.look(0)

    assert scene.lookout.latched([Bdf.parse(END)]) == 2
    reader = scene.log.reader()
    told = [logged.event for logged in reader.events(0, 100) if isinstance(logged.event, Ereport) and "bit" in logged.event.payload]
    reader.close()
    assert [(event.payload["bit"], event.severity, event.payload.get("baseline")) for event in told] == [
        (6, "correctable", None),
        (0, "info", "repair"),
    ]
