"""What a bundle holds: one function a file, all of them made from the log and from what the daemon showed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from pcifma import __version__
from pcifma.access.redact import redacted_file, without_serial
from pcifma.access.rows import format_device
from pcifma.cli.explain import chain
from pcifma.cli.explain_sheet import words
from pcifma.cli.ledger import TITLE, line, record
from pcifma.cli.pseudonym import Pseudonyms
from pcifma.cli.text import clean
from pcifma.event.case import ListEvent
from pcifma.event.ereport import Ereport
from pcifma.event.identity import utc
from pcifma.event.line import encode
from pcifma.event.value import PayloadValue
from pcifma.event.written import encode_written
from pcifma.fmd.engine.case import CaseRecord
from pcifma.fmd.log.batch import RegisterWrite
from pcifma.fmd.log.reader import Reader
from pcifma.fmd.log.row import wall_of
from pcifma.regs.bdf import Bdf

_ABOUT = {
    "case.txt": "the case in words: suspects, the chain from the fault to each ereport, what operators said",
    "case.json": "the same as JSON: the case's list events, oldest first",
    "timeline.txt": "when each error can have happened: a poller knows an interval, not an instant",
    "ereports.jsonl": "each ereport that the case stands on, and the raw snapshot that it came from",
    "registers-logged.txt": "the registers as they were when each error was seen, and each write since, before and after",
    "registers-now.lspci": "the registers as they are now, as `lspci -xxxx` prints them; bytes that were not read are left out",
    "parts.json": "the Functions concerned: ids, slot, serial, driver, what is above them",
    "machine.json": "firmware, board, kernel, hypervisor, links and error counts",
    "writes.jsonl": "every register that pcifma wrote on these Functions",
}
REGISTERS = "registers-now.lspci"


@dataclass(frozen=True, slots=True)
class Bundle:
    """*files* by name; *mtime* (s since 1970) is when the newest of what they tell happened."""

    files: dict[str, str]
    mtime: int


@dataclass(frozen=True, slots=True)
class _Case:
    # Everything that the log has of one case.
    record: CaseRecord
    chain: dict[str, Any]
    lists: list[ListEvent]
    ereports: list[Ereport]
    snapshots: list[Ereport]
    parts: dict[str, dict[str, Any]]
    writes: list[RegisterWrite]

    @property
    def devices(self) -> list[str]:
        return sorted({event.device for event in self.ereports} | {suspect.device for suspect in self.record.suspects})


def members(log: Reader, case: CaseRecord, shown: Mapping[str, Any], why: str, *, redact: bool) -> Bundle:
    """The files of *case*; *shown* is the daemon's exhibit, or what is known without it, and then *why* says what is missing."""
    found = _of(log, case, shown)
    names = Pseudonyms()
    if redact:
        _identify(names, found, shown)
    files = {
        "case.txt": _text(_case_text(found)),
        "case.json": _json({"case": case.uuid, "lists": _builtins(found.lists), "remarks": case.remarks, "chain": found.chain}),
        "timeline.txt": _text(_timeline(found)),
        "ereports.jsonl": _text(encode(event).decode() for event in _merged(found)),
        "registers-logged.txt": _text(_logged(found)),
        "parts.json": _json(found.parts),
        "machine.json": _json(_machine(shown, redact=redact)),
        "writes.jsonl": _text(encode_written(record(row)) for row in found.writes),
    }
    files = {name: names.text(text) for name, text in files.items()}
    if shown.get("registers"):
        files[REGISTERS] = "".join(_registers(shown["registers"], names))
    files["README.txt"] = _text(_readme(found, files, names.text(why), redact=redact))
    newest = max([wall_of(event.time) for event in found.lists] + [row.wall_ns for row in found.writes], default=0)
    return Bundle(files, newest // 1_000_000_000)


def _of(log: Reader, case: CaseRecord, shown: Mapping[str, Any]) -> _Case:
    ereports = log.errors(list(log.evidence(case.id)))
    fabrics = [kept for name in dict.fromkeys(event.fabric for event in ereports) if (kept := log.fabric(name)) is not None]
    known: dict[str, dict[str, Any]] = {}
    for kept in fabrics:
        known |= msgspec.json.decode(kept.body)
    known |= shown.get("fabric", {})
    devices = {event.device for event in ereports} | {suspect.device for suspect in case.suspects}
    devices |= {str(one["device"]) for one in shown.get("registers", ())}
    guests = shown.get("guests", {})
    parts = {device: {**known[device], "guest": guests.get(device)} for device in sorted(devices) if device in known}
    writes = [row for row in log.writes() if row.device in devices]
    snapshots = log.snapshots(ereports) if ereports else []
    return _Case(case, chain(log, case), list(log.lists(case.uuid)), ereports, snapshots, parts, writes)


def _identify(names: Pseudonyms, found: _Case, shown: Mapping[str, Any]) -> None:
    facts = shown.get("facts", {})
    hosts = {event.host for event in found.lists} | {event.host for event in found.ereports}
    hosts |= {str(shown.get("host", "")), str(facts.get("/proc/sys/kernel/hostname", ""))}
    names.add("host", {label for host in hosts for label in (host, host.partition(".")[0])})
    names.add("boot", {event.boot for event in found.ereports} | {row.boot for row in found.writes})
    # `web-12 (dom 7)`: the name by itself tells as much.
    names.add("guest", {name for text in shown.get("guests", {}).values() for name in (text, text.partition(" (")[0])})
    serials = {part.get("serial") for part in (*found.parts.values(), *shown.get("fabric", {}).values())}
    for serial in sorted(serial for serial in serials if isinstance(serial, str)):
        names.add_serial(serial)


def _merged(found: _Case) -> list[Ereport]:
    return sorted([*found.snapshots, *found.ereports], key=lambda event: event.seq)


def _case_text(found: _Case) -> Iterator[str]:
    case = found.record
    yield f"{case.severity}  {case.code}  urgency {case.urgency}  diagnosed {case.diag_time}"
    yield from words(case, found.chain, found.ereports)
    if case.follows:
        yield f"follows the repair of case {case.follows}"
    for suspect in case.suspects:
        part = found.parts.get(suspect.device, {})
        ids = f"{part['vendor']:04x}:{part['device']:04x}" if part else "?"
        slot = clean(str(part.get("slot") or "unknown"))
        yield f"{suspect.device}  {ids}  serial {part.get('serial') or 'none'}  slot {slot}  {suspect.status}"
    yield from (f"said: {clean(remark)}" for remark in case.remarks)


def _timeline(found: _Case) -> Iterator[str]:
    yield "BETWEEN                        AND                            WHAT"
    rows: list[tuple[str, str, str]] = []
    for event in found.ereports:
        times = f" x{event.count}" if event.count > 1 else ""
        first = event.first if isinstance(event.first, str) else event.not_before or "(unknown)"
        rows.append((event.last if isinstance(event.last, str) else event.time, first, f"{event.class_} at {event.device}{times}"))
    rows += [(event.time, event.time, f"{event.class_} {event.code}") for event in found.lists]
    rows += [(utc(row.wall_ns), utc(row.wall_ns), f"wrote {row.register} of {row.device}") for row in found.writes]
    yield from (f"{first:<30} {last:<30} {clean(what)}" for last, first, what in sorted(rows))


def _logged(found: _Case) -> Iterator[str]:
    for event in found.snapshots:
        yield f"{event.device}  seen {event.time}, last look before: {event.not_before or 'none'}  snapshot {event.ena}"
        for name, value in event.payload.items():
            yield f"    {name:<20} {_word(value)}"
    if found.writes:
        yield from (TITLE, *map(line, found.writes))


def _word(value: PayloadValue) -> str:
    if isinstance(value, list):
        return clean(" ".join(map(str, value)), 2000)
    return f"{value:#x}" if isinstance(value, int) else clean(str(value))


def _registers(shown: Iterable[Mapping[str, Any]], names: Pseudonyms) -> Iterator[str]:
    for one in shown:
        bdf = Bdf.parse(str(one["device"]))
        rows = {int(offset): bytes.fromhex(text) for offset, text in one["rows"].items()}
        if rows:
            yield format_device(bdf, str(one["title"]), without_serial(bdf, rows, names.serial))


def _machine(shown: Mapping[str, Any], *, redact: bool) -> dict[str, Any]:
    facts = shown.get("facts", {})
    if redact:
        facts = {path: redacted_file(path, text.encode()).decode("utf-8", "replace").strip() for path, text in facts.items()}
    unread = {str(one["device"]): str(one["unread"]) for one in shown.get("registers", ()) if one["unread"]}
    return {"pcifma": __version__, "platform": shown.get("platform"), "facts": facts, "unread": unread}


def _readme(found: _Case, files: Mapping[str, str], why: str, *, redact: bool) -> Iterator[str]:
    yield f"Case {found.record.uuid} ({found.record.code}), made by pcifma {__version__}{'; redacted' if redact else ''}"
    yield from (f"  {name:<22} {_ABOUT[name]}" for name in sorted(files) if name in _ABOUT)
    yield f"  {'SHA256SUMS':<22} of all of these"
    if redact:
        yield "Host and guest names, serial numbers and boot ids are made up: the same name stands for the same thing throughout."
    if why:
        yield why
    if found.record.more:
        yield f"{found.record.more} more ereports were counted and not kept."


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{one}\n" for one in lines)


def _json(value: object) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def _builtins(events: Iterable[ListEvent]) -> list[Any]:
    return [msgspec.to_builtins(event) for event in events]
