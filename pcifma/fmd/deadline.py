"""Reads with a deadline: a Function whose read does not come back is `busy`, and every other keeps its tick.

    waiting ── read returns in time ──> next read
       └────── deadline passes ───────> that thread is left behind with that one read; another takes over the rest
    left behind ── read returns at last ──> the thread ends; the Function is tried again after a back-off, or at once where it was
                                            the kernel that held the read back (a reset)

A config read can hang in the kernel for as long as a device is in reset, and nothing can interrupt it. So reads are made by
threads that may be lost, one batch after another, and the caller waits for progress and not for the end. Every read is timed: a
Function that is slow again and again is looked at less often. What a read costs is time on the processor, which stands still until the
device answers; how long the thread waited for its turn says something of the computer, and nothing of the device. Below a hypervisor
that lends the processor to somebody else, stolen time passes for such time, and all Functions seem slow by turns: a Function is slow
that is so more often than chance, as the others show it, allows.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from queue import Empty, SimpleQueue

from pcifma.access.seam import ConfigSpace
from pcifma.access.sysfs import SysfsSpace
from pcifma.errors import BusyError, ReadError, SlowError
from pcifma.regs.bdf import Bdf

DEADLINE_S = 0.1  # a healthy read takes microseconds; a completion timeout 50 ms (PCIe Base Spec 7.5.3.16, default range)
SLOW_NS = 1_000_000  # a read this long keeps a CPU with interrupts off for as long
WAITED_NS = 50_000_000  # a thread that was away for longer has slept in the read, more likely than waited for its turn
BRISK_NS = 2_000  # a read; when all together take longer than that and one slow one, they are timed one by one for a while
SLOW_LIMIT = 3  # such reads, and none faster between them: one can be a system management interrupt
SLOW_MOST = 60  # so many in a row are enough, whatever the others do: a dead bus can hold nearly all there are
CHANCE = 1e-6  # so seldom may reads in a row be slow by bad luck alone
LATELY = 512  # reads, of all Functions, by which that luck is judged
APART_S = 0.5  # what is slow within so short a time counts once: on a crowded host all processors are gone for that long
BACK_OFF_FIRST_S, BACK_OFF_LONGEST_S = 1.0, 600.0  # once can be chance, and an error must not wait for long because of it
FORGIVEN = 10  # times as long as its last rest a Function was well: the next is a first one again
SUSPICION = 3  # times in a row that a thread past its deadline is seen to sleep: once can be chance
SPLIT = 8  # after the first lost thread the rest is read by so many: one dead bus must not cost a deadline for each Function

Outcome = bytes | ReadError
_KEPT_BACK, _LOCK = b"pci_wait_cfg", b"futex_"  # where in the kernel a thread waits, or how that begins


@dataclass(slots=True)
class Health:
    """How one Function's reads went. *lost*: a thread is left behind in one, *held*: by the kernel and not by the device. *slow_reads*:
    slow ones in a row, the last counted at *slow_s*, *slow_total*: slow and lost ones in all. *ill_s*: when that row, or the loss, began.
    *until_s*: no read before (monotonic time).
    """

    bdf: Bdf
    lost: bool = False
    held: bool = False
    slow_reads: int = 0
    slow_s: float = -APART_S
    slow_total: int = 0
    ill_s: float = 0.0
    until_s: float = 0.0
    back_off_s: float = 0.0
    reason: type[BusyError] = BusyError

    def rest(self, now_s: float, reason: type[BusyError]) -> None:
        """Leave the Function alone for a while, twice as long as last time unless it has been well since."""
        if self.ill_s - self.until_s > FORGIVEN * self.back_off_s:
            self.back_off_s = 0.0
        self.back_off_s = min(max(self.back_off_s * 2, BACK_OFF_FIRST_S), BACK_OFF_LONGEST_S)
        self.until_s, self.reason, self.slow_reads = now_s + self.back_off_s, reason, 0

    def refusal(self, now_s: float) -> BusyError | None:
        """Why it is not read now, or None."""
        if self.lost:
            return BusyError(f"{self.bdf}: a read has not come back yet")
        if now_s < self.until_s:
            return self.reason(f"{self.bdf}: left alone for {self.until_s - now_s:.0f} s after reads that took too long")
        return None

    def timed(self, took_ns: int, now_s: float, lately: Lately) -> bool:
        """Count a read that came back; True if the Function is left alone from now on."""
        lately.note(self, slow=took_ns >= SLOW_NS)
        if took_ns < SLOW_NS:
            self.slow_reads = 0
            return False
        self.slow_total += 1
        if now_s - self.slow_s >= APART_S:
            if not self.slow_reads:
                self.ill_s = now_s
            self.slow_reads, self.slow_s = self.slow_reads + 1, now_s
        if self.slow_reads < SLOW_LIMIT or (self.slow_reads < SLOW_MOST and lately.share(self) ** self.slow_reads > CHANCE):
            return False
        self.rest(now_s, SlowError)
        return True


class Lately:
    """The last reads that were timed, of all Functions together."""

    def __init__(self) -> None:
        self._reads: deque[tuple[Health, bool]] = deque(maxlen=LATELY)

    def note(self, health: Health, *, slow: bool) -> None:
        """Add a read."""
        self._reads.append((health, slow))

    def share(self, health: Health) -> float:
        """How much, between 0 and 1, of what was read from others than *health* was slow."""
        others = [slow for whose, slow in self._reads if whose is not health]
        return sum(others) / len(others) if others else 0.0


class GuardedSpace:
    """Configuration space of one Function, each read with the deadline of its *readers*."""

    __slots__ = ("_readers", "bdf", "health", "inner")

    def __init__(self, bdf: Bdf, inner: ConfigSpace, readers: Readers, health: Health | None = None) -> None:
        self.bdf, self.inner, self._readers = bdf, inner, readers
        self.health = health or Health(bdf)

    @property
    def size(self) -> int:
        """Bytes that can be read; BusyError past the deadline, else as the space below."""
        probe = GuardedSpace(self.bdf, _Size(self.inner), self._readers, self.health)
        return int.from_bytes(probe.read(0, 4), "little")

    def read(self, offset: int, length: int) -> bytes:
        """Exactly *length* bytes at *offset*; BusyError past the deadline, else as the space below."""
        outcome = self._readers.read([(self, offset, length)])[0]
        if isinstance(outcome, ReadError):
            raise outcome
        return outcome


@dataclass(frozen=True, slots=True)
class _Size:
    # Learning a size reads too: as a space of its own, whose bytes are that number.
    inner: ConfigSpace
    size: int = 4

    def read(self, offset: int, length: int) -> bytes:
        return self.inner.size.to_bytes(4, "little")


Wanted = tuple[GuardedSpace, int, int]
"""One read: the space, offset and length in bytes."""


Files = tuple[list[int], list[int], list[int]]
"""The same reads as descriptors, lengths and offsets, for those that need no Python."""


@dataclass(slots=True, eq=False)
class _Job:
    # Work of one thread: *results* grows as reads come back; its length is the index of the read in flight. Emptying the list of
    # descriptors makes a thread that was left behind stop there.
    wanted: Sequence[Wanted]
    first: int
    since_s: float
    done: SimpleQueue[_Job]
    files: Files | None = None
    results: list[Outcome] = field(default_factory=list)
    seen: int = 0
    thread: int = 0
    suspected: int = 0
    lost: Health | None = None


class Readers:
    """The threads that read. One batch at a time; *deadline_s* for each single read."""

    def __init__(
        self, deadline_s: float = DEADLINE_S, now_s: Callable[[], float] = time.monotonic, busy_ns: Callable[[], int] = time.thread_time_ns
    ) -> None:
        self.deadline_s = deadline_s
        self._now_s, self._busy_ns = now_s, busy_ns
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._idle = 0
        self._lock = threading.Lock()
        self._uneasy: list[Health] = []
        self._suspects: list[Health] = []  # of whom the last read was slow
        self._lately = Lately()
        self._careful = 0
        self.lost = 0

    def read(self, wanted: Sequence[Wanted]) -> list[Outcome]:
        """What each read gave, in order: bytes, or why there are none. Takes one deadline for each eighth Function that hangs."""
        now_s = self._now_s()
        refusals = [space.health.refusal(now_s) for space, _, _ in wanted]
        asked = iter(self._run([one for one, refusal in zip(wanted, refusals, strict=True) if refusal is None]))
        return [next(asked) if refusal is None else refusal for refusal in refusals]

    def again(self, wanted: Sequence[Wanted]) -> Callable[[], list[Outcome]]:
        """A function that does *wanted* as `read` does, for what is read over and over: while all is well, with as little work
        between two reads as there can be, and timed as a whole; one by one again once that took too long.
        """
        files = _files(wanted)

        def read() -> list[Outcome]:
            if files is None or not self._at_ease():
                return self.read(wanted)
            return self._run(wanted, files)

        return read

    def _at_ease(self) -> bool:
        # Nobody is left alone or behind, and the last whole took no longer than it should.
        if self._careful:
            self._careful -= 1
            return False
        if self._uneasy:
            now_s = self._now_s()
            with self._lock:
                self._uneasy = [health for health in self._uneasy if health.refusal(now_s) is not None]
        return not self._uneasy

    def _run(self, wanted: Sequence[Wanted], files: Files | None = None) -> list[Outcome]:
        results: list[Outcome] = [b""] * len(wanted)
        done: SimpleQueue[_Job] = SimpleQueue()
        running = [self._start(_Job(wanted, 0, self._now_s(), done, files))] if wanted else []
        while running:
            try:
                job = done.get(timeout=self._patience_s(running))
            except Empty:
                running = [left for job in running for left in self._check(job, results, split=len(running) == 1)]
                continue
            if job in running:
                running.remove(job)
                results[job.first : job.first + len(job.wanted)] = job.results
        return results

    def _patience_s(self, running: Sequence[_Job]) -> float:
        return max(0.005, min(job.since_s for job in running) + self.deadline_s - self._now_s())

    def _check(self, job: _Job, results: list[Outcome], *, split: bool) -> Iterator[_Job]:
        # Past its deadline without progress: keep what came back, leave the thread behind, give the rest to others.
        now_s = self._now_s()
        with self._lock:
            at = len(job.results)
            if at > job.seen or not _blocked(job.thread):
                job.seen, job.since_s, job.suspected = at, now_s, 0
            job.suspected += now_s - job.since_s >= self.deadline_s
            if job.suspected < SUSPICION or at == len(job.wanted):
                yield job
                return
            health = self._leave_behind(job, at)
            came = job.results[:at]
        results[job.first : job.first + at] = came
        results[job.first + at] = BusyError(f"{health.bdf}: the read did not come back in {self.deadline_s:g} s")
        rest = job.wanted[at + 1 :]
        size = max(1, -(-len(rest) // SPLIT) if split else len(rest))
        for start in range(0, len(rest), size):
            yield self._start(_Job(rest[start : start + size], job.first + at + 1 + start, now_s, job.done))

    def _leave_behind(self, job: _Job, at: int) -> Health:
        health = job.wanted[at][0].health
        job.lost, health.lost, health.held, health.ill_s = health, True, _held(job.thread), self._now_s()
        health.slow_total += 1
        self.lost += 1
        self._uneasy.append(health)
        if job.files is not None:
            job.files[0].clear()
        return health

    def _start(self, job: _Job) -> _Job:
        if job.files is not None:
            job.files = (job.files[0].copy(), job.files[1], job.files[2])
        with self._lock:
            self._idle -= 1
            short = self._idle < 0
            self._idle += short
        if short:
            threading.Thread(target=self._work, name="reader", daemon=True).start()
        self._jobs.put(job)
        return job

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            job.thread = threading.get_native_id()
            here = self._do_files(job, job.files) if job.files is not None else self._do(job)
            if not here:
                return
            with self._lock:
                self._idle += 1
            job.done.put(job)

    # False from both: this thread was left behind, and ends now that its read has come back.

    def _do(self, job: _Job) -> bool:
        before_s, before_ns = self._now_s(), self._busy_ns()
        for one in job.wanted:
            outcome = _read(one)
            now_s, busy_ns = self._now_s(), self._busy_ns()
            with self._lock:
                if job.lost is not None:
                    return self._come_back(job.lost, now_s)
                job.results.append(outcome)
                self._time(one[0].health, _cost_ns(now_s - before_s, busy_ns - before_ns), now_s)
            before_s, before_ns = now_s, busy_ns
        return True

    def _time(self, health: Health, took_ns: int, now_s: float) -> None:
        if health.timed(took_ns, now_s, self._lately):
            self._uneasy.append(health)
        if health.slow_reads and health not in self._suspects:
            self._suspects.append(health)

    def _do_files(self, job: _Job, files: Files) -> bool:
        # One C loop; its list grows while it runs, so that whoever waits sees how far it is.
        descriptors, lengths, offsets = files
        results, started_s, started_ns = job.results, self._now_s(), self._busy_ns()
        while len(results) < len(job.wanted) and job.lost is None:
            done = len(results)
            left = islice(descriptors, done, None), islice(lengths, done, None), islice(offsets, done, None)
            try:
                results.extend(map(os.pread, *left))
            except OSError:
                results.append(_read(job.wanted[len(results)]))  # by itself it says what is wrong
        now_s = self._now_s()
        with self._lock:
            if job.lost is not None:
                return self._come_back(job.lost, now_s)
        if _cost_ns(now_s - started_s, self._busy_ns() - started_ns) > SLOW_NS + BRISK_NS * len(results):
            self._careful = SLOW_LIMIT
        elif self._suspects:
            self._clear({id(space.health) for space, _, _ in job.wanted})
        return True

    # All of them were read, and none of them slowly.
    def _clear(self, brisk: set[int]) -> None:
        with self._lock:
            for health in self._suspects:
                health.slow_reads *= id(health) not in brisk
            self._suspects = [health for health in self._suspects if health.slow_reads]

    def _come_back(self, health: Health, now_s: float) -> bool:
        health.lost = False
        if not health.held:
            health.rest(now_s, BusyError)
        self.lost -= 1
        return False


def _cost_ns(wall_s: float, busy_ns: int) -> int:
    # What a read, or several, took: on the processor, or asleep for longer than a crowded machine keeps a thread waiting.
    return max(busy_ns, int(wall_s * 1e9) - WAITED_NS)


def _blocked(thread: int) -> bool:
    # A thread that waits for a processor, on a busy machine, or for the interpreter's lock, is no sign of a device that does not answer.
    if not thread:
        return False  # it has not even begun
    state = _of_thread(thread, "stat").rpartition(b") ")[2][:1]
    return state != b"R" and not _of_thread(thread, "wchan").startswith(_LOCK)


def _held(thread: int) -> bool:
    # Where Linux keeps who reads configuration space while it resets a Function, or tests it (drivers/pci/access.c).
    return _of_thread(thread, "wchan") == _KEPT_BACK


def _of_thread(thread: int, name: str) -> bytes:
    # What the kernel says of one of our threads; nothing if it has gone.
    try:
        with open(f"/proc/self/task/{thread}/{name}", "rb") as file:  # noqa: PTH123 - beside others of its kind, in a deadline
            return file.read()
    except OSError:
        return b""


def _files(wanted: Sequence[Wanted]) -> Files | None:
    descriptors: list[int] = []
    for space, _, _ in wanted:
        fileno: Callable[[], int | None] = getattr(space.inner, "fileno", lambda: None)
        descriptor = fileno()
        if descriptor is None:
            return None
        descriptors.append(descriptor)
    return descriptors, [length for _, _, length in wanted], [offset for _, offset, _ in wanted]


def _read(one: Wanted) -> Outcome:
    space, offset, length = one
    try:
        return space.inner.read(offset, length)
    except ReadError as err:
        return err


class GuardedConfigs(Mapping[Bdf, GuardedSpace]):
    """Every Function of *inner* behind *readers*. A Function that stays keeps what is known of its health."""

    def __init__(self, inner: Mapping[Bdf, ConfigSpace], readers: Readers) -> None:
        self._inner, self._readers = inner, readers
        self._spaces: dict[Bdf, GuardedSpace] = {}

    def __getitem__(self, bdf: Bdf) -> GuardedSpace:
        inner = self._inner[bdf]
        known = self._spaces.get(bdf)
        if known is None or known.inner is not inner:
            known = self._spaces[bdf] = GuardedSpace(bdf, inner, self._readers)
            if isinstance(inner, SysfsSpace):
                inner.fileno()  # opening asks the keeper, and touches no device: its time is not the device's
        return known

    def __iter__(self) -> Iterator[Bdf]:
        return iter(self._inner)

    def __len__(self) -> int:
        return len(self._inner)

    def rescan(self) -> None:
        """Follow hot-plug, where what is behind can."""
        rescan = getattr(self._inner, "rescan", None)
        if rescan is not None:
            rescan()

    def slow(self) -> dict[Bdf, int]:
        """How many reads of each Function took too long or did not come back; a whole that was brisk enough hides single ones."""
        return {bdf: space.health.slow_total for bdf, space in self._spaces.items() if space.health.slow_total}

    def troubled(self, now_s: float) -> dict[Bdf, str]:
        """Functions that are left alone now, and why."""
        found = {bdf: space.health.refusal(now_s) for bdf, space in self._spaces.items()}
        return {bdf: str(why) for bdf, why in found.items() if why is not None}
