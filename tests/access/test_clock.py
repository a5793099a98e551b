from __future__ import annotations

from pcifma.access.clock import SimulatedClock, SystemClock


def test_simulated_clock_starts_in_2000_at_boot() -> None:
    clock = SimulatedClock()

    assert clock.wall_ns() == 946_684_800_000_000_000
    assert clock.boot_ns() == 0


def test_simulated_clock_never_goes_back() -> None:
    clock = SimulatedClock()
    clock.advance_to(5)

    clock.advance_to(3)

    assert clock.boot_ns() == 5


def test_simulated_clock_waits_without_time_passing_elsewhere() -> None:
    clock = SimulatedClock()

    clock.wait_until(7_000)

    assert clock.boot_ns() == 7_000
    assert clock.wall_ns() == 946_684_800_000_007_000


def test_simulated_clock_runs_actions_in_order_at_their_time() -> None:
    clock, seen = SimulatedClock(), list[tuple[str, int]]()
    clock.schedule(20, lambda: seen.append(("late", clock.boot_ns())))
    clock.schedule(10, lambda: seen.append(("first", clock.boot_ns())))
    clock.schedule(10, lambda: seen.append(("second", clock.boot_ns())))

    clock.advance_to(15)

    assert seen == [("first", 10), ("second", 10)]
    assert clock.boot_ns() == 15


def test_simulated_clock_runs_a_past_action_at_once() -> None:
    clock, seen = SimulatedClock(), list[int]()
    clock.advance_to(9)

    clock.schedule(3, lambda: seen.append(clock.boot_ns()))

    assert seen == [9]


def test_simulated_clock_advances_to_its_last_action() -> None:
    clock, seen = SimulatedClock(), list[int]()
    clock.schedule(40, lambda: seen.append(40))

    clock.advance_to_end()

    assert (seen, clock.boot_ns(), clock.end_ns) == ([40], 40, 40)


def test_system_clock_moves_forward_and_returns_from_the_past() -> None:
    clock = SystemClock()
    before = clock.boot_ns()

    clock.wait_until(before + 1_000)

    assert clock.boot_ns() >= before + 1_000
    assert clock.wall_ns() > 946_684_800_000_000_000
