"""A case as illumos's list events say it: suspect list, certainty, status. Contract 4.1."""

from __future__ import annotations

from typing import Literal

import msgspec

ListClass = Literal["list.suspect", "list.updated", "list.isolated", "list.repaired", "list.resolved"]
Urgency = Literal["now", "working-hours", "never-mind"]
SuspectStatus = Literal["faulty", "unusable", "not-present", "degraded", "repaired", "replaced", "acquitted"]


class Suspect(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a fault-list. *certainty* in percent; *asru*, *fru*, *resource* are FMRIs; *location* is the slot's label."""

    class_: str = msgspec.field(name="class")
    certainty: int
    status: SuspectStatus
    device: str
    asru: str
    fru: str
    location: str
    resource: str


class ListEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A case event; *uuid* is the case's, *event* its own. Suspects most certain first. *follows*: the case repaired there."""

    class_: ListClass = msgspec.field(name="class")
    version: int = 1
    uuid: str
    event: str
    host: str
    seq: int
    time: str
    diag_time: str = msgspec.field(name="diag-time")
    de: dict[str, str]
    code: str
    severity: str
    urgency: Urgency
    fault_list: list[Suspect] = msgspec.field(name="fault-list")
    ereports: list[str]
    rules: str | msgspec.UnsetType = msgspec.UNSET
    follows: str | msgspec.UnsetType = msgspec.UNSET
    injected: bool | msgspec.UnsetType = msgspec.UNSET
