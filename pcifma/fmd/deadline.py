"""Reads with a deadline: a Function whose read does not come back is `busy`, and every other keeps its tick.

    waiting ── read returns in time ──> next read
       └────── deadline passes ───────> that thread is left behind with that one read; another takes over the rest
    left behind ── read returns at last ──> the thread ends; the Function is tried again after a back-off

A config read can hang in the kernel for as long as a device is in reset, and nothing can interrupt it. So reads are made by
threads that may be lost, one batch after another, and the caller waits for progress and not for the end. Every read is timed: a
Function that is slow again and again is looked at less often.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from pcifma.access.seam import ConfigSpace
from pcifma.errors import BusyError, ReadError, SlowError
from pcifma.regs.bdf import Bdf

DEADLINE_S = 0.1  # a healthy read takes microseconds; a completion timeout 50 ms (PCIe Base Spec 7.5.3.16, default range)
SLOW_NS = 1_000_000  # a read this long keeps a CPU with interrupts off for as long
SLOW_LIMIT = 3  # such reads in a row: one can be a system management interrupt
BACK_OFF_FIRST_S, BACK_OFF_LONGEST_S = 10.0, 600.0
SPLIT = 8  # after the first lost thread the rest is read by so many: one dead bus must not cost a deadline for each Function

Outcome = bytes | ReadError


@dataclass(slots=True)
class Health:
    """How one Function's reads went. *lost*: a thread is left behind in one. *until_s*: no read before (monotonic time)."""

    bdf: Bdf
    lost: bool = False
    slow_reads: int = 0
    until_s: float = 0.0
    back_off_s: float = 0.0
    reason: type[BusyError] = BusyError

    def rest(self, now_s: float, reason: type[BusyError]) -> None:
        """Leave the Function alone for a while, twice as long as last time."""
        self.back_off_s = min(max(self.back_off_s * 2, BACK_OFF_FIRST_S), BACK_OFF_LONGEST_S)
        self.until_s, self.reason, self.slow_reads = now_s + self.back_off_s, reason, 0

    def refusal(self, now_s: float) -> BusyError | None:
        """Why it is not read now, or None."""
        if self.lost:
            return BusyError(f"{self.bdf}: a read has not come back yet")
        if now_s < self.until_s:
            return self.reason(f"{self.bdf}: left alone for {self.until_s - now_s:.0f} s after reads that took too long")
        return None

    def timed(self, took_ns: int, now_s: float) -> None:
        """Count a read that came back."""
        if took_ns < SLOW_NS:
            self.slow_reads = 0
            return
        self.slow_reads += 1
        if self.slow_reads >= SLOW_LIMIT:
            self.rest(now_s, SlowError)


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


@dataclass(slots=True, eq=False)
class _Job:
    # Work of one thread: *results* grows as reads come back; its length is the index of the read in flight.
    wanted: Sequence[Wanted]
    first: int
    started_s: float
    done: SimpleQueue[_Job]
    results: list[Outcome] = field(default_factory=list)
    lost: Health | None = None


class Readers:
    """The threads that read. One batch at a time; *deadline_s* for each single read."""

    def __init__(self, deadline_s: float = DEADLINE_S, now_s: Callable[[], float] = time.monotonic) -> None:
        self.deadline_s = deadline_s
        self._now_s = now_s
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._idle = 0
        self._lock = threading.Lock()
        self.lost = 0

    def read(self, wanted: Sequence[Wanted]) -> list[Outcome]:
        """What each read gave, in order: bytes, or why there are none. Takes one deadline for each eighth Function that hangs."""
        results: list[Outcome] = [b""] * len(wanted)
        now_s = self._now_s()
        asked: list[tuple[int, Wanted]] = []
        for index, one in enumerate(wanted):
            refusal = one[0].health.refusal(now_s)
            if refusal is None:
                asked.append((index, one))
            else:
                results[index] = refusal
        for (index, _), outcome in zip(asked, self._run([one for _, one in asked]), strict=True):
            results[index] = outcome
        return results

    def _run(self, wanted: Sequence[Wanted]) -> list[Outcome]:
        results: list[Outcome] = [b""] * len(wanted)
        done: SimpleQueue[_Job] = SimpleQueue()
        running = [self._start(wanted, 0, done)] if wanted else []
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
        return max(0.001, min(job.started_s for job in running) + self.deadline_s - self._now_s())

    def _check(self, job: _Job, results: list[Outcome], *, split: bool) -> Iterator[_Job]:
        # Past its deadline: keep what came back, leave the thread behind, give the rest to others.
        if self._now_s() - job.started_s < self.deadline_s:
            yield job
            return
        with self._lock:
            at = len(job.results)
            if at == len(job.wanted):
                yield job  # it has just come to its end
                return
            health = job.wanted[at][0].health
            job.lost, health.lost = health, True
            self.lost += 1
            came = job.results[:at]
        results[job.first : job.first + at] = came
        results[job.first + at] = BusyError(f"{health.bdf}: the read did not come back in {self.deadline_s:g} s")
        rest = job.wanted[at + 1 :]
        first = job.first + at + 1
        size = -(-len(rest) // SPLIT) if split else len(rest)
        for start in range(0, len(rest), max(1, size)):
            yield self._start(rest[start : start + size], first + start, job.done)

    def _start(self, wanted: Sequence[Wanted], first: int, done: SimpleQueue[_Job]) -> _Job:
        job = _Job(wanted, first, self._now_s(), done)
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
            if not self._do(job):
                return
            with self._lock:
                self._idle += 1
            job.done.put(job)

    def _do(self, job: _Job) -> bool:
        # False: this thread was left behind, and ends now that its read has come back.
        before_s = self._now_s()
        for one in job.wanted:
            outcome = _read(one)
            now_s = self._now_s()
            with self._lock:
                if job.lost is not None:
                    job.lost.lost = False
                    job.lost.rest(now_s, BusyError)
                    self.lost -= 1
                    return False
                job.results.append(outcome)
                job.started_s = now_s
            one[0].health.timed(int((now_s - before_s) * 1e9), now_s)
            before_s = now_s
        return True


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

    def troubled(self, now_s: float) -> dict[Bdf, str]:
        """Functions that are left alone now, and why."""
        found = {bdf: space.health.refusal(now_s) for bdf, space in self._spaces.items()}
        return {bdf: str(why) for bdf, why in found.items() if why is not None}
