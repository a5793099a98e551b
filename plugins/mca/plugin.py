"""Machine checks: what a bank of a processor recorded, from whoever tells it.

The stream `mce_record` has one record an error, with the members of the kernel's tracepoint of that name; what else its source knows
(a domain, a machine frame) stands beside them. Where the kernel was told to leave the banks alone, the banks are facts (`/msr/cpuN`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from pcifma.plugin import HOST, Evidence, Fabric, Finding, Host, PayloadValue, Record, Snapshot, Target, Watch

if TYPE_CHECKING:
    from .check import Told

STREAM = "mce_record"
BANKS = "/msr/cpu"
_BANK_SHIFT = 20


def watches(fabric: Fabric, host: Host) -> Iterable[Watch]:
    """Records of any processor, and the banks of those whose banks may be read."""
    yield Watch(HOST, tier="event")
    yield Watch(Target("cpu", "*"), tier="event")
    for name in host.entries("/msr/"):
        yield Watch(Target("cpu", name.removeprefix("cpu")), facts=(f"/msr/{name}",))


def normalise(now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
    """One finding for each error: of a record, or of each bank that has one."""
    if now.record is not None:
        yield from _of_record(now.record, now.target)
        return
    for path, content in now.facts.items():
        if path.startswith(BANKS):
            yield from _of_banks(path, content or b"", now.target)


def _of_record(record: Record, target: Target) -> Iterator[Finding]:
    if record.stream != STREAM:
        return
    if "lost" in record.fields:
        yield _lost(record.fields, target)
        return
    from .check import told  # noqa: PLC0415 - tables of every processor's errors, where there is an error

    one = told(record.fields)
    if one is not None:
        yield _finding(one, Evidence(target, f"mce:bank{one.bank}", one.check.code.word))


def _of_banks(path: str, content: bytes, target: Target) -> Iterator[Finding]:
    # A bank keeps its first error until somebody clears it; that a further one came is news by its Overflow.
    from .check import told  # noqa: PLC0415 - see above

    for line in content.decode("ascii", "replace").splitlines():
        fields = dict(part.split("=", 1) for part in line.split() if "=" in part)
        one = told(fields)
        if "moved" in fields:
            yield _moved(fields["moved"], Evidence(target, path, 0))
        if one is not None:
            number = one.bank << _BANK_SHIFT | one.check.overflow << 16 | one.check.code.word
            yield _finding(one, Evidence(target, path, number))


def _finding(one: Told, evidence: Evidence) -> Finding:
    from .payload import payload  # noqa: PLC0415 - see above

    return Finding(one.check.class_, evidence, one.check.severity, payload(one), count=one.times)


def _moved(identity: str, evidence: Evidence) -> Finding:
    said: dict[str, PayloadValue] = {
        "reason": "moved",
        "identity": identity[:80],
        "remedy": "APIC id expected, before and after the reads: the processor was another one, so its banks are no evidence",
    }
    return Finding("ereport.pcifma.unread", evidence, "info", said)


def _lost(fields: Mapping[str, str], target: Target) -> Finding:
    lost, reason = fields["lost"], fields.get("reason", "more came than its buffer holds")
    said: dict[str, PayloadValue] = {"stream": STREAM, "records": int(lost) if lost.isdecimal() else 1, "reason": reason[:200]}
    return Finding("ereport.pcifma.lost", Evidence(target, f"stream:{STREAM}", 0), "info", said)
