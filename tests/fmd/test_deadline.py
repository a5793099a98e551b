"""Reads with a deadline: a Function whose read blocks is busy, all others are read, and it comes back after a rest."""

from __future__ import annotations

import hashlib
import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pcifma.errors import BusyError, GoneError, ReadError, SlowError
from pcifma.fmd import deadline
from pcifma.fmd.deadline import (
    BACK_OFF_FIRST_S,
    SLOW_LIMIT,
    SLOW_MOST,
    SLOW_NS,
    SPLIT,
    GuardedConfigs,
    GuardedSpace,
    Health,
    Lately,
    Readers,
)
from pcifma.regs.bdf import Bdf

PATIENCE_S = 0.05


class Gate:
    """Whoever waits for it sleeps in a read, as below a device that does not answer; for an Event it would be a lock."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()

    def set(self) -> None:
        if self._writing >= 0:
            os.close(self._writing)
            self._writing = -1

    def wait(self) -> None:
        assert os.read(self._reading, 1) == b""


class Space:
    """Reads give *data*, or wait until *gate* opens."""

    def __init__(self, data: bytes = b"\xab\xcd", *, gate: Gate | None = None, error: ReadError | None = None) -> None:
        self.data, self.gate, self.error, self.reads = data, gate, error, 0

    @property
    def size(self) -> int:
        return 256

    def read(self, offset: int, length: int) -> bytes:
        self.reads += 1
        if self.gate is not None:
            self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.data[:length]


def bdf(number: int) -> Bdf:
    return Bdf(0, number, 0, 0)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.set()


@pytest.fixture
def readers() -> Readers:
    return Readers(PATIENCE_S)


def guarded(readers: Readers, *spaces: Space) -> list[GuardedSpace]:
    configs = GuardedConfigs({bdf(i): space for i, space in enumerate(spaces)}, readers)
    return [configs[bdf(i)] for i in range(len(spaces))]


def until_back(readers: Readers) -> None:
    """Wait for the threads that were left behind."""
    threads = [thread for thread in threading.enumerate() if thread.name == "reader"]
    while readers.lost:
        for thread in threads:
            thread.join(0.01)


def test_read_gives_bytes_in_order(readers: Readers) -> None:
    first, second = guarded(readers, Space(b"ab"), Space(b"cd"))

    assert readers.read([(first, 0, 2), (second, 0, 2), (first, 0, 1)]) == [b"ab", b"cd", b"a"]


def test_read_of_nothing_gives_nothing(readers: Readers) -> None:
    assert readers.read([]) == []


def test_read_error_stays_with_its_function(readers: Readers) -> None:
    gone = GoneError("0000:00:00.0: gone")
    first, second = guarded(readers, Space(error=gone), Space())

    assert readers.read([(first, 0, 2), (second, 0, 2)]) == [gone, b"\xab\xcd"]
    with pytest.raises(GoneError):
        first.read(0, 2)


def test_blocked_read_is_busy_and_every_other_is_read(readers: Readers, gate: Gate) -> None:
    spaces = guarded(readers, *(Space(gate=gate if i == 3 else None) for i in range(10)))

    outcomes = readers.read([(space, 0, 2) for space in spaces])

    assert isinstance(outcomes[3], BusyError)
    assert [i for i, outcome in enumerate(outcomes) if outcome != b"\xab\xcd"] == [3]


def test_blocked_function_is_not_read_again_while_its_read_is_out(readers: Readers, gate: Gate) -> None:
    blocked = Space(gate=gate)
    spaces = guarded(readers, blocked, Space())
    readers.read([(space, 0, 2) for space in spaces])

    outcomes = readers.read([(space, 0, 2) for space in spaces])

    assert blocked.reads == 1
    assert isinstance(outcomes[0], BusyError)
    assert outcomes[1] == b"\xab\xcd"


def test_many_blocked_functions_share_deadlines(readers: Readers, gate: Gate) -> None:
    count = 4 * SPLIT
    spaces = guarded(readers, *(Space(gate=gate) for _ in range(count)), Space())

    outcomes = readers.read([(space, 0, 2) for space in spaces])

    assert outcomes[-1] == b"\xab\xcd"
    assert all(isinstance(outcome, BusyError) for outcome in outcomes[:-1])
    assert readers.lost == count


def test_function_whose_read_came_back_rests_before_it_is_read_again(gate: Gate) -> None:
    readers = Readers(PATIENCE_S)
    (space,) = guarded(readers, Space(gate=gate))
    with pytest.raises(BusyError):
        space.read(0, 2)

    gate.set()
    until_back(readers)

    assert readers.lost == 0
    assert "left alone" in str(space.health.refusal(space.health.until_s - 1))
    assert space.health.refusal(space.health.until_s) is None


def test_back_off_doubles_up_to_its_limit() -> None:
    health = Health(bdf(0))
    rests = []
    for _ in range(12):
        health.rest(0.0, BusyError)
        rests.append(health.until_s)

    assert rests == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]


@pytest.mark.parametrize(("every_s", "longest_s"), [(1, 600), (9, 600), (20, 1), (7200, 1)])
def test_function_that_was_well_for_long_begins_with_a_short_rest_again(every_s: int, longest_s: int) -> None:
    # Three looks in a row find it slow, *every_s* seconds after its last rest.
    health, now_s, rests = Health(bdf(0)), 0.0, []
    for _ in range(20):
        now_s = max(now_s, health.until_s) + every_s
        for _ in range(SLOW_LIMIT):
            now_s += 1
            health.timed(SLOW_NS, now_s, Lately())
        rests.append(health.until_s - now_s)
    assert max(rests) == longest_s


def test_slow_function_is_left_alone_after_several_slow_reads_in_a_row() -> None:
    health, lately = Health(bdf(0)), Lately()
    for second in range(SLOW_LIMIT - 1):
        health.timed(SLOW_NS, second, lately)
    health.timed(SLOW_NS - 1, SLOW_LIMIT, lately)
    assert health.refusal(SLOW_LIMIT) is None

    for second in range(10, 10 + SLOW_LIMIT):
        health.timed(SLOW_NS, second, lately)

    end = 9 + SLOW_LIMIT
    assert isinstance(health.refusal(end), SlowError)
    assert health.refusal(end + BACK_OFF_FIRST_S) is None


def test_slow_reads_of_one_moment_are_the_computers_and_count_once() -> None:
    health, lately = Health(bdf(0)), Lately()
    for number in range(20):
        health.timed(SLOW_NS, 5.0 + number / 100, lately)
    assert health.refusal(5.2) is None
    assert health.slow_total == 20


def left_alone(slow: Callable[[int, int], bool], *, functions: int = 40, looks: int = 600) -> dict[int, int]:
    """Look at so many Functions once a second, where *slow* of a Function's number and the look says what was slow. Which of them
    were left alone, and after how many looks.
    """
    lately = Lately()
    healths = [Health(Bdf(0, number, 0, 0)) for number in range(functions)]
    found: dict[int, int] = {}
    for look in range(looks):
        for number, health in enumerate(healths):
            if health.refusal(look) is None and health.timed(SLOW_NS * slow(number, look), look, lately):
                found.setdefault(number, look + 1)
    return found


@pytest.mark.parametrize("stolen", [0.05, 0.3, 0.6])
def test_time_that_a_hypervisor_steals_makes_nobody_slow(stolen: float) -> None:
    dice = random.Random(1)
    assert left_alone(lambda number, look: dice.random() < stolen) == {}


def test_slow_function_is_found_while_time_is_stolen() -> None:
    dice = random.Random(1)
    found = left_alone(lambda number, look: number == 7 or dice.random() < 0.3)
    assert set(found) == {7}
    assert found[7] < SLOW_MOST / 2


def test_slow_bus_is_left_alone_though_most_there_is_hangs_from_it() -> None:
    assert set(left_alone(lambda number, look: number < 8, functions=64)) == set(range(8))
    found = left_alone(lambda number, look: number > 0, functions=64)
    assert found == dict.fromkeys(range(1, 64), SLOW_MOST)


def test_function_that_the_kernel_was_resetting_is_read_again_at_once(gate: Gate) -> None:
    readers = Readers(PATIENCE_S)
    (space,) = guarded(readers, Space(gate=gate))
    with pytest.raises(BusyError):
        space.read(0, 2)
    space.health.held = True
    gate.set()
    until_back(readers)
    assert space.read(0, 2) == b"\xab\xcd"


def test_thread_that_waits_for_something_else_is_not_held_by_a_reset() -> None:
    assert not deadline._held(threading.get_native_id())


def test_size_has_the_deadline_too(readers: Readers) -> None:
    (space,) = guarded(readers, Space())

    assert space.size == 256


def test_configs_keep_the_health_of_a_function_that_stays_and_forget_one_that_was_replaced(readers: Readers) -> None:
    inner = {bdf(0): Space(), bdf(1): Space()}
    configs = GuardedConfigs(inner, readers)
    configs[bdf(0)].health.rest(1e9, SlowError)
    assert list(configs.troubled(1e9)) == [bdf(0)]
    assert configs[bdf(0)] is configs[bdf(0)]

    inner[bdf(0)] = Space()

    assert configs[bdf(0)].health.refusal(1e9) is None
    assert (len(configs), list(configs)) == (2, [bdf(0), bdf(1)])


class File(Space):
    """A space whose reads need no Python: a real file, or a pipe, on which pread fails."""

    def __init__(self, fd: int) -> None:
        super().__init__(b"by itself")
        self.fd = fd

    def fileno(self) -> int:
        return self.fd


def test_reads_made_again_and_again_come_from_the_files_themselves(tmp_path: Path) -> None:
    readers = Readers(60, lambda: 0.0)
    path = tmp_path / "config"
    path.write_bytes(b"abcdef")
    fd = os.open(path, os.O_RDONLY)
    first, second = guarded(readers, File(fd), File(fd))

    read = readers.again([(first, 0, 2), (second, 2, 2), (first, 4, 4)])

    assert read() == read() == [b"ab", b"cd", b"ef"]
    os.close(fd)


def test_file_that_fails_is_read_by_itself_and_the_rest_goes_on(readers: Readers, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(b"abcdef")
    fd = os.open(path, os.O_RDONLY)
    reading, writing = os.pipe()
    first, broken, last = guarded(readers, File(fd), File(reading), File(fd))

    assert readers.again([(first, 0, 2), (broken, 0, 2), (last, 2, 2)])() == [b"ab", b"by", b"cd"]
    for each in (fd, reading, writing):
        os.close(each)


def test_reads_again_and_again_leave_a_blocked_function_alone(readers: Readers, gate: Gate, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(b"abcdef")
    fd = os.open(path, os.O_RDONLY)
    reading, writing = os.pipe()
    blocked = File(reading)  # pread fails on a pipe, and then its own read blocks
    blocked.gate = gate
    first, stuck, last = guarded(readers, File(fd), blocked, File(fd))
    read = readers.again([(first, 0, 2), (stuck, 0, 2), (last, 2, 2)])

    for _ in range(2):
        outcomes = read()
        assert outcomes[0] in (b"ab", b"by")  # from the file, or by itself
        assert outcomes[2] in (b"cd", b"by")
        assert isinstance(outcomes[1], BusyError)
    assert blocked.reads == 1
    gate.set()
    until_back(readers)
    for each in (fd, reading, writing):
        os.close(each)


def test_whole_that_took_too_long_is_timed_one_by_one_for_a_while(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(b"abcdef")
    fd = os.open(path, os.O_RDONLY)
    took = Took()
    readers = Readers(60, took.wall_s, took.busy_ns)
    spaces = guarded(readers, File(fd))
    read = readers.again([(spaces[0], 0, 2)])

    took.busy_ms = 10
    assert read() == [b"ab"]  # by the file; that took 10 ms and more
    assert read() == [b"by"]  # by itself, and timed
    os.close(fd)


class Took:
    """Clocks that go so much further with each question."""

    def __init__(self) -> None:
        self.wall_ms = self.busy_ms = 0.0
        self._wall_s, self._busy_ns = 0.0, 0

    def wall_s(self) -> float:
        self._wall_s += max(self.wall_ms, self.busy_ms) / 1e3
        return self._wall_s

    def busy_ns(self) -> int:
        self._busy_ns += int(self.busy_ms * 1e6)
        return self._busy_ns


def looks(read: Callable[[], object], took: Took, count: int) -> None:
    """Look *count* times, a second apart."""
    for _ in range(count):
        read()
        took._wall_s += 1


def test_reads_of_a_thread_that_waits_for_its_turn_are_not_slow() -> None:
    took = Took()
    readers = Readers(60, took.wall_s, took.busy_ns)
    (space,) = guarded(readers, Space())

    took.wall_ms, took.busy_ms = 30, 0.1
    looks(lambda: space.read(0, 2), took, 10)
    assert space.health.slow_total == 0

    took.busy_ms = 2
    looks(lambda: space.read(0, 2), took, SLOW_LIMIT - 1)
    assert space.health.back_off_s == 0
    with pytest.raises(SlowError):
        looks(lambda: space.read(0, 2), took, SLOW_LIMIT + 2)  # two rests, of which the first is over with the next look


def test_reads_that_sleep_are_slow() -> None:
    took = Took()
    readers = Readers(60, took.wall_s, took.busy_ns)
    (space,) = guarded(readers, Space())

    took.wall_ms = 80
    with pytest.raises(SlowError):
        looks(lambda: space.read(0, 2), took, 2 * SLOW_LIMIT + 1)


def test_brisk_whole_clears_a_function_of_what_was_held_against_it(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(b"abcdef")
    fd = os.open(path, os.O_RDONLY)
    took = Took()
    readers = Readers(60, took.wall_s, took.busy_ns)
    first, second = guarded(readers, File(fd), File(fd))
    read = readers.again([(first, 0, 2)])

    took.busy_ms = 2
    looks(read, took, SLOW_LIMIT)  # the first by the file
    second.read(0, 2)
    assert (first.health.slow_reads, second.health.slow_reads) == (SLOW_LIMIT - 1, 1)
    took.busy_ms = 0
    readers._careful = 0
    looks(read, took, 1)

    assert (first.health.slow_reads, second.health.slow_reads) == (0, 1)
    os.close(fd)


def test_thread_that_waits_for_a_processor_is_not_taken_for_blocked(readers: Readers) -> None:
    busy = threading.Thread(target=hashlib.pbkdf2_hmac, args=("sha256", b"", b"", 1_000_000))
    busy.start()
    assert busy.native_id is not None
    states = set()
    while busy.is_alive():
        states.add(deadline._blocked(busy.native_id))
    busy.join()
    while Path(f"/proc/self/task/{busy.native_id}").exists():
        pass  # joined, and not gone yet

    assert False in states
    assert deadline._blocked(busy.native_id)


def test_thread_that_waits_for_a_lock_is_not_taken_for_blocked(gate: Gate) -> None:
    lock, reached = threading.Event(), threading.Barrier(3)

    def wait(for_what: Callable[[], object]) -> None:
        reached.wait()
        for_what()

    waiting, reading = (threading.Thread(target=wait, args=(what,)) for what in (lock.wait, gate.wait))
    for thread in (waiting, reading):
        thread.start()
    reached.wait()
    assert waiting.native_id is not None
    assert reading.native_id is not None
    while not deadline._blocked(reading.native_id):
        pass
    assert not any(deadline._blocked(waiting.native_id) for _ in range(100))
    lock.set()
    gate.set()
    for thread in (waiting, reading):
        thread.join()
