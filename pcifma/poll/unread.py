"""What could not be looked at, and why: said once for each reason, and counted until it answers again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pcifma.access.seam import Machine
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.function import Function
from pcifma.poll.absence import ASLEEP, REMEDIES, asleep
from pcifma.poll.look import Look
from pcifma.poll.snapshot import answers
from pcifma.poll.subject import Past, Seen
from pcifma.poll.target import Watched
from pcifma.regs.bdf import Bdf

if TYPE_CHECKING:
    from pcifma.poll.ereport import Maker


class Unread:
    """Whom looks could not read. *missing* are the Functions of the fabric it is set `on`: address, and reason."""

    def __init__(self, machine: Machine, maker: Callable[[], Maker], past: Past) -> None:
        self.missing: dict[str, str] = {}
        self._machine, self._maker, self._past = machine, maker, past
        self._occurrence: dict[tuple[str, str], int] = {}
        self._vanished: list[Watched] = []

    def on(self, fabric: Fabric) -> None:
        """Start from what *fabric* could not see when it was built."""
        self._fabric = fabric
        self._unseen = [f for f in fabric if f.unread in (ASLEEP, "busy", "gone")]
        self.missing = {str(f.bdf): f.unread for f in fabric if f.unread}

    def answering(self, *, slow: bool) -> list[Bdf]:
        """What the fabric could not see (asleep, not ready, gone) and might now. *slow*: whoever does not sleep is tried."""
        return [f.bdf for f in self._unseen if self._may_answer(f, slow=slow)]

    def mark(self, target: Watched, reason: str, look: Look) -> None:
        """*target* was not read for *reason*: an ereport, unless the last look said the same."""
        if target.unread == reason:
            return
        target.unread, target.left_ns = reason, self._past.look_ns
        self.note(target)
        key = (target.subject.identity, reason)
        occurrence = self._occurrence[key] = self._occurrence.get(key, -1) + 1
        seen = Seen(look.when, target.left_ns, not target.looked)
        maker = self._maker()
        look.ereports.append(maker.unread(target.subject, reason, REMEDIES[reason], seen, occurrence=occurrence))
        maker.snapshot += 1

    def answered(self, target: Watched) -> None:
        """*target* was read whole."""
        if self.missing:
            target.unread = ""
            self.note(target)

    def note(self, target: Watched) -> None:
        """Count *target* as its `unread` says."""
        function = target.subject.function
        if function is None or function.bdf not in self._fabric.functions:
            return
        if target.unread:
            self.missing[str(function.bdf)] = target.unread
        else:
            self.missing.pop(str(function.bdf), None)

    def vanish(self, target: Watched) -> None:
        """*target* is not in the new fabric: said with the next look, if it was there before."""
        if target.subject.function is not None and not target.subject.function.unread:
            self._vanished.append(target)

    def say_vanished(self, look: Look) -> None:
        """Say who is gone from the fabric."""
        for target in self._vanished:
            self.mark(target, "gone", look)
        self._vanished.clear()

    def reason(self, target: Watched, reason: str) -> str:
        """*reason*, unless the target is only asleep."""
        function = target.subject.function
        if reason == "gone" and function is not None and asleep(self._machine.host, self._fabric, function):
            return ASLEEP
        return reason

    def _may_answer(self, function: Function, *, slow: bool) -> bool:
        if function.unread == ASLEEP:
            return not asleep(self._machine.host, self._fabric, function)
        return function.unread == "busy" or answers(self._machine, function.bdf) or slow
