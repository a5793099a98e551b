"""The two kinds of plugin, and the services that the daemon gives to a module. poll and fmd implement these Protocols."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from pcifma.access.seam import Host
from pcifma.fabric.fabric import Fabric
from pcifma.plugin.watch import Finding, Snapshot, Watch

if TYPE_CHECKING:
    from pcifma.event.case import ListEvent, Suspect
    from pcifma.event.ereport import Ereport
    from pcifma.platform.coverage import Coverage
    from pcifma.plugin.status import Status

PropertyValue = bool | int | float | str | list[str]
"""A property of plugin.yaml after typing: bool, int, number (float), size (bytes as int), time (seconds as float), string, list."""


class Source(Protocol):
    """A source plugin: two pure functions. It never polls, keeps no state, gets no handle, writes nothing."""

    def watches(self, fabric: Fabric, host: Host) -> Iterable[Watch]:
        """What to look at on this fabric. Called again whenever the fabric changes."""

    def normalise(self, now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
        """What *now* means; *before* is the previous snapshot of the same target (None on a first look)."""


class Serd(Protocol):
    """A soft error rate discriminator: fires when more than n events lie within t."""

    def record(self, event: Ereport) -> bool:
        """Count *event* (its `count` times) at its boot time; True when the engine has fired (and is then reset)."""

    def reset(self) -> None:
        """Forget everything."""


class Case(Protocol):
    """A case in the making. States and transitions are drawn in pcifma/fmd/engine/case.py."""

    @property
    def uuid(self) -> str:
        """The case's uuid."""

    @property
    def key(self) -> str:
        """What the module opened it under."""

    @property
    def state(self) -> str:
        """UNSOLVED, SOLVED, CLOSE_WAIT, CLOSED, REPAIRED or RESOLVED."""

    def add_ereport(self, event: Ereport) -> None:
        """Make *event* part of the evidence."""

    def add_suspect(self, suspect: Suspect) -> None:
        """Name a suspect; certainties are weights until the case is solved."""

    def solve(self, code: str, *, severity: str, urgency: str, rest: int = 0) -> None:
        """Publish the suspect list (list.suspect); its certainties add up to 100 less *rest*.

        *rest*: percent (0 to 99) that stays with parts which are not listed, because more may be at fault than a list is good for.
        """

    def revise(self, suspects: Iterable[Suspect], *, code: str, severity: str, urgency: str, rest: int = 0) -> None:
        """Say of a published case what is known better now (list.updated): who is not among *suspects* is acquitted, who is new is added.

        It never becomes less urgent by that.
        """

    def close(self) -> None:
        """The case needs no more attention from its diagnosis engine."""


Kind = Literal["cpu", "page", "io"]


@dataclass(frozen=True, slots=True)
class Response:
    """A part to be taken out of service, or with *restore* given back. *kind*: `cpu` (its number in *name*), `page` (the frame, as 0x…)
    or `io` (a Function's address). *hard*: a page whose data is lost already, and is not worth moving.
    """

    kind: Kind
    name: str
    restore: bool = False
    hard: bool = False


class Services(Protocol):
    """What the daemon does for one module. All of it is checkpointed in one transaction with the module's cursor."""

    @property
    def properties(self) -> Mapping[str, PropertyValue]:
        """The module's typed properties, defaults filled in."""

    @property
    def fabric(self) -> Fabric:
        """The fabric as it is now."""

    @property
    def host(self) -> Host:
        """Facts of the host."""

    def now_ns(self) -> int:
        """Boot time of the event being handled, or now, in ns."""

    def count(self, statistic: str, n: int = 1) -> None:
        """Add *n* to a statistic, shown by `pcifma stat -m`."""

    def open_case(self, key: str) -> Case:
        """The module's open case under *key*, or a new one."""

    def cases(self) -> Iterable[Case]:
        """The module's cases that are not closed."""

    def serd(self, name: str, n: int, t_s: float) -> Serd:
        """The module's SERD engine *name*, made if needed: fires on event n+1 within *t_s* seconds."""

    def arm(self, timer: str, delay_s: float, data: str = "", *, keep: bool = True) -> None:
        """Call timeout(timer, data) once, *delay_s* seconds from now; arming again moves it.

        With *keep* it is checkpointed, at the price of a write to disk; without, a restart forgets it.
        """

    def disarm(self, timer: str) -> None:
        """Forget the timer."""

    def get(self, buffer: str) -> bytes | None:
        """A checkpointed buffer's content."""

    def put(self, buffer: str, data: bytes) -> None:
        """Set a checkpointed buffer (at most 1 MiB)."""

    def post(self, finding: Finding) -> None:
        """Post an ereport of the module's own."""

    def subscribe(self, *globs: str) -> None:
        """Take events of these classes too, from now on; in `open`, for a module whose properties say what it wants. PluginError."""

    def status(self) -> Status:
        """What the daemon counts of itself, as it is now."""

    def coverage(self) -> Iterable[Coverage]:
        """Who would hear an error of each Function: judged anew when the fabric has changed, and every ten minutes."""

    def execute(self, timer: str, program: Sequence[str], data: bytes, limit_s: float) -> None:
        """Run *program* (an absolute path and its arguments, no shell) with *data* on its standard input, without waiting for it.

        When it has ended, or was killed with all that it started after *limit_s* seconds, timeout(timer, outcome) says how:
        `exit N`, `signal N`, `late`, or `start`, each followed by what it wrote to standard error first, or why it did not start.
        A restart of the daemon ends it and says nothing. Built-in modules only; others start what they need themselves.
        """

    def respond(self, timer: str, response: Response) -> None:
        """Have the keeper take a part out of service, without waiting; timeout(timer, outcome) says `done WHAT`, or `refused WHY`.

        The keeper judges the part again, and does only what the operator allowed (setting `retire`). Built-in modules only.
        """

    def isolate(self, uuid: str) -> None:
        """Every suspect of the case *uuid* is out of service: list.isolated. Built-in modules only."""


class Module(Protocol):
    """A module plugin; its file has `open(services) -> Module`. Events come one at a time, in log order."""

    def recv(self, event: Ereport | ListEvent) -> None:
        """Take one event of a subscribed class."""

    def timeout(self, timer: str, data: str) -> None:
        """A timer armed by this module has run out."""

    def close(self) -> None:
        """The module is being unloaded."""

    def stats(self) -> Mapping[str, int]:
        """Statistics of its own, beside those that the daemon keeps."""

    def topo(self, fabric: Fabric) -> None:
        """The fabric has changed."""
