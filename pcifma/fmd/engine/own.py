"""Ereports that the daemon makes itself: of modules that failed, and for modules that post."""

from __future__ import annotations

from pcifma.access.seam import Clock
from pcifma.errors import PluginError
from pcifma.event.ereport import Ereport
from pcifma.event.identity import ena, ereport_uuid, utc
from pcifma.event.value import PayloadValue
from pcifma.fabric.fabric import Fabric
from pcifma.fabric.fmri import detector, hc
from pcifma.fmd.engine.cache import target_of
from pcifma.fmd.log.row import arrival
from pcifma.plugin.guard import line
from pcifma.plugin.watch import HOST, Evidence, Finding


class Author:
    """Makes ereports in the name of this host, boot and daemon."""

    def __init__(self, clock: Clock, *, host: str, boot: str) -> None:
        self._clock = clock
        self._host = host
        self._boot = boot

    def failure(self, fabric: Fabric, module: str, err: BaseException) -> Ereport:
        """`ereport.pcifma.module`: *module* was set aside because of *err*."""
        evidence = Evidence(HOST, f"module:{module}", 0)
        finding = Finding("ereport.pcifma.module", evidence, "info", {"module": module, "error": line(err)})
        return self.ereport(fabric, module, finding, self._clock.boot_ns())

    def ereport(self, fabric: Fabric, module: str, finding: Finding, occurrence: int) -> Ereport:
        """The ereport of *finding* by *module*; PluginError if it cannot be logged as it is."""
        evidence = finding.evidence
        device = str(evidence.target)
        target = target_of(fabric, device)
        register = str(evidence.location)
        payload: dict[str, PayloadValue] = {"register": register, "bit": evidence.bit, **finding.payload}
        where, resource = _names(fabric, evidence, module)
        event = Ereport(
            class_=finding.class_,
            uuid=ereport_uuid(self._host, self._boot, f"{module}\0{target}", register, evidence.bit, occurrence=occurrence),
            host=self._host,
            boot=self._boot,
            seq=0,
            tick=0,
            time=utc(self._clock.wall_ns()),
            not_before=None,
            count=finding.count,
            first_look=False,
            residue=finding.residue,
            ena=ena(occurrence),
            device=device,
            detector=where,
            resource=resource,
            fabric=fabric.id,
            severity=finding.severity,
            plugin=module,
            sources=["module"],
            trust="host",
            payload=payload,
        )
        return _loggable(event, module)


def _names(fabric: Fabric, evidence: Evidence, module: str) -> tuple[dict[str, str], str]:
    function = fabric.get(evidence.target.bdf) if evidence.target.kind == "function" else None
    if function is None:
        return {"scheme": "fmd", "mod-name": module}, f"fmd:///module={module}"
    return detector(fabric, function), hc(fabric, function)


def _loggable(event: Ereport, module: str) -> Ereport:
    try:
        arrival(event, 0)
    except (ValueError, TypeError, AttributeError) as err:
        raise PluginError(f"module {module}: the ereport that it posts cannot be logged: {err}") from err
    return event
