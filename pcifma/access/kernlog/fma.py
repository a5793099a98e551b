"""What illumos and Solaris fault managers print: `fmadm faulty`, `fmdump -v`, the console's SUNW-MSG-ID block, `fmdump -e[V]`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from pcifma.access.kernlog.grammar import Drafts
from pcifma.access.kernlog.line import Line
from pcifma.access.kernlog.report import AnyReport, FmaEreport, FmaFault

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_CODE = r"[A-Z][A-Z0-9]{1,15}-\d{4}-[0-9A-Z]{2}"
_FAULT = re.compile(
    rf"\s{{0,8}}(?P<uuid>{_UUID}) {{1,4}}(?P<code>{_CODE})"
    r"(?: {1,8}(?!Diagnosed|Repaired|Resolved|Updated)(?P<severity>[A-Z][a-z]{2,12}))?(?: {1,8}[A-Z][a-z]{2,12})?\s*$"
)
_CONSOLE = re.compile(rf"SUNW-MSG-ID: (?P<code>{_CODE}), TYPE: [\w ]{{1,20}}, VER: \d{{1,4}}, SEVERITY: (?P<severity>\w{{2,12}})")
_EVENT_ID = re.compile(rf"EVENT-ID: (?P<uuid>{_UUID})")
_CLASS = re.compile(r"(?P<class>(?:fault|defect|upset)\.[a-z0-9.-]{3,80})(?: (?:max )?(?P<after>\d{1,3})%)?\s*$")
_PERCENT = re.compile(r"\s{0,8}(?P<certainty>\d{1,3})% {1,8}(?P<class>(?:fault|defect|upset)\.[a-z0-9.-]{3,80})\s*$")
_KEY = re.compile(
    r"\s{0,24}(?P<key>Fault class|Affects|FRU|Problem in|Problem class|Description|Response|Impact|Action|Location)\s{0,16}: ?"
    r"(?P<value>.{0,300})$"
)
_RESOURCE = re.compile(r"(?:dev|hc|mod|cpu|mem|pkg|svc|zfs):/\S{1,300}")

_EREPORT = re.compile(r"(?P<class>ereport\.[a-z0-9._-]{3,80})(?: +0x(?P<ena>[0-9a-f]{1,16}))?\s*$")
_MEMBER = re.compile(r"\s{1,64}(?P<name>[A-Za-z_][\w-]{0,40}) = (?P<value>.{0,300})$")
_NUMBER = re.compile(r"0x(?P<hex>[0-9a-fA-F]{1,16})$")
_NVLIST = re.compile(r"\s{0,64}(?:nvlist version: |\(end |\(start |[\w-]{1,40} = \()")
_MEMBERS = 256


class Fma:
    """Grammar of faults and ereports. Each stands in a block of its own, so one of each kind is under way at a time."""

    def __init__(self) -> None:
        self._faults: Drafts[str, FmaFault] = Drafts()
        self._ereports: Drafts[str, FmaEreport] = Drafts()
        self._key = ""

    def oldest(self) -> int | None:
        return min((n for n in (self._faults.oldest(), self._ereports.oldest()) if n is not None), default=None)

    def close(self) -> Iterator[AnyReport]:
        yield from (f for f in self._faults.all() if f.uuid)
        yield from self._ereports.all()

    def feed(self, line: Line) -> Iterator[AnyReport]:
        yield from (f for f in self._faults.stale(line.number) if f.uuid)
        yield from self._ereports.stale(line.number)
        if match := _FAULT.match(line.text) or _CONSOLE.search(line.text):
            yield from self._begin(line, match)
        elif match := _EREPORT.match(line.text):
            if ended := self._ereports.begin("", _ereport(line, match), line.number):
                yield ended
        elif (ereport_ := self._ereports.get("")) and (_MEMBER.match(line.text) or _NVLIST.match(line.text)):
            self._ereports.update("", _member(ereport_, line.text), line.number)
        elif fault := self._faults.get(""):
            self._faults.update("", self._detail(fault, line.text), line.number)

    def _begin(self, line: Line, match: re.Match[str]) -> Iterator[AnyReport]:
        self._key = ""
        fault = FmaFault(
            line=line.number,
            boot_ns=line.boot_ns,
            wall_ns=line.wall_ns,
            uuid=match.groupdict().get("uuid") or "",
            code=match["code"],
            severity=match["severity"] or "",
        )
        ended = self._faults.begin("", fault, line.number)
        if ended and ended.uuid:
            yield ended

    def _detail(self, fault: FmaFault, text: str) -> FmaFault:
        if match := _EVENT_ID.search(text):
            return replace(fault, uuid=match["uuid"])
        if match := _PERCENT.match(text):
            return replace(fault, classes=_classes(fault, match["class"], int(match["certainty"])))
        value = text
        if match := _KEY.match(text):
            self._key, value = match["key"], match["value"]
        return self._value(fault, value.strip())

    def _value(self, fault: FmaFault, value: str) -> FmaFault:
        if self._key in ("Fault class", "Problem class") and (match := _CLASS.match(value)):
            return replace(fault, classes=_classes(fault, match["class"], int(match["after"] or "100")))
        if self._key in ("Affects", "Problem in"):
            if match := _RESOURCE.match(value):
                known = match[0] in fault.affects or len(fault.affects) >= 64
                return fault if known else replace(fault, affects=(*fault.affects, match[0]))
            return replace(fault, state=value) if value and not fault.state else fault
        if self._key == "FRU" and value and not fault.fru:
            return replace(fault, fru=value)
        return fault


def _classes(fault: FmaFault, class_: str, certainty: int) -> tuple[tuple[str, int], ...]:
    return (*fault.classes, (class_, min(certainty, 100)))[:64]


def _ereport(line: Line, match: re.Match[str]) -> FmaEreport:
    ena = int(match["ena"], 16) if match["ena"] else None
    return FmaEreport(line=line.number, boot_ns=line.boot_ns, wall_ns=line.wall_ns, class_=match["class"], ena=ena)


def _member(ereport: FmaEreport, text: str) -> FmaEreport:
    match = _MEMBER.match(text)
    if match is None or len(ereport.members) >= _MEMBERS:
        return ereport
    name, value = match["name"], match["value"].strip()
    if name == "device-path" and not ereport.path:
        return replace(ereport, path=value)
    number = _NUMBER.match(value)
    if number is None:
        return ereport
    if name == "ena":
        return replace(ereport, ena=int(number["hex"], 16))
    return replace(ereport, members={name: int(number["hex"], 16), **ereport.members})
