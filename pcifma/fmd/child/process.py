"""A third-party plugin in a process of its own: the same API, with a deadline for every call and SIGKILL at its end.

    STARTING ── Ready ──> READY ── call ──> CALLED ── answer ──> READY
        └── anything else, or the deadline ──┴──> DEAD (killed, with every process it left behind; PluginError says why)

Whatever fails ends the process: the plugin is set aside by the guard that called it, and `load` starts a new one.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

import msgspec

from pcifma.errors import PluginError
from pcifma.fmd.child import message
from pcifma.fmd.child.desk import NO_DESK, Desk
from pcifma.fmd.child.nursery import Nursery
from pcifma.fmd.child.offspring import OFFSPRING

START_DEADLINE_S = 10.0  # the plugin's imports, on a busy machine
_READ_BYTES = 1 << 18
PATIENCE = 3  # deadlines that a process may wait for its turn on a busy machine, in one call
_LEAST_S = 0.05
_CALL_S = 0.002  # beyond one deadline, a look at many targets may take so much for each
IDLE_WINDOW_S, IDLE_SHARE = 30.0, 0.5  # more of a processor than that, for so long and without being called, is no plugin's business

Answer = TypeVar("Answer", bound=message.Message)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one plugin may take: *memory* in bytes, *deadline_s* for a call."""

    memory: int = 256 << 20
    deadline_s: float = 0.5


@dataclass(slots=True)
class _Look:
    # The look under way, and how many plugins have failed in it: the more, the less each of the others is waited for.
    tick: int = -1
    failed: int = 0


LOOK = _Look()


class _Fault(Exception):
    """Why the process has to go."""


