"""A log, an engine and a module to watch them with: the bench on which the engine's tests work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from support.event import BOOT, HOST
from support.fabric import endpoint, fabric_of, root_port

from pcifma.access.clock import SimulatedClock
from pcifma.access.host import NoHost
from pcifma.event.case import ListEvent
from pcifma.event.ereport import Ereport
from pcifma.fabric.fabric import Fabric
from pcifma.fmd.engine.engine import Engine
from pcifma.fmd.engine.house import House
from pcifma.fmd.engine.module import Loaded, Registration
from pcifma.fmd.log.batch import Batch
from pcifma.fmd.log.log import Log
from pcifma.plugin.module import Module, PropertyValue, Services

NO_FABRIC = Fabric("0" * 16, {})


Recv = Callable[["Probe", Ereport | ListEvent], object]


@dataclass
class Probe:
    """A module that notes what it is given, and then does *on_recv*, *on_timeout*."""

    on_recv: Recv | None = None
    on_timeout: Callable[[Probe, str, str], object] | None = None
    events: list[Ereport | ListEvent] = field(default_factory=list)
    timeouts: list[tuple[str, str, int]] = field(default_factory=list)
    fabrics: list[Fabric] = field(default_factory=list)
    closed: int = 0
    services: Services = field(init=False)

    def open(self, services: Services) -> Module:
        self.services = services
        return self

    def recv(self, event: Ereport | ListEvent) -> None:
        self.events.append(event)
        if self.on_recv is not None:
            self.on_recv(self, event)

    def timeout(self, timer: str, data: str) -> None:
        self.timeouts.append((timer, data, self.services.now_ns()))
        if self.on_timeout is not None:
            self.on_timeout(self, timer, data)

    def close(self) -> None:
        self.closed += 1

    def stats(self) -> Mapping[str, int]:
        return {"seen": len(self.events)}

    def topo(self, fabric: Fabric) -> None:
        self.fabrics.append(fabric)

    @property
    def seqs(self) -> list[int]:
        """Seqs of the events it was given."""
        return [event.seq for event in self.events]

    @property
    def classes(self) -> list[str]:
        """Classes of the events it was given."""
        return [event.class_ for event in self.events]


@dataclass
class Desk:
    """A log at *path* and an engine on it; `restart` is a clean stop and start, `crash` one without a last checkpoint."""

    path: Path
    clock: SimulatedClock = field(default_factory=SimulatedClock)
    fabric: Fabric = NO_FABRIC
    boot: str = BOOT
    reports: list[str] = field(default_factory=list)
    house: House | None = None
    log: Log = field(init=False)
    engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Open log and engine."""
        self.log = Log.open(self.path, clock=self.clock, report=self.reports.append)
        self.engine = Engine(
            self.log, self.clock, host=HOST, boot=self.boot, facts=NoHost(), fabric=self.fabric, house=self.house, probation_ns=10**9
        )

    def add(self, name: str, probe: Probe, *globs: str, properties: Mapping[str, PropertyValue] | None = None) -> Loaded:
        """Register *probe* under *name*."""
        return self.engine.register(Registration(name, "1", probe.open, globs or ("ereport.*",), properties or {}))

    def log_events(self, *events: Ereport) -> None:
        """Make *events* durable at the clock's time."""
        assert self.log.append(Batch(boot_ns=self.clock.boot_ns(), ereports=events)).wait(60)

    def settle(self) -> None:
        """Pump until nothing moves any more, everything durable."""
        before, calm = -1, 0
        while calm < 3:
            while self.engine.pump():
                pass
            assert self.log.flush(60)
            calm = calm + 1 if before == self.log.committed else 0
            before = self.log.committed

    def crash(self) -> None:
        """Stop as a killed daemon does: what was not durable is gone, the engine's memory too."""
        self.log.close()
        self.start()

    def close(self) -> None:
        """Stop."""
        self.engine.close()
        self.log.close()

    def restart(self) -> None:
        """Stop and start."""
        self.close()
        self.start()


def slot_with(device: int = 0x1017, serial: int | None = None, *, bus: int = 4) -> Fabric:
    """A Root Port with slot 3, and below it a card of that Device ID and serial number, on that bus; device 0: the slot is empty."""
    port = root_port("0000:00:03.0", bus, bus, slot=3)
    if not device:
        return fabric_of(port)
    card = endpoint(f"0000:{bus:02x}:00.0").put(2, device, 2)
    if serial is not None:
        card.extended(0x140, 0x0003).put(0x144, serial & 0xFFFFFFFF, 4).put(0x148, serial >> 32, 4)
    return fabric_of(port, card)
