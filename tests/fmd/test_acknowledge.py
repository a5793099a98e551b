"""Acknowledgements: which bits, in which order, when they are asked for again, and what the ledger says of each."""

from __future__ import annotations

from queue import SimpleQueue

import pytest

from pcifma.errors import BusyError, PcifmaError, WriteRefusedError
from pcifma.fmd.acknowledge import REFUSALS, Acknowledgement, Acknowledger, Cause, Claim, Outcome, acknowledgeable, unfinished
from pcifma.fmd.log.batch import RegisterWrite
from pcifma.plugin import HOST, Bdf, Evidence, Location, Target

CARD, PORT = Bdf.parse("0000:04:00.0"), Bdf.parse("0000:00:03.0")
UNCORRECTABLE, CORRECTABLE, ROOT_STATUS = (Location.parse(f"ECAP_AER+{at}.l") for at in ("4", "10", "30"))
DEVICE_STATUS, STATUS, SECONDARY = Location.parse("CAP_EXP+a.w"), Location.parse("6.w"), Location.parse("1e.w")


def evidence(location: Location | str, bit: int, bdf: Bdf = CARD) -> Claim:
    return f"ereport-{bit}", Evidence(Target.function(bdf), location, bit)


def anywhere(_: Bdf) -> bool:
    return True


class Keeper:
    """Writes nothing; *answers* are given in order, the last one again and again."""

    def __init__(self, *answers: tuple[int, int] | PcifmaError) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[Bdf, Location, int]] = []

    def write(self, bdf: Bdf, location: Location, bits: int) -> tuple[int, int]:
        self.asked.append((bdf, location, bits))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, PcifmaError):
            raise answer
        return answer


class Desk:
    """An acknowledger and what it reported."""

    def __init__(self, keeper: Keeper) -> None:
        self.outcomes: SimpleQueue[Outcome] = SimpleQueue()
        self.acknowledger = Acknowledger(keeper.write, self.outcomes.put, boot="boot")

    def prepare(self, *found: Claim, cause: Cause | None = None) -> list[Acknowledgement]:
        return self.acknowledger.prepare(found, anywhere, 5, cause or Cause())

    def settle(self, *found: Claim) -> Outcome:
        (asked,) = self.prepare(*found)
        self.acknowledger.ask([asked])
        outcome = self.outcomes.get(timeout=10)
        self.acknowledger.settled(outcome)
        return outcome


def test_order_is_aer_then_pci_status_then_device_status_then_root_error_status() -> None:
    found = [
        evidence(ROOT_STATUS, 0, PORT),
        evidence(DEVICE_STATUS, 0),
        evidence(SECONDARY, 13, PORT),
        evidence(STATUS, 15),
        evidence(CORRECTABLE, 6),
        evidence(UNCORRECTABLE, 18),
    ]

    order = [key[1] for key in acknowledgeable(found, anywhere)]
    assert order == [UNCORRECTABLE, CORRECTABLE, SECONDARY, STATUS, DEVICE_STATUS, ROOT_STATUS]


def test_bits_of_one_register_go_together() -> None:
    (wanted,) = acknowledgeable([evidence(CORRECTABLE, 6), evidence(CORRECTABLE, 0)], anywhere).values()

    assert (wanted.bits, wanted.ereports) == (0x41, ["ereport-6", "ereport-0"])


@pytest.mark.parametrize(
    "one",
    [
        ("", Evidence(HOST, "x", 0)),
        evidence("fabric", 0),
        evidence(Location.parse("ECAP_AER+10.l@1"), 6),
        evidence(Location.parse("CAP_EXP+12.w"), 0),
        evidence(Location.parse("ECAP_AER+14.l"), 0),
        evidence(Location.parse("3e.w"), 10),
        evidence(Location.parse("ECAP_DPC+8.w"), 0),
    ],
)
def test_what_has_no_row_is_never_written(one: Claim) -> None:
    assert acknowledgeable([one], anywhere) == {}


def test_function_that_somebody_owns_is_left_alone() -> None:
    found = [evidence(CORRECTABLE, 6), evidence(CORRECTABLE, 6, PORT)]

    assert list(acknowledgeable(found, lambda bdf: bdf == PORT)) == [(PORT, CORRECTABLE)]


