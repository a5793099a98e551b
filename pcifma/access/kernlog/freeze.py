"""What POWER's Extended Error Handling says in one line: endpoints frozen, host bridges fenced or dead, devices given up.

Linux 2.6.13 to 7.0 (arch/powerpc/kernel/eeh.c, eeh_driver.c, platforms/powernv/eeh-powernv.c).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from pcifma.access.kernlog.grammar import LineByLine
from pcifma.access.kernlog.line import BDF, Line
from pcifma.access.kernlog.report import AnyReport, EehFreeze, Frozen
from pcifma.regs.bdf import Bdf

_PREFIX = re.compile(r"EEH(?:\(\d{1,10}\))?: {1,4}(?P<by>[a-z_]{1,40}: )?")
_AT = r"(?>PHB#(?P<phb>[0-9a-fA-F]{1,8})(?:-PE#(?P<pe>[0-9a-fA-F]{1,8}))?)"
_FORMS = (
    re.compile(rf"(?P<verb>Frozen|Fenced|dead|Recovering|Detected(?: PCI bus)? error on|Unable to recover from failure from) {_AT}(?! is)"),
    re.compile(rf"{_AT} (?P<verb>failure detected|informative error detected|has failed) ?"),
    re.compile(rf"(?P<verb>Detected PCI bus error on) device (?P<bdf>{BDF})"),
    re.compile(rf"PCI device at .{{0,200}}pci addr=(?P<bdf>{BDF}) (?P<verb>has failed)"),
    re.compile(r"(?P<verb>dead) IOC detected"),
)
_SKIBOOT = re.compile(r"PHB#(?P<phb>[0-9a-fA-F]{4})\[\d{1,3}:\d{1,3}\]: {0,8}PHB Freeze/Fence detected")
# What a verb says of an endpoint, and of a whole host bridge.
_SAYS: dict[str, tuple[Frozen, Frozen]] = {
    "Frozen": ("frozen", "fenced"),
    "Fenced": ("fenced", "fenced"),
    "failure detected": ("frozen", "fenced"),
    "Recovering": ("frozen", "fenced"),
    "Detected error on": ("frozen", "fenced"),
    "Detected PCI bus error on": ("frozen", "fenced"),
    "dead": ("dead", "dead"),
    "informative error detected": ("informative", "informative"),
    "has failed": ("failed", "failed"),
    "Unable to recover from failure from": ("failed", "failed"),
}
_NEAR = 256  # lines between the first and the last that speak of one event
_ONCE_NS = 1_000_000_000
_MOST = 64

_Key = tuple[Frozen, int | None, int | None, Bdf | None]


class _Said(NamedTuple):
    line: Line
    words: set[str]


class Freeze(LineByLine):
    """Grammar of the announcements. The kernel makes several of one event, in other words: they are one report."""

    def __init__(self) -> None:
        self._said: dict[_Key, _Said] = {}

    def feed(self, line: Line) -> Iterator[AnyReport]:
        if match := _SKIBOOT.search(line.text):
            yield from self._once(("fenced", int(match["phb"], 16), None, None), match[0], line)
            return
        prefix = _PREFIX.search(line.text)
        if prefix is None:
            return
        match = next((m for form in _FORMS if (m := form.match(line.text, prefix.end()))), None)
        if match is None:
            return
        found = match.groupdict()
        phb, pe, bdf = _number(found.get("phb")), _number(found.get("pe")), found.get("bdf")
        what = _SAYS[match["verb"]][pe is None and bdf is None]
        key = (what, phb, pe, Bdf.parse(bdf) if bdf else None)
        yield from self._once(key, (prefix["by"] or "") + match[0], line)

    def _once(self, key: _Key, words: str, line: Line) -> Iterator[AnyReport]:
        what, phb, pe, bdf = key
        if self._is_new(key, words, line):
            yield EehFreeze(line=line.number, boot_ns=line.boot_ns, wall_ns=line.wall_ns, what=what, number=phb, endpoint=pe, bdf=bdf)

    def _is_new(self, key: _Key, words: str, line: Line) -> bool:
        # Other words soon after speak of the same event; the same words do only where the kernel says them twice at once.
        before = self._said.pop(key, None)
        known = before is not None and line.number - before.line.number <= _NEAR
        new = not known or (before is not None and words in before.words and not _at_once(before.line, line))
        self._said[key] = _Said(line, {words} if new or before is None else before.words | {words})
        if len(self._said) > _MOST:
            del self._said[next(iter(self._said))]
        return new


def _at_once(first: Line, second: Line) -> bool:
    return first.boot_ns is not None and second.boot_ns is not None and abs(second.boot_ns - first.boot_ns) < _ONCE_NS


def _number(text: str | None) -> int | None:
    return int(text, 16) if text else None
