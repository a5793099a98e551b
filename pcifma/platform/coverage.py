"""For each Function: who would hear an error message from it, and why not. Contract 4.3."""

from __future__ import annotations

from typing import Literal

import msgspec

Owner = Literal["native", "firmware", "none", "guest", "hidden", "unknown"]
MsiState = Literal["on", "off", "intx", "absent", "broken"]
Sees = Literal["each", "first-only"]
Action = Literal["listen", "poll", "clear"]


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a message of each severity reaches somebody; None where that cannot be known from here (`why` says so)."""

    correctable: bool | None
    nonfatal: bool | None
    fatal: bool | None


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `pcifma coverage --json`. *served_by* is the Root Port or RCEC whose interrupt would tell; *msi* is its
    state. *plan* is empty where the Function is skipped, and has `poll` whenever a `heard` is not true. *dpc* owns Downstream
    Port Containment above it; *rivals* clear status bits of their own accord; *guest* is who it is given to.
    """

    class_: Literal["coverage"] = msgspec.field(name="class", default="coverage")
    version: int = 1
    device: str
    type: str
    hypervisor: str
    role: str
    owner: Owner
    served_by: str | None
    msi: MsiState | None
    heard: Heard
    sees: Sees
    why: list[str]
    plan: list[Action]
    guest: str | msgspec.UnsetType = msgspec.UNSET
    dpc: Owner | msgspec.UnsetType = msgspec.UNSET
    rivals: list[str] = []
    waived: str | msgspec.UnsetType = msgspec.UNSET


class Help(msgspec.Struct, frozen=True, kw_only=True):
    """What would help: *do* (in this order), how many Functions it opens for at least one severity, and what it risks."""

    do: list[str]
    opens: int
    risk: str = ""


TelemetryWay = Literal["tracepoint", "mcelog", "hypercall", "msr", "none"]


class MachineChecks(msgspec.Struct, frozen=True, kw_only=True):
    """Whether errors of processors and memory get here, corrected and uncorrected ones; None where that cannot be known (`why` says
    so). *by* is the way they take, *help* what would open it.
    """

    corrected: bool | None
    uncorrected: bool | None
    by: TelemetryWay
    why: list[str]
    help: list[str]


class CoverageSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The trailer of `coverage --json`. *heard*: Functions whose every severity is heard; *deaf*: one at least surely is not, and no
    waiver covers it; *unknown*: the rest. *signs* are what the platform was told by, *invisible* what never gets here,
    *machine_checks* whether errors of processors and memory do.
    """

    class_: Literal["coverage.summary"] = msgspec.field(name="class", default="coverage.summary")
    version: int = 1
    hypervisor: str
    role: str
    functions: int
    heard: int
    deaf: int
    unknown: int
    waived: int
    unread: dict[str, int]
    signs: list[str]
    invisible: list[str]
    help: list[Help]
    machine_checks: MachineChecks | msgspec.UnsetType = msgspec.UNSET
