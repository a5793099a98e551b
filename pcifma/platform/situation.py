"""All that the reporting path is judged by, put together once: registers, platform, owners, services, interrupts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from pcifma.access.seam import Machine
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.function import Function
from pcifma.platform.hypervisor import Platform, detect
from pcifma.platform.interrupt import Interrupt, conditions, interrupt
from pcifma.platform.owner import SERVING, Root, Verdict, assumed, judge, root_of, services
from pcifma.platform.reason import Bits, Change, Ownership, Served
from pcifma.platform.view import View
from pcifma.regs.aer import AER
from pcifma.regs.bdf import Bdf
from pcifma.regs.exp import EXP

_SERVICE_NS = 50_000_000  # a handler that has not cleared Root Error Status by then is none


@dataclass(frozen=True, slots=True)
class Situation:
    """*services* are the drivers bound at each port, *standing* the Root Error Status bits that its handler leaves set, *adoption*
    what changes once Linux owns AER everywhere.
    """

    view: View
    platform: Platform
    owners: Mapping[Root, Verdict]
    services: Mapping[str, tuple[str, ...]]
    interrupts: Mapping[Bdf, Interrupt]
    standing: Mapping[Bdf, int]
    adoption: tuple[Change, ...]

    @property
    def fabric(self) -> Fabric:
        """The fabric that is judged."""
        return self.view.fabric

    def owner(self, function: Function) -> Verdict:
        """Who owns AER at the host bridge above *function*."""
        return self.owners[root_of(self.fabric, function)]

    def attached(self, port: Function) -> bool:
        """True if the AER service is bound at *port* (a fixture that states the owner states that too)."""
        if "owner" in self.view.machine.platform or self.view.assumed_service(port) is not None:
            return True
        return "aer" in self.services.get(str(port.bdf), ())

    def assuming(self, changes: tuple[Change, ...]) -> Situation:
        """The situation with *changes* made."""
        view = self.view.assuming(changes)
        touched = [port for bdf in self.interrupts if view.touches(port := self.fabric[bdf])]
        return replace(
            self,
            view=view,
            owners={root: assumed(view, root, verdict) for root, verdict in self.owners.items()},
            interrupts={**self.interrupts, **{port.bdf: interrupt(view, port) for port in touched}},
            standing={**self.standing, **{port.bdf: self.standing.get(port.bdf, 0) & conditions(view, port) for port in touched}},
        )


def situation(machine: Machine, fabric: Fabric) -> Situation:
    """Look at *machine* once; registers are read as the path asks for them."""
    view = View(machine, fabric)
    platform = detect(machine, fabric)
    bound = services(machine.host)
    owners = judge(view, platform, bound)
    ports = [f for f in fabric if f.dev_type in SERVING]
    interrupts = {port.bdf: interrupt(view, port) for port in ports}
    served = [port for port in ports if "aer" in bound.get(str(port.bdf), ())]
    return Situation(view, platform, owners, bound, interrupts, _standing(view, served), tuple(_adoption(fabric, owners)))


def _standing(view: View, served: list[Function]) -> dict[Bdf, int]:
    # A handler that is just at work is waited for, once for all ports.
    found = {port.bdf: status for port in served if (status := conditions(view, port))}
    if found and view.machine.kind == "live":
        view.machine.clock.wait_until(view.machine.clock.boot_ns() + _SERVICE_NS)
        found = {bdf: status & conditions(View(view.machine, view.fabric), view.fabric[bdf]) for bdf, status in found.items()}
    return found


def _adoption(fabric: Fabric, owners: Mapping[Root, Verdict]) -> Iterator[Change]:
    # What Linux does where it owns AER: serve each port that has it, and since 6.0 let every Function report.
    for root in owners:
        yield Ownership(root, "native")
    for function in fabric:
        if function.dev_type in SERVING and function.offset_of(AER.name) is not None:
            yield Served(function.bdf)
            yield Bits(function.bdf, AER.location(AER["root_error_command"]), set=7)
        if function.dev_type is not None:
            yield Bits(function.bdf, EXP.location(EXP["device_control"]), set=0xF)
