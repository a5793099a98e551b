"""A built-in module in the real engine, with a house that runs real programs and counts what the test says."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from support.desk import Desk, Probe

from pcifma.access.clock import SystemClock
from pcifma.event.case import Suspect
from pcifma.event.ereport import Ereport
from pcifma.fmd.engine.house import Program
from pcifma.fmd.engine.module import Loaded, Registration
from pcifma.fmd.loop import Loop
from pcifma.fmd.program import Programs
from pcifma.fmd.rehearsal import registration
from pcifma.platform.coverage import Coverage
from pcifma.plugin import PropertyValue, Response, Status
from pcifma.plugin.loader import builtin

_PATIENCE_S = 60.0


@dataclass
class TestHouse:
    """House: *now* and *covered* are what the test wants said; programs run for real; *responses* are what agents asked for."""

    __test__ = False
    now: Status = field(default_factory=lambda: Status(version="1"))
    covered: list[Coverage] = field(default_factory=list)
    loop: Loop = field(default_factory=lambda: Loop(SystemClock()))
    programs: Programs = field(init=False)
    responses: list[Response] = field(default_factory=list)
    answer: str = "done as asked"

    def __post_init__(self) -> None:
        self.programs = Programs(self.loop)

    def status(self) -> Status:
        return self.now

    def coverage(self) -> Iterable[Coverage]:
        return self.covered

    def run(self, module: str, program: Program, done: Callable[[str], None]) -> None:
        self.programs.start(module, program, done)

    def respond(self, module: str, response: Response, done: Callable[[str], None]) -> None:
        self.responses.append(response)
        done(self.answer)

    def end(self, module: str) -> None:
        self.programs.end(module)

    def until(self, desk: Desk, condition: Callable[[], object]) -> None:
        """Let programs and engine go on until *condition* holds."""
        end_s = time.monotonic() + _PATIENCE_S
        while not condition():
            assert time.monotonic() < end_s, "it did not happen"
            self.loop.turn(SystemClock().boot_ns() + 20_000_000)
            self.programs.check()
            desk.settle()


def load(desk: Desk, name: str, **properties: PropertyValue) -> Loaded:
    """Load the built-in module *name* with *properties*, the others at their defaults."""
    plain = registration(builtin([name])[0])
    return desk.engine.register(Registration(plain.name, plain.version, plain.open, plain.subscribe, {**plain.properties, **properties}))


def case(desk: Desk, *suspects: Suspect, code: str = "PCIEX-8000-0A", severity: str = "Critical", evidence: Ereport | None = None) -> str:
    """Publish a case; its uuid. The first one makes the module that diagnoses."""
    if "diag" not in desk.engine.modules:
        desk.add("diag", Probe())
    services = desk.engine.modules["diag"].services
    one = services.open_case(f"k{len(desk.engine.docket.cases)}")
    if evidence is not None:
        desk.log_events(evidence)
        one.add_ereport(evidence)
    for suspect in suspects:
        one.add_suspect(suspect)
    one.solve(code, severity=severity, urgency="now")
    desk.settle()
    return one.uuid
