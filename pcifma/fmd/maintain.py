"""Planned work: while somebody works on a part, its errors are logged and carry the work's id, and nobody makes a case of them.

    begin ──> active ──its time is over, or end──> over, and known for a while: a slow look may still find what the work left

An ereport belongs to planned work if what it tells of may have happened while the work went on. Times run on boot time inside a
boot, so that a step of the wall clock neither ends nor prolongs anything; over a reboot on the wall clock.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import msgspec

from pcifma.access.seam import Clock
from pcifma.errors import LogBusyError, UsageError
from pcifma.event.ereport import Ereport
from pcifma.event.identity import name_uuid, utc
from pcifma.fabric.fabric import Fabric
from pcifma.fmd.log.batch import Batch
from pcifma.fmd.log.log import Log
from pcifma.fmd.log.row import wall_of
from pcifma.fmd.log.ticket import Ticket
from pcifma.fmd.scope import anchors, covered
from pcifma.fmd.socket import Peer

NOTE = "maintenance"
LONGEST_S = 30 * 86400.0
KNOWN_NS = 3_600_000_000_000
_LIMIT = 64
_WHY_LIMIT = 400


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of planned work. *what* is as it was said, or empty for the whole host; *anchors* as of scope. Times in ns."""

    id: str
    what: str
    anchors: list[str]
    why: str
    uid: int
    pid: int
    boot: str
    began_wall_ns: int
    began_boot_ns: int
    until_wall_ns: int
    until_boot_ns: int
    over: bool = False

    @property
    def began(self) -> str:
        """As text."""
        return utc(self.began_wall_ns)

    @property
    def until(self) -> str:
        """As text."""
        return utc(self.until_wall_ns)


_WORKS = msgspec.json.Decoder(list[Work])
Tell = Callable[[Work, str], None]


