"""What a command that reads the log knows besides it: how the daemon is doing, what parts there are and where, whose they are."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from pcifma.access.live import LiveHost
from pcifma.errors import DaemonError
from pcifma.fabric.function import Slot
from pcifma.fmd.client import Client
from pcifma.fmd.log.reader import Reader
from pcifma.fmd.log.row import wall_of
from pcifma.fmd.path import Paths
from pcifma.platform.guest import guests
from pcifma.regs.bdf import Bdf

# Who reads the log does not wait long for a daemon that is stuck.
_PATIENCE_S = 5.0


class Part(msgspec.Struct):
    """A Function of the fabric snapshot in the log. *slot* is its label, *slot_others* the labels of other sources."""

    vendor: int
    device: int
    serial: str | None = None
    type: int | None = None
    driver: str | None = None
    parent: str | None = None
    physfn: str | None = None
    slot: str | None = None
    slot_source: str = ""
    slot_others: list[tuple[str, str]] = []

    @property
    def place(self) -> Slot | None:
        """Its slot with all that is known of the label."""
        return None if self.slot is None else Slot(self.slot, self.slot_source, None, tuple(self.slot_others))


_PARTS = msgspec.json.Decoder(dict[str, Part])


@dataclass(frozen=True, slots=True)
class _Held:
    bdf: Bdf
    driver: str | None


@dataclass(frozen=True)
class Outlook:
    """*status* is the daemon's, None where it does not answer, and *silence* then says why. *guests* by address; *drill* the time of the
    last one that passed, None if none has; *now_ns* is the daemon's time.
    """

    status: Mapping[str, Any] | None
    silence: str
    parts: Mapping[str, Part]
    guests: Mapping[str, str]
    drill: str | None
    now_ns: int
    _below: dict[str, list[str]] = field(default_factory=dict, repr=False)

    def below(self, device: str) -> Iterator[str]:
        """*device* and every address below it, its VFs included."""
        if not self._below:
            for address, part in self.parts.items():
                for above in filter(None, (part.parent, part.physfn)):
                    self._below.setdefault(above, []).append(address)
        todo, seen = [device], {device}
        while todo:
            here = todo.pop()
            yield here
            new = [address for address in self._below.get(here, ()) if address not in seen]
            seen.update(new)
            todo += new

    def guests_of(self, devices: list[str]) -> list[str]:
        """The guests that have something at or below *devices*, each once."""
        found = (self.guests.get(address) for device in devices for address in self.below(device))
        return list(dict.fromkeys(guest for guest in found if guest))


def outlook(root: Path, log: Reader) -> Outlook:
    """Look around from *root*."""
    newest, kept = log.newest_fabric(), log.note("drill")
    parts = {} if newest is None else _PARTS.decode(newest.body)
    status, given, silence = _ask(root)
    if status is not None and status.get("source") == "live" and os.geteuid() == 0:
        given = {**given, **guests(LiveHost(), [_Held(Bdf.parse(address), part.driver) for address, part in parts.items()])}
    now_ns = wall_of(status["now"]) if status is not None and "now" in status else time.time_ns()
    drill = msgspec.json.decode(kept)["time"] if kept else None
    return Outlook(status, silence, parts, given, drill, now_ns)


def _ask(root: Path) -> tuple[dict[str, Any] | None, dict[str, str], str]:
    given: dict[str, str] = {}
    try:
        with Client(Paths(root).socket, timeout_s=_PATIENCE_S) as daemon:
            status = daemon.ask("status")
            with contextlib.suppress(DaemonError):  # a daemon from before an upgrade does not know the verb
                given = daemon.ask("guests")
            return status, given, ""
    except DaemonError as err:
        return None, {}, str(err)
