"""The coverage of a whole machine: one line a Function, with the reasons behind it, and what would help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property

from msgspec import UNSET

from pcifma.access.seam import Machine
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.function import Function
from pcifma.platform.coverage import Coverage, CoverageSummary, Heard, Help
from pcifma.platform.guest import given_away, guests
from pcifma.platform.path import heard, masked, reasons, served_by
from pcifma.platform.plan import plan, sees
from pcifma.platform.reason import Reason
from pcifma.platform.remedy import Advice, Step, rank
from pcifma.platform.rival import edac_clears, rivals
from pcifma.platform.situation import Situation, situation
from pcifma.platform.telemetry import telemetry
from pcifma.platform.waiver import Waiver
from pcifma.regs.exp import DevType

_TYPES = {
    DevType.ENDPOINT: "endpoint", DevType.LEGACY_ENDPOINT: "legacy_endpoint", DevType.ROOT_PORT: "root_port",
    DevType.UPSTREAM_PORT: "upstream_port", DevType.DOWNSTREAM_PORT: "downstream_port", DevType.PCIE_TO_PCI_BRIDGE: "pcie_to_pci_bridge",
    DevType.PCI_TO_PCIE_BRIDGE: "pci_to_pcie_bridge", DevType.RCIEP: "rciep", DevType.RCEC: "rcec",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """One Function: what the contract says of it, and every *why* as an object."""

    function: Function
    coverage: Coverage
    why: tuple[Reason, ...]

    @property
    def heard(self) -> bool:
        """True if every severity is heard."""
        found = self.coverage.heard
        return all((found.correctable, found.nonfatal, found.fatal))

    @property
    def deaf(self) -> bool:
        """True if a severity is surely not heard and no waiver covers that."""
        found = self.coverage.heard
        return False in (found.correctable, found.nonfatal, found.fatal) and self.coverage.waived is UNSET


@dataclass(frozen=True)
class Survey:
    """*lines* in address order; *advice* is what would help, worked out when it is asked for."""

    situation: Situation
    lines: tuple[Line, ...]

    @cached_property
    def advice(self) -> Advice:
        """What would help those that are not heard."""
        return rank(self.situation, {line.function.bdf: list(line.why) for line in self.lines if not line.heard})

    def summary(self) -> CoverageSummary:
        """The trailer."""
        platform = self.situation.platform
        deaf, loud = sum(line.deaf for line in self.lines), sum(line.heard for line in self.lines)
        waived = sum(line.coverage.waived is not UNSET for line in self.lines)
        unread: dict[str, int] = {}
        for line in self.lines:
            if line.function.unread:
                unread[line.function.unread] = unread.get(line.function.unread, 0) + 1
        return CoverageSummary(
            hypervisor=platform.hypervisor,
            role=platform.role,
            functions=len(self.lines),
            heard=loud,
            deaf=deaf,
            unknown=len(self.lines) - loud - deaf - waived,
            waived=waived,
            unread=dict(sorted(unread.items())),
            signs=list(platform.signs),
            invisible=list(platform.invisible),
            help=[_help(step) for step in self.advice.steps],
            machine_checks=telemetry(self.situation.view.machine.host, platform),
        )


def survey(machine: Machine, fabric: Fabric, *, waivers: Sequence[Waiver] = (), may_clear: bool = False) -> Survey:
    """Judge every Function of *machine*. Nothing is written; what sleeps is not read."""
    case = situation(machine, fabric)
    today = datetime.fromtimestamp(machine.clock.wall_ns() / 1e9, UTC).date()
    owned = guests(machine.host, fabric)
    edac = edac_clears(machine.host)
    lines = tuple(_line(case, function, owned, edac=edac, waivers=_current(waivers, today), may_clear=may_clear) for function in fabric)
    return Survey(case, lines)


def _current(waivers: Sequence[Waiver], today: date) -> list[Waiver]:
    return [w for w in waivers if today <= w.until]


def _line(case: Situation, function: Function, owned: Mapping[str, str], *, edac: bool, waivers: Sequence[Waiver], may_clear: bool) -> Line:
    why = reasons(case, function)
    verdict = Heard(**heard(why))
    bridge, given = case.owner(function), given_away(function)
    partly = masked(case, function) if not function.unread else []
    actions = plan(function, bridge.owner, verdict, given=given, polled=bool(partly), may_clear=may_clear)
    port = served_by(case.fabric, function)
    guest = owned.get(str(function.bdf), "")
    waiver = next((w for w in waivers if w.covers(function, why)), None)
    coverage = Coverage(
        device=str(function.bdf),
        type=type_of(function),
        hypervisor=case.platform.hypervisor,
        role=case.platform.role,
        owner="guest" if given else bridge.owner,
        served_by=str(port.bdf) if port is not None else None,
        msi=case.interrupts[port.bdf].state if port is not None else None,
        heard=verdict,
        sees=sees(bridge.owner, verdict, actions),
        why=list(dict.fromkeys([*(r.text for r in why), *partly])),
        plan=actions,
        guest=guest or UNSET,
        dpc=bridge.dpc,
        rivals=rivals(case.fabric, function, case.services, edac=edac, guest=guest),
        waived=waiver.text if waiver is not None and False in (verdict.correctable, verdict.nonfatal, verdict.fatal) else UNSET,
    )
    return Line(function, coverage, tuple(why))


def type_of(function: Function) -> str:
    """Contract 4's word for what *function* is."""
    if function.dev_type is not None:
        return _TYPES.get(DevType(function.dev_type), "unknown") if function.dev_type in set(DevType) else "unknown"
    if function.unread:
        return "unknown"
    return "pci_bridge" if function.header_type else "pci"


def _help(step: Step) -> Help:
    risks = dict.fromkeys(r.risk for r in step.remedies if r.risk)
    return Help(do=[r.text for r in step.remedies], opens=len(step.opens), risk="; ".join(risks))
