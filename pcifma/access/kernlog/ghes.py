"""Hardware error records that firmware handed to the kernel (GHES, BERT): the lines after `[Hardware Error]:`, Linux 2.6.35 to 7.0.

A record is one `{n}`; records of several CPUs may be interleaved. BERT's records, and those of kernels before 3.0, have no number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from pcifma.access.kernlog import cper
from pcifma.access.kernlog.grammar import TLP_HEADER, Drafting, header_words
from pcifma.access.kernlog.line import BDF, Line
from pcifma.access.kernlog.report import AnyReport, CperSection, GhesRecord
from pcifma.regs.bdf import Bdf

# A section is 64 KiB at most, but no section that is read here is longer than this.
_RAW_BYTES = 4096
_SECTIONS = 64

_PREFIX = re.compile(r"(?:\{(?P<sequence>\d{1,10})\})?\[Hardware Error\]: {0,8}")
_SOURCE = re.compile(r"Hardware error from APEI Generic Hardware Error Source: (?P<number>\d{1,9})")
_SEVERITY = re.compile(r"event severity: (?P<word>[\w-]+)|severity: \d+, (?P<old>[\w-]+)$")
_SECTION = re.compile(r"Error (?P<index>\d{1,6}), type: (?P<word>[\w-]+)|section: (?P<old>\d{1,6}), severity: \d+, (?P<old_word>[\w-]+)")
_DUMP = re.compile(r"[0-9a-f]{8}: (?P<words>(?:[0-9a-f]{8}(?: |$)){1,4})")

_H = r"(?:0x)?[0-9a-fA-F]"


def _number(match: re.Match[str], group: int | str = 1) -> int:
    return int(match[group], 16)


def _words(section: CperSection, match: re.Match[str]) -> CperSection:
    return replace(section, words={**section.words, **{k: int(v, 16) for k, v in _NAMED.findall(match[0])}})


_NAMED = re.compile(r"((?:aer|cxl_ras)_\w{1,20}|cap_control): (0x[0-9a-fA-F]{8})")

# Each line of a section that means something: its form, and what it adds.
_LINES: tuple[tuple[re.Pattern[str], Callable[[CperSection, re.Match[str]], CperSection]], ...] = (
    (
        re.compile(r"section[_ ]type: (?:unknown, )?(.{1,60})"),
        lambda s, m: replace(s, section_type=m[1].strip()),
    ),
    (
        re.compile(r"port_type: (\d{1,3})(?:, ([\w /-]{1,40}))?"),
        lambda s, m: replace(s, port_type=int(m[1]), port_type_text=(m[2] or "").strip() or None),
    ),
    (
        re.compile(rf"command: ({_H}{{1,4}}), status: ({_H}{{1,4}})"),
        lambda s, m: replace(s, command=_number(m), status=_number(m, 2)),
    ),
    (
        re.compile(rf"(?:device_id|agent_address): ({BDF})"),
        lambda s, m: replace(s, bdf=Bdf.parse(m[1])),
    ),
    (
        re.compile(rf"vendor_id: ({_H}{{4}}), device_id: ({_H}{{4}})"),
        lambda s, m: replace(s, vendor=_number(m), device=_number(m, 2)),
    ),
    (re.compile(r"slot: (\d{1,5})"), lambda s, m: replace(s, slot=int(m[1]))),
    (re.compile(r"class_code: ([0-9a-fA-F]{4,6})"), lambda s, m: replace(s, class_code=m[1])),
    (
        re.compile(rf"serial number: ({_H}{{8}}), ({_H}{{8}})"),
        lambda s, m: replace(s, serial=(_number(m), _number(m, 2))),
    ),
    (
        re.compile(rf"bridge: secondary_status: ({_H}{{4}}), control: ({_H}{{4}})"),
        lambda s, m: replace(s, secondary_status=_number(m), bridge_control=_number(m, 2)),
    ),
    (re.compile(r"(?:aer_(?:cor|uncor)?_?(?:status|mask|severity)|cxl_ras_\w+|cap_control): 0x[0-9a-fA-F]{8}.{0,80}"), _words),
    (
        re.compile(r"(physical_address|error_type|DIMM location|fru_text): {0,4}(.{1,120})"),
        lambda s, m: replace(s, memory={**s.memory, m[1]: m[2].strip()}),
    ),
    (TLP_HEADER, lambda s, m: replace(s, header=header_words(m))),
    (_DUMP, lambda s, m: replace(s, raw=(s.raw + _bytes(m["words"]))[:_RAW_BYTES])),
)


def _bytes(text: str) -> bytes:
    return b"".join(int(word, 16).to_bytes(4, "little") for word in text.split())


class Ghes(Drafting[int | None, GhesRecord]):
    """Grammar of firmware's records, by their number."""

    def read(self, line: Line) -> Iterator[AnyReport]:
        prefix = _PREFIX.search(line.text)
        if prefix is None:
            return
        key = int(prefix["sequence"]) if prefix["sequence"] else None
        rest = line.text[prefix.end() :]
        draft = self._drafts.get(key)
        if draft is None or _begins_another(draft, rest):
            blank = GhesRecord(line=line.number, boot_ns=line.boot_ns, wall_ns=line.wall_ns, sequence=key)
            yield from self._begin(key, blank, line)
            draft = blank
        self._drafts.update(key, _continued(draft, rest), line.number)

    def whole(self, draft: GhesRecord) -> GhesRecord:
        decoded = (cper.decode(s) if (s.section_type or "").lower() == cper.PCIE_SECTION else s for s in draft.sections)
        return replace(draft, sections=tuple(decoded))


def _begins_another(draft: GhesRecord, rest: str) -> bool:
    # Numbers start again at each boot, and unnumbered records follow each other.
    return _SOURCE.match(rest) is not None or (bool(draft.sections) and _event_severity(rest) is not None)


def _event_severity(rest: str) -> str | None:
    match = _SEVERITY.match(rest)
    return (match["word"] or match["old"]) if match else None


def _continued(draft: GhesRecord, rest: str) -> GhesRecord:
    if match := _SOURCE.match(rest):
        return replace(draft, source=int(match["number"]))
    if (word := _event_severity(rest)) is not None:
        return replace(draft, severity=word)
    if match := _SECTION.match(rest):
        index, word = int(match["index"] or match["old"]), match["word"] or match["old_word"]
        return replace(draft, sections=(*draft.sections, CperSection(index, word))[-_SECTIONS:])
    for pattern, add in _LINES:
        if match := pattern.match(rest):
            return _with_section(draft, add, match)
    return draft


def _with_section(draft: GhesRecord, add: Callable[[CperSection, re.Match[str]], CperSection], match: re.Match[str]) -> GhesRecord:
    if draft.sections:
        return replace(draft, sections=(*draft.sections[:-1], add(draft.sections[-1], match)))
    # An excerpt that begins within a section: only one that names a Function is worth keeping.
    section = add(CperSection(None, None), match)
    return replace(draft, sections=(section,)) if section.bdf is not None or section.section_type == "PCIe error" else draft
