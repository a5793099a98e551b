"""Failed and slow hypercalls of dom0's control tools, with the domain they were meant for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from pcifma.plugin import HOST, Evidence, Fabric, Finding, Host, PayloadValue, Record, Snapshot, Target, Watch, load_data

STREAM = "hypercall"
_RULES = load_data(Path(__file__).with_name("call.yaml"))
_SECOND_US = 1_000_000
_FAILED, _SLOW = 0, 1


def watches(fabric: Fabric, host: Host) -> Iterable[Watch]:
    """Records alone, of any domain and of the host."""
    yield Watch(HOST, tier="event")
    yield Watch(Target("domain", "*"), tier="event")


def normalise(now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
    """One finding for each call that failed, or took longer than its kind may."""
    record = now.record
    if record is None or record.stream != STREAM:
        return
    if "lost" in record.fields:
        yield _lost(record.fields["lost"], now.target)
        return
    yield from _findings(record, now.target)


def _findings(record: Record, target: Target) -> Iterator[Finding]:
    fields = record.fields
    call = f"{fields.get('hypercall', '?')}.{fields.get('operation', '?')}"
    payload = _payload(fields)
    if "error" in fields and not _is_ordinary(call, fields["error"]):
        yield Finding("ereport.xpv.hypercall.failed", Evidence(target, f"hypercall:{call}", _FAILED), "info", payload)
    allowed_s = _allowed_s(call)
    if int(fields.get("latency_us", "0")) > allowed_s * _SECOND_US:
        said = payload | {"allowed-s": allowed_s}
        yield Finding("ereport.xpv.hypercall.slow", Evidence(target, f"hypercall:{call}", _SLOW), "info", said)


def _payload(fields: Mapping[str, str]) -> dict[str, PayloadValue]:
    words: dict[str, PayloadValue] = {key: fields[key] for key in ("hypercall", "operation", "error", "comm") if key in fields}
    numbers: dict[str, PayloadValue] = {
        key.replace("_", "-"): int(fields[key]) for key in ("domain", "result", "latency_us", "tid") if key in fields
    }
    return words | numbers


def _is_ordinary(call: str, error: str) -> bool:
    return any(fnmatchcase(call, row["call"]) and error in row["errors"] for row in _RULES["ordinary"])


def _allowed_s(call: str) -> int:
    return next(int(row["seconds"]) for row in _RULES["slow"] if fnmatchcase(call, row["call"]))


def _lost(lost: str, target: Target) -> Finding:
    payload: dict[str, PayloadValue] = {"stream": STREAM, "records": int(lost) if lost.isdecimal() else 1}
    return Finding("ereport.pcifma.lost", Evidence(target, f"stream:{STREAM}", 0), "info", payload)