def test_ledger_row_says_what_will_be_written_and_then_what_was() -> None:
    desk = Desk(Keeper((0x41, 0x01)))
    (asked,) = desk.prepare(evidence(CORRECTABLE, 6))
    assert (asked.row.value, asked.row.before, asked.row.after, asked.row.why) == (0x40, None, None, "logged")

    desk.acknowledger.ask([asked])
    outcome = desk.outcomes.get(timeout=10)

    assert (outcome.row.id, outcome.row.before, outcome.row.value, outcome.row.after) == (asked.row.id, 0x41, 0x40, 0x01)
    assert outcome.cleared
    assert not outcome.refused


def test_bit_that_stays_set_is_not_called_cleared() -> None:
    assert not Desk(Keeper((0x40, 0x40))).settle(evidence(CORRECTABLE, 6)).cleared


def test_bit_that_was_clear_by_then_was_not_written() -> None:
    assert Desk(Keeper((0x01, 0x01))).settle(evidence(CORRECTABLE, 6)).row.value == 0


def test_same_bit_is_not_asked_for_twice_at_once() -> None:
    desk = Desk(Keeper((0x40, 0)))
    assert len(desk.prepare(evidence(CORRECTABLE, 6))) == 1
    assert desk.prepare(evidence(CORRECTABLE, 6)) == []
    assert [ack.bits for ack in desk.prepare(evidence(CORRECTABLE, 6), evidence(CORRECTABLE, 7))] == [0x80]
    assert desk.acknowledger.outstanding == 2


def test_refusal_is_in_the_ledger_and_is_tried_a_few_times() -> None:
    desk = Desk(Keeper(WriteRefusedError("owner: native")))
    for _ in range(REFUSALS):
        outcome = desk.settle(evidence(CORRECTABLE, 6))
        assert (outcome.row.value, outcome.row.after, outcome.row.why) == (0, None, "not written: owner: native")

    assert desk.prepare(evidence(CORRECTABLE, 6)) == []
    desk.acknowledger.forgive()
    assert len(desk.prepare(evidence(CORRECTABLE, 6))) == 1


def test_operator_may_order_what_was_refused_and_the_ledger_says_who() -> None:
    desk = Desk(Keeper(WriteRefusedError("owner: native")))
    for _ in range(REFUSALS):
        desk.settle(evidence(CORRECTABLE, 6))

    (asked,) = desk.prepare(evidence(CORRECTABLE, 6), cause=Cause("ordered", "case", "clear 0000:04:00.0", 0, 4711))

    row = asked.row
    assert (row.why, row.ereports, row.case, row.command) == ("ordered", ("ereport-6",), "case", "clear 0000:04:00.0")
    assert (row.uid, row.pid) == (0, 4711)


def test_bit_that_no_write_clears_is_written_a_few_times_and_then_left() -> None:
    desk = Desk(Keeper((0x40, 0x40)))
    for _ in range(REFUSALS):
        desk.settle(evidence(CORRECTABLE, 6))

    assert desk.prepare(evidence(CORRECTABLE, 6)) == []


def test_keeper_that_does_not_answer_leaves_the_outcome_open() -> None:
    outcome = Desk(Keeper(BusyError("no answer"))).settle(evidence(CORRECTABLE, 6))

    assert (outcome.row.value, outcome.row.after, outcome.refused) == (0x40, None, True)
    assert unfinished([outcome.row], "boot") == {("0000:04:00.0", "ECAP_AER+10.l", 6)}


def test_unfinished_writes_are_those_of_this_boot_with_no_outcome() -> None:
    def row(boot: str, value: int, after: int | None) -> RegisterWrite:
        return RegisterWrite("id", 1, boot, "0000:04:00.0", "6.w", 2, None, value, after, "logged")

    rows = [row("boot", 0x8100, None), row("boot", 0x4000, 0), row("other", 0x2000, None), row("boot", 0, None)]
    assert unfinished(rows, "boot") == {("0000:04:00.0", "6.w", 15), ("0000:04:00.0", "6.w", 8)}