class Child:
    """One plugin's process. *dead* is why it ended, or empty; *longest_s* its longest call.

    *on_end* is called once, before its descriptor is closed and may become somebody else's.
    """

    def __init__(self, name: str, sock: socket.socket, pid: int, *, deadline_s: float) -> None:
        self.name, self.pid, self.deadline_s = name, pid, deadline_s
        self._sock = sock
        self.on_end: Callable[[], None] = lambda: None
        self._in = bytearray()
        self.dead = ""
        self.longest_s = 0.0
        self._waited_s = 0.0
        self._tick, self._calls, self._spent_s = -1, 0, 0.0
        self._called_s = 0.0
        self._window = (time.monotonic(), used_s(pid), 0.0)

    @classmethod
    def start(cls, name: str, place: tuple[Path, str], nursery: Nursery, limits: Limits) -> Child:
        """Start the plugin at *place* (directory, and what the loader says of its origin); PluginError if it does not get ready."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            with theirs:
                pid = nursery.spawn(theirs)
        except PluginError:
            ours.close()
            raise
        child = cls(name, ours, pid, deadline_s=limits.deadline_s)
        child.call(message.Start(str(place[0]), place[1], limits.memory), message.Ready, deadline_s=START_DEADLINE_S)
        return child

    def fileno(self) -> int:
        """Readable between calls when the process has ended or talks out of turn: call `check` then."""
        return self._sock.fileno()

    def check(self) -> None:
        """Between calls: PluginError if the process has ended or spoken unasked."""
        if not self.dead and select.select([self._sock], [], [], 0)[0]:
            self._end("ended, or spoke without being called")
        self._raise_if_dead()

    def call(self, what: message.Message, wanted: type[Answer], desk: Desk = NO_DESK, *, deadline_s: float | None = None) -> Answer:
        """The answer to *what*, questions in between answered by *desk*. PluginError, and the process killed, for anything else."""
        self._raise_if_dead()
        start_s, self._waited_s = time.monotonic(), waited_s(self.pid)
        try:
            answer = self._exchange(what, desk, start_s + (deadline_s or self.deadline_s))
            if not isinstance(answer, wanted):
                raise _Fault(answer.text if isinstance(answer, message.Failed) else f"answered {type(answer).__name__} to a call")
        except _Fault as fault:
            self._end(str(fault))
        except OSError as err:
            self._end(f"ended: {err.strerror}")
        except msgspec.DecodeError as err:
            self._end(f"answered what is no answer: {err}")
        self._raise_if_dead()
        took_s = time.monotonic() - start_s
        self.longest_s, self._called_s = max(self.longest_s, took_s), self._called_s + took_s
        assert isinstance(answer, wanted)
        return answer

    def look(self, tick: int, what: message.Message, wanted: type[Answer]) -> Answer:
        """As `call`, for a target of look *tick*: a plugin that is slow at each of them delays a look no longer than one that hangs."""
        if tick != self._tick:
            self._tick, self._calls, self._spent_s = tick, 0, 0.0
        start_s = time.monotonic()
        try:
            answer = self.call(what, wanted, deadline_s=self.allowed_s(tick))
        except PluginError:
            LOOK.failed += 1
            raise
        self._calls += 1
        self._spent_s += time.monotonic() - start_s - self._starved_s()
        if self._spent_s > self.deadline_s + self._calls * _CALL_S:
            self._end(f"took {self._spent_s:.2g} s for {self._calls} targets of one look")
        self._raise_if_dead()
        return answer

    def allowed_s(self, tick: int) -> float:
        """How long a call of look *tick* may take: half as long after each plugin that has failed in it, so that many that hang
        delay it little more than one.
        """
        if tick != LOOK.tick:
            LOOK.tick, LOOK.failed = tick, 0
        return max(min(self.deadline_s, _LEAST_S), self.deadline_s / (1 << LOOK.failed))

    def idle(self) -> bool:
        """Now and then: False, and the process ended, if it has kept a processor busy that nobody asked it to."""
        began_s, used_before_s, called_before_s = self._window
        now_s = time.monotonic()
        if self.dead or now_s - began_s < IDLE_WINDOW_S:
            return not self.dead
        used = used_s(self.pid)
        own_s = used - used_before_s - (self._called_s - called_before_s)
        self._window = (now_s, used, self._called_s)
        if own_s > IDLE_SHARE * (now_s - began_s):
            self._end(f"took {own_s:.0f} s of a processor in {now_s - began_s:.0f} s without being called")
        return not self.dead

    def close(self) -> None:
        """End the process, and all that it left behind."""
        if not self.dead:
            self._end("closed")

    def _exchange(self, what: message.Message, desk: Desk, end_s: float) -> message.Message:
        self._send(what, end_s)
        for _ in range(message.ASK_LIMIT):
            got = self._receive(end_s)
            if isinstance(got, message.Answer):
                if self._in:
                    raise _Fault("answered more than once")
                return got
            self._send(desk.answer(got), end_s)
        raise _Fault(f"flood: more than {message.ASK_LIMIT} requests in one call")

    def _send(self, what: message.Message, end_s: float) -> None:
        data = memoryview(message.frame(what))
        while data:
            self._wait(select.POLLOUT, end_s)
            data = data[self._sock.send(data) :]

    def _receive(self, end_s: float) -> message.FromChild:
        head = message.LENGTH.size
        while True:
            if len(self._in) >= head:
                (length,) = message.LENGTH.unpack_from(self._in)
                if length > message.FRAME_LIMIT:
                    raise _Fault(f"flood: an answer of {length} bytes")
                if len(self._in) >= head + length:
                    body = bytes(self._in[head : head + length])
                    del self._in[: head + length]
                    return cast(message.FromChild, message.FROM_CHILD.decode(body))
            self._wait(select.POLLIN, end_s)
            part = self._sock.recv(_READ_BYTES)
            if not part:
                raise _Fault("ended")
            self._in += part

    def _wait(self, what: int, end_s: float) -> None:
        poll = select.poll()
        poll.register(self._sock, what)
        while not poll.poll(max(0.0, end_s + self._starved_s() - time.monotonic()) * 1000):
            if time.monotonic() >= end_s + self._starved_s():
                raise _Fault("did not answer in time")

    # How long of this call the process was ready to run and was not let: a busy machine is no fault of its plugin's. Looks bound it.
    def _starved_s(self) -> float:
        return min(PATIENCE * self.deadline_s, max(0.0, waited_s(self.pid) - self._waited_s))

    def _end(self, why: str) -> None:
        status = OFFSPRING.kill(self.pid)
        self.on_end()
        self._sock.close()
        self.dead = why + _how(status)

    def _raise_if_dead(self) -> None:
        if self.dead:
            raise PluginError(f"plugin {self.name}: its process {self.dead}")


def _how(status: int | None) -> str:
    # How the process had ended by itself; our own SIGKILL is no news.
    if status is None or os.waitstatus_to_exitcode(status) == -signal.SIGKILL:
        return ""
    code = os.waitstatus_to_exitcode(status)
    return f" ({signal.Signals(-code).name})" if code < 0 else f" (exit {code})"


def used_s(pid: int) -> float:
    """Processor time that process *pid* and all that came from it have used so far, in seconds; what has ended unnoticed is left out."""
    total, todo = 0, [pid]
    while todo:
        here = todo.pop()
        with contextlib.suppress(OSError):
            # proc(5): utime, stime, cutime, cstime are fields 14 to 17; the name, field 2, may hold anything.
            total += sum(map(int, Path(f"/proc/{here}/stat").read_bytes().rpartition(b") ")[2].split()[11:15]))
            for task in Path(f"/proc/{here}/task").iterdir():
                todo += map(int, (task / "children").read_bytes().split())
    return total / os.sysconf("SC_CLK_TCK")


def waited_s(pid: int) -> float:
    """How long process *pid* has waited for its turn to run since it was started; 0 where the kernel does not say."""
    # kernel, Documentation/scheduler/sched-stats.rst: time on the processor, time on the run queue, in ns.
    try:
        with open(f"/proc/{pid}/schedstat", "rb") as file:  # noqa: PTH123 - for each call, and pathlib is slow
            return int(file.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0
