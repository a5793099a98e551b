"""The verbs that write status bits back when told to: `clear`, what it would do, and `sweep` for `pcifma sweep --clear`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from pcifma.errors import DaemonError, PcifmaError, UsageError
from pcifma.fmd.acknowledge import Cause, acknowledgeable
from pcifma.fmd.claim import ordered
from pcifma.fmd.concern import functions_of
from pcifma.fmd.engine.verdict import case_of
from pcifma.fmd.order import Answer, Order
from pcifma.fmd.socket import Arguments, Later, Peer
from pcifma.regs.bdf import Bdf

if TYPE_CHECKING:
    from pcifma.fmd.daemon import Daemon, Running


class Clearing:
    """Orders to the lookout of *daemon*, and their answers as JSON can hold them."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def plan(self, arguments: Arguments, peer: Peer) -> dict[str, object]:
        """What `clear` of `what` would write, of what stood at the last look; nothing is written."""
        running = self._ready()
        functions, case = self._named(running, str(arguments.get("what", "")))
        self._daemon.consent.renew()
        order = Order(functions, Cause(), self._daemon.consent.refusal, then=lambda _: None)
        wanted = acknowledgeable(ordered(running.lookout.poller, order), lambda _: True)
        writes = [
            {"device": str(bdf), "register": str(location), "bits": found.bits, "ereports": found.ereports}
            for (bdf, location), found in wanted.items()
        ]
        return {"case": case, "writes": writes, "refused": order.answer.refused, "left": order.answer.left}

    def clear(self, arguments: Arguments, peer: Peer) -> Later:
        """Write back what is logged of a Function, or of those that a case concerns."""
        running = self._ready()
        what = str(arguments.get("what", ""))
        if not what:
            raise UsageError("say which case or Function")
        functions, case = self._named(running, what)
        return self._order(running, functions, Cause("ordered", case, f"clear {what}", peer.uid, peer.pid))

    def sweep(self, arguments: Arguments, peer: Peer) -> Later:
        """Look at every Function whole, and write back what is logged; the answer names the ereports of all that stood."""
        return self._order(self._ready(), None, Cause("ordered", "", "sweep --clear", peer.uid, peer.pid))

    def _order(self, running: Running, functions: frozenset[Bdf] | None, cause: Cause) -> Later:
        later = Later()

        def then(answer: Answer | PcifmaError) -> None:
            later.settle(answer if isinstance(answer, PcifmaError) else self._told(running, cause, answer))

        self._daemon.consent.renew()
        running.lookout.order(Order(functions, cause, self._daemon.consent.refusal, then=then))
        return later

    def _told(self, running: Running, cause: Cause, answer: Answer) -> dict[str, object]:
        count = running.lookout.count
        return {
            "host": self._daemon.setup.machine.name,
            "case": cause.case,
            "functions": count.functions,
            "unread": dict(sorted(count.unread.items())),
            **asdict(answer),
        }

    def _named(self, running: Running, what: str) -> tuple[frozenset[Bdf] | None, str]:
        if not what:
            return None, ""
        try:
            return frozenset({Bdf.parse(what)}), ""
        except ValueError:
            case = case_of(running.engine.docket, what)
        reader = running.log.reader()
        try:
            return functions_of(case.record, reader, running.lookout.fabric), case.uuid
        finally:
            reader.close()

    def _ready(self) -> Running:
        running = self._daemon.running
        if running is None:
            raise DaemonError(f"the daemon waits for its storage: {self._daemon.waiting}")
        if running.log.trouble:
            raise DaemonError(f"nothing is cleared that is not logged first, and the log is in trouble: {running.log.trouble}")
        if running.lookout.acknowledger is None:
            raise DaemonError("nothing can be written from here: only a daemon that root started on this machine writes")
        return running
