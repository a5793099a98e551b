"""From findings to ereports: what only the core knows is added here (identity, interval, ENA, trust, residue)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pcifma.event.ereport import Ereport
from pcifma.event.identity import ena, ereport_uuid, utc
from pcifma.event.value import FABRIC_CLASS, MODULE_CLASS, UNREAD_CLASS, PayloadValue
from pcifma.fabric import fmri
from pcifma.fabric.address import owner
from pcifma.fabric.fabric import Fabric
from pcifma.plugin.guard import line
from pcifma.plugin.watch import HOST, Evidence, Finding, Target
from pcifma.poll import record
from pcifma.poll.subject import Moment, Seen, Subject
from pcifma.regs import catalogue
from pcifma.regs.table import Location

_GUEST_DRIVERS = frozenset({"vfio-pci", "pciback", "xen-pciback"})


class Maker:
    """Makes the ereports of one host and boot. *snapshot* and *seq* go on from what the log last held."""

    def __init__(self, host: str, boot: str, fabric: Fabric, *, snapshot: int = 1, seq: int = 1) -> None:
        self.host, self.boot, self.fabric = host, boot, fabric
        self.snapshot, self.seq = snapshot, seq

    def snapshot_of(self, subject: Subject, words: Mapping[tuple[Target, Location], int], seen: Seen) -> Ereport:
        """The raw record that stands before the ereports of its snapshot."""
        assert subject.function is not None
        finding = Finding(
            FABRIC_CLASS, Evidence(subject.target, "fabric", 0), "info", record.payload(subject.function, subject.target, words)
        )
        return self.ereport(finding, subject, seen, occurrence=self.snapshot)

    def unread(self, subject: Subject, reason: str, remedy: str, seen: Seen, *, occurrence: int) -> Ereport:
        """The ereport that says that a Function could not be looked at; never an error of the device."""
        payload: dict[str, PayloadValue] = {"reason": reason, "remedy": remedy}
        finding = Finding(UNREAD_CLASS, Evidence(subject.target, f"unread:{reason}", 0), "info", payload)
        return self.ereport(finding, subject, seen, occurrence=occurrence)

    def module(self, name: str, error: BaseException, when: Moment) -> Ereport:
        """The ereport of a plugin that was set aside."""
        payload: dict[str, PayloadValue] = {"module": name, "error": line(error)}
        finding = Finding(MODULE_CLASS, Evidence(HOST, f"module:{name}", 0), "info", payload)
        return self.ereport(finding, Subject(HOST, str(HOST), None), Seen(when, None, False), occurrence=when.boot_ns)

    def ereport(
        self, finding: Finding, subject: Subject, seen: Seen, *, occurrence: int, plugin: str = "core", sources: Sequence[str] = ("poll",)
    ) -> Ereport:
        """The ereport of one finding: the *occurrence*-th rise of its bit in this boot; *sources* are the ways in which it was seen."""
        residue = finding.residue and seen.first_look
        seq, self.seq = self.seq, self.seq + 1
        function, evidence = subject.function, finding.evidence
        return Ereport(
            class_=finding.class_,
            uuid=ereport_uuid(self.host, self.boot, subject.identity, str(evidence.location), evidence.bit, occurrence=occurrence),
            host=self.host,
            boot=self.boot,
            seq=seq,
            tick=seen.when.tick,
            time=utc(seen.when.wall_ns),
            not_before=None if seen.not_before_ns is None else utc(seen.not_before_ns),
            count=finding.count,
            first_look=seen.first_look,
            residue=residue,
            ena=ena(self.snapshot),
            device=str(subject.target),
            detector=_detector(self.fabric, subject),
            resource=fmri.hc(self.fabric, function) if function is not None else f"hc:///{subject.target}",
            fabric=self.fabric.id,
            severity="info" if residue else finding.severity,
            plugin=plugin,
            sources=list(sources),
            trust="guest" if function is not None and function.driver in _GUEST_DRIVERS else "host",
            payload=self._located(dict(finding.payload)),
        )

    def _located(self, payload: dict[str, PayloadValue]) -> dict[str, PayloadValue]:
        # A Header Log names an address; the fabric knows whose it is.
        address = payload.get("tlp-address")
        target = owner(self.fabric, int(address, 16)) if isinstance(address, str) and "tlp-target" not in payload else None
        return payload if target is None else {**payload, "tlp-target": str(target.bdf)}


def described(finding: Finding, word: int | None) -> Finding:
    """*finding* with the payload that every ereport of a bit has: register, bit, name, and *word*, the raw value."""
    evidence = finding.evidence
    payload: dict[str, PayloadValue] = {"register": str(evidence.location), "bit": evidence.bit}
    row = catalogue.register_at(evidence.location) if isinstance(evidence.location, Location) else None
    field = row[1].field_at(evidence.bit) if row is not None else None
    if field is not None:
        payload["name"] = field.title
    if word is not None:
        payload["value"] = word
    return finding._replace(payload=payload | dict(finding.payload))


def _detector(fabric: Fabric, subject: Subject) -> dict[str, str]:
    if subject.function is not None:
        return fmri.detector(fabric, subject.function)
    if subject.target.kind == "cpu":
        return {"scheme": "cpu", "cpuid": subject.target.name}
    if subject.target.kind == "domain":
        return {"scheme": "xen", "domid": subject.target.name}
    return {"scheme": "dev", "device-path": f"/{subject.target}"}
