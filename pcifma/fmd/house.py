"""The daemon as its modules see it: what it counts, whom it covers, and the programs that it runs for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pcifma import __version__
from pcifma.access.seam import Machine
from pcifma.fmd.deadline import GuardedConfigs
from pcifma.fmd.drill import Drills
from pcifma.fmd.engine.house import Program
from pcifma.fmd.log.log import Log
from pcifma.fmd.log.row import wall_of
from pcifma.fmd.lookout import Lookout
from pcifma.fmd.maintain import Planned
from pcifma.fmd.program import Programs
from pcifma.fmd.respond import Responder
from pcifma.fmd.roster import Roster
from pcifma.platform.coverage import Coverage
from pcifma.plugin.module import Response
from pcifma.plugin.status import LogStatus, Looks, ModuleStatus, Status
from pcifma.poll.standing import Standings

_FRESH_NS = 600_000_000_000  # drivers and services come and go without a change of the fabric


@dataclass(slots=True)
class House:
    """What `Services` of a running daemon rest on. *started_ns*: wall time; *planned* and *drills* come when the engine is there."""

    machine: Machine
    lookout: Lookout
    log: Log
    programs: Programs
    responder: Responder
    roster: Roster
    started_ns: int
    planned: Planned | None = None
    drills: Drills | None = None
    _standings: Standings = field(default_factory=Standings)
    _coverage: tuple[Coverage, ...] = ()
    _judged: tuple[str, int] = field(default=("", 0))

    def status(self) -> Status:
        """The daemon's counts; of plugins, the sources."""
        count, log = self.lookout.count, self.log
        return Status(
            version=__version__,
            started_ns=self.started_ns,
            functions=count.functions,
            unread=dict(count.unread),
            looks=Looks(
                count=count.looks,
                last_ns=count.last_wall_ns,
                buckets=tuple(count.buckets),
                spent_ns=count.spent_ns,
                reads=count.reads,
                writes=count.writes,
                refused=count.refused,
                slow=self._slow(),
            ),
            log=LogStatus(folded=log.counters["folded"], errors=log.counters["errors"], trouble=log.trouble),
            maintenance=self.planned is not None and bool(self.planned.active),
            last_drill_ns=None if self.drills is None or self.drills.last is None else wall_of(self.drills.last.time),
            modules=tuple(
                ModuleStatus(name=row.name, version=row.version, failed=row.why) for row in self.roster.rows() if row.kind == "source"
            ),
            latched=tuple(self._standings.now(self.lookout.poller.targets(), self.lookout.poller.latched)),
        )

    def _slow(self) -> dict[str, int]:
        configs = self.machine.configs
        return {str(bdf): n for bdf, n in configs.slow().items()} if isinstance(configs, GuardedConfigs) else {}

    def coverage(self) -> Iterable[Coverage]:
        """Who would hear an error of each Function."""
        from pcifma.platform.survey import survey  # noqa: PLC0415 - only where somebody asks

        fabric, now_ns = self.lookout.fabric, self.machine.clock.boot_ns()
        if fabric.id != self._judged[0] or now_ns - self._judged[1] > _FRESH_NS:
            self._coverage = tuple(line.coverage for line in survey(self.machine, fabric).lines)
            self._judged = (fabric.id, now_ns)
        return self._coverage

    def run(self, module: str, program: Program, done: Callable[[str], None]) -> None:
        """Start *program* for *module*."""
        self.programs.start(module, program, done)

    def respond(self, module: str, response: Response, done: Callable[[str], None]) -> None:
        """Have the keeper do *response* for *module*."""
        self.responder.respond(module, response, done)

    def end(self, module: str) -> None:
        """Kill what runs for *module*."""
        self.programs.end(module)