class Planned:
    """All planned work. *tell* is called when one begins (`began`), runs out or is ended (`ended`)."""

    def __init__(self, log: Log, clock: Clock, boot: str, tell: Tell) -> None:
        """Go on with what the log kept."""
        self._log, self._clock, self._boot, self._tell = log, clock, boot, tell
        reader = log.reader()
        kept = reader.note(NOTE)
        reader.close()
        self._works: list[Work] = [self._moved(work) for work in (_WORKS.decode(kept) if kept else [])]
        self._generation = log.generation
        self._scopes: dict[tuple[str, str], frozenset[str]] = {}

    # Onto this boot's line.
    def _moved(self, work: Work) -> Work:
        if work.boot == self._boot:
            return work
        offset_ns = self._clock.wall_ns() - self._clock.boot_ns()
        began_ns, until_ns = work.began_wall_ns - offset_ns, work.until_wall_ns - offset_ns
        return msgspec.structs.replace(work, boot=self._boot, began_boot_ns=began_ns, until_boot_ns=until_ns)

    @property
    def active(self) -> list[Work]:
        """What goes on now."""
        now_ns = self._clock.boot_ns()
        return [work for work in self._works if not work.over and now_ns < work.until_boot_ns]

    def begin(self, fabric: Fabric, peer: Peer, *, what: str, why: str, for_s: float) -> tuple[Work, Ticket]:
        """Begin work on *what*; the ticket says when it is on disk. UsageError for what is no part, no reason or no time."""
        why = " ".join(why.split())[:_WHY_LIMIT]
        if not why:
            raise UsageError("say why: planned work without a reason is a fault that nobody sees")
        if not 0 < for_s <= LONGEST_S:
            raise UsageError(f"planned work of {for_s:g} s: it lasts {LONGEST_S / 86400:g} days at most")
        if len(self.active) >= _LIMIT:
            raise UsageError(f"{_LIMIT} pieces of planned work go on: end one first (`pcifma maintain --list`)")
        tops = anchors(fabric, what) if what else []
        wall_ns, boot_ns, for_ns = self._clock.wall_ns(), self._clock.boot_ns(), round(for_s * 1e9)
        work = Work(
            id=name_uuid(f"maintenance\0{self._boot}\0{boot_ns}\0{len(self._works)}\0{what}")[:8], what=what, anchors=tops, why=why,
            uid=peer.uid, pid=peer.pid, boot=self._boot, began_wall_ns=wall_ns, began_boot_ns=boot_ns,
            until_wall_ns=wall_ns + for_ns, until_boot_ns=boot_ns + for_ns,
        )  # fmt: skip
        ticket = self._store([*self._works, work])
        self._tell(work, "began")
        return work, ticket

    @property
    def due_ns(self) -> int | None:
        """Boot time at which the next work runs out. Whoever looks then keeps what comes later apart from it."""
        return min((work.until_boot_ns for work in self._works if not work.over), default=None)

    def end(self, id: str, looked_wall_ns: int | None) -> tuple[Work, Ticket]:
        """End the work *id* with the last look, made at *looked_wall_ns*: what a later look sees may have happened since, and is no
        part of it. UsageError if none of that id goes on.
        """
        found = [work for work in self.active if work.id == id]
        if not found:
            raise UsageError(f"no planned work {id!r} goes on: `pcifma maintain --list`")
        wall_ns, boot_ns = self._clock.wall_ns(), self._clock.boot_ns()
        ago_ns = 0 if looked_wall_ns is None else max(0, wall_ns - looked_wall_ns)
        ended = msgspec.structs.replace(found[0], until_wall_ns=wall_ns - ago_ns, until_boot_ns=boot_ns - ago_ns, over=True)
        ticket = self._store([ended if work.id == id else work for work in self._works])
        self._tell(ended, "ended")
        return ended, ticket

    def _store(self, works: list[Work]) -> Ticket:
        ticket = self._log.append(Batch(self._clock.boot_ns(), notes={NOTE: msgspec.json.encode(works).decode()}))
        self._works = works
        self._generation = self._log.generation
        return ticket

    def check(self) -> None:
        """After a look: say what has run out, forget what is long over."""
        now_ns = self._clock.boot_ns()
        ran_out = [work for work in self._works if not work.over and now_ns >= work.until_boot_ns]
        works = [msgspec.structs.replace(work, over=work.over or work in ran_out) for work in self._works]
        works = [work for work in works if now_ns < work.until_boot_ns + KNOWN_NS]
        if works == self._works and (not works or self._generation == self._log.generation):
            return
        self._works = works
        with contextlib.suppress(LogBusyError):  # after a restart it runs out again
            self._store(works)
        for work in ran_out:
            self._tell(work, "ended")

    def mark(self, ereports: Sequence[Ereport], fabric: Fabric) -> Sequence[Ereport]:
        """*ereports*, seen just now, with the id of the planned work that each of them belongs to."""
        if not self._works or not ereports:
            return ereports
        return [self._marked(event, fabric) for event in ereports]

    def _marked(self, event: Ereport, fabric: Fabric) -> Ereport:
        offset_ns = self._clock.wall_ns() - self._clock.boot_ns()
        seen_ns = wall_of(event.time) - offset_ns
        since_ns = seen_ns if event.not_before is None else wall_of(event.not_before) - offset_ns
        for work in self._works:
            during = since_ns < work.until_boot_ns and seen_ns >= work.began_boot_ns and not _is_later(work, event)
            if during and self._covers(work, fabric, event.device):
                return msgspec.structs.replace(event, maintenance=work.id)
        return event

    def _covers(self, work: Work, fabric: Fabric, device: str) -> bool:
        if not work.anchors:
            return True
        key = (work.id, fabric.id)
        if key not in self._scopes:
            if len(self._scopes) >= 2 * _LIMIT:
                self._scopes.clear()
            # What was there before stays meant: a card that is out may still be named.
            known = {address for (id_, _), scope in self._scopes.items() if id_ == work.id for address in scope}
            self._scopes[key] = covered(fabric, work.anchors) | known
        return device in self._scopes[key]


def _is_later(work: Work, event: Ereport) -> bool:
    # The look that ended the work is the one that saw the bit clear: both times are that look's, to the nanosecond, where boot times are
    # worked out from two clocks, one read a moment after the other.
    return work.over and event.not_before is not None and wall_of(event.not_before) >= work.until_wall_ns
