"""A fault that another fault manager has diagnosed, and a log shows, as the case event of contract 2."""

from __future__ import annotations

import re

from pcifma.access.kernlog.report import FmaFault
from pcifma.event.case import ListEvent, Suspect, SuspectStatus, Urgency
from pcifma.event.identity import ereport_uuid, utc
from pcifma.poll.ereport import Maker
from pcifma.poll.subject import Moment

_URGENCY: dict[str, Urgency] = {"critical": "now", "minor": "never-mind"}
_HC = re.compile(r"hc:/[^\s()]+")
_LABEL = re.compile(r'"([^"]{1,80})"')


def case(fault: FmaFault, maker: Maker, when: Moment) -> ListEvent:
    """*fault* as list.suspect; suspects come most certain first, as everywhere."""
    seq, maker.seq = maker.seq, maker.seq + 1
    time = utc(when.wall_ns)
    return ListEvent(
        class_="list.suspect",
        uuid=fault.uuid,
        event=ereport_uuid(maker.host, maker.boot, fault.uuid, "log:fma", 0, occurrence=when.tick),
        host=maker.host,
        seq=seq,
        time=time,
        diag_time=time,
        de={"scheme": "fmd", "authority": maker.host},
        code=fault.code,
        severity=fault.severity.lower() or "major",
        urgency=_URGENCY.get(fault.severity.lower(), "working-hours"),
        fault_list=[_suspect(fault, *entry) for entry in sorted(fault.classes, key=lambda entry: -entry[1])],
        ereports=[],
    )


def _suspect(fault: FmaFault, class_: str, certainty: int) -> Suspect:
    asru = next((name for name in fault.affects if name.startswith("dev:")), fault.affects[0] if fault.affects else "")
    resource = next((name for name in fault.affects if name.startswith("hc:")), asru)
    fru, label = _HC.search(fault.fru), _LABEL.search(fault.fru)
    return Suspect(
        class_=class_,
        certainty=certainty,
        status=_status(fault.state),
        device=asru.removeprefix("dev:").replace("////", "/"),
        asru=asru,
        fru=fru[0] if fru else "",
        location=label[1] if label else "",
        resource=resource,
    )


_STATES: tuple[tuple[str, SuspectStatus], ...] = (
    ("repaired", "repaired"),
    ("acquitted", "acquitted"),
    ("replaced", "replaced"),
    ("degraded", "degraded"),
)


def _status(state: str) -> SuspectStatus:
    return next((status for word, status in _STATES if word in state), "faulty")
