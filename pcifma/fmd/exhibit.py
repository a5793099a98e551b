"""The verb `exhibit`: what a vendor wants to see of the Functions that a case concerns, read now; asleep ones are not woken."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from pcifma.access.extract import extract
from pcifma.access.recording import title_of, whole
from pcifma.errors import DaemonError, UsageError
from pcifma.fmd.concern import functions_of, with_partners
from pcifma.fmd.engine.case import CaseRecord, load
from pcifma.fmd.lookout import described
from pcifma.fmd.machine_fact import facts
from pcifma.fmd.socket import Arguments, Peer
from pcifma.platform.guest import guests
from pcifma.platform.hypervisor import detect
from pcifma.poll.absence import asleep
from pcifma.regs.bdf import Bdf

if TYPE_CHECKING:
    from pcifma.fmd.daemon import Daemon, Running


class Exhibits:
    """Reads for *daemon*'s operators."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def show(self, arguments: Arguments, peer: Peer) -> dict[str, object]:
        """Registers (rows of hex by offset, or why there are none), the fabric, guests, and facts of the host, for the case `case`.

        Registers are read for root alone; with `whole` every byte, which some devices do not bear.
        """
        every, may_read = bool(arguments.get("whole")), peer.uid in (0, os.geteuid())
        if every and not may_read:
            raise UsageError("every byte of configuration space: only root may have it read; leave --whole out")
        running = self._daemon.running
        if running is None:
            raise DaemonError(f"the daemon waits for its storage: {self._daemon.waiting}")
        machine, fabric = self._daemon.setup.machine, running.lookout.fabric
        functions = sorted(_concerned(running, str(arguments.get("case", ""))))
        return {
            "host": machine.name,
            "registers": [self._registers(bdf, every=every) for bdf in functions] if may_read else [],
            "fabric": msgspec.json.decode(described(fabric)),
            "guests": guests(machine.host, fabric),
            "platform": detect(machine, fabric).text,
            "facts": facts(machine.host, functions),
        }

    def _registers(self, bdf: Bdf, *, every: bool) -> dict[str, object]:
        running, machine = self._daemon.running, self._daemon.setup.machine
        assert running is not None
        fabric, config = running.lookout.fabric, machine.configs.get(bdf)
        if config is None:
            found: dict[int, bytes] | str = "gone"
        elif asleep(machine.host, fabric, fabric[bdf]):
            found = "asleep"
        else:
            found = whole(config) if every else extract(config)
        if isinstance(found, str):
            return {"device": str(bdf), "title": "", "rows": {}, "unread": found}
        rows = {str(offset): row.hex() for offset, row in found.items()}
        return {"device": str(bdf), "title": title_of(found.get(0, b"")), "rows": rows, "unread": ""}


def _concerned(running: Running, uuid: str) -> frozenset[Bdf]:
    reader = running.log.reader()
    try:
        found: list[CaseRecord] = [load(row) for row in reader.cases() if row.uuid == uuid]
        if not found:
            raise DaemonError(f"no case {uuid!r}: see `pcifma faulty --all`")
        fabric = running.lookout.fabric
        return with_partners(functions_of(found[0], reader, fabric), fabric)
    finally:
        reader.close()
