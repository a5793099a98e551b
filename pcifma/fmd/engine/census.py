"""Modules and cases as they stand, for Services.status()."""

from __future__ import annotations

from collections.abc import Iterable

from pcifma.fmd.engine.docket import Docket
from pcifma.fmd.engine.module import Loaded
from pcifma.plugin.status import CaseStatus, ModuleStatus


def modules(loaded: Iterable[Loaded]) -> tuple[ModuleStatus, ...]:
    """How each module is."""
    return tuple(
        ModuleStatus(
            name=one.name,
            version=one.registration.version,
            failed=one.failed,
            delivered=one.statistics.delivered,
            dropped=one.statistics.dropped,
        )
        for one in loaded
    )


def cases(docket: Docket) -> tuple[CaseStatus, ...]:
    """The cases that somebody was told of, and that are not over, oldest first."""
    records = sorted((case.record for case in docket.cases.values()), key=lambda record: record.id)
    return tuple(
        CaseStatus(
            uuid=record.uuid,
            code=record.code,
            state=record.state,
            severity=record.severity,
            urgency=record.urgency,
            opened_ns=record.opened_wall_ns,
            suspects=tuple(record.suspects),
            injected=record.injected,
        )
        for record in records
        if record.state != "DISCARDED" and record.diag_time
    )
