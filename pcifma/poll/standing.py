"""The bits that stand now, with what their plugins say of them: class, severity, mask. Nothing is read for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pcifma.plugin.status import LatchedBit
from pcifma.plugin.watch import Finding, Snapshot
from pcifma.poll.latched import LatchedSet
from pcifma.poll.target import Sourced, Watched

Key = tuple[str, int]


class Standings:
    """Asks the plugins about the last snapshot of each target that something stands at, once for each snapshot."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Snapshot, dict[Key, Finding]]] = {}

    def now(self, targets: Iterable[Watched], latched: LatchedSet) -> list[LatchedBit]:
        """What stands at *targets*, in their order. Evidence that no plugin speaks of any more is left out."""
        found: list[LatchedBit] = []
        known: dict[str, tuple[Snapshot, dict[Key, Finding]]] = {}
        for target in targets:
            rows = latched.standing(target.subject.identity)
            if not rows or target.before is None:
                continue
            kept = self._known.get(target.subject.identity)
            findings = kept[1] if kept is not None and kept[0] is target.before else dict(_findings(target, target.before))
            known[target.subject.identity] = (target.before, findings)
            found += [_bit(finding) for row in rows if (finding := findings.get((row.register, row.bit))) is not None]
        self._known = known
        return found


def _findings(target: Watched, now: Snapshot) -> Iterator[tuple[Key, Finding]]:
    for watcher in target.watchers():
        for finding in watcher.guard.call(_normalise, watcher.plugin, now) or ():
            yield (str(finding.evidence.location), finding.evidence.bit), finding


def _normalise(plugin: Sourced, now: Snapshot) -> list[Finding]:
    return list(plugin.source.normalise(now, now))


def _bit(finding: Finding) -> LatchedBit:
    return LatchedBit(
        device=str(finding.evidence.target),
        register=str(finding.evidence.location),
        bit=finding.evidence.bit,
        class_=finding.class_,
        severity="info" if finding.residue else finding.severity,
        masked=finding.payload.get("masked") is True,
        residue=finding.residue,
    )
