"""Machine checks as text: the kernel's own lines (Linux 2.6 to 7.0, whatever its spelling, EDAC's among them), AMD's decoder in the
kernel, the tracepoint mce_record, and the mcelog program's records. Members are named as the tracepoint names them; other systems'
and programs' forms are in bank.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from pcifma.access.kernlog import bank
from pcifma.access.kernlog.grammar import Drafting
from pcifma.access.kernlog.line import Line
from pcifma.access.kernlog.report import AnyReport, BankText

_HEX = r"(?:0x)?[0-9a-fA-F]{1,16}"
# `CPU 0: Machine Check: 0 Bank 5: be00000000800400`, before 2011 `Machine Check Exception:`, EDAC's `Machine Check Event:`.
_HEAD = re.compile(
    rf"CPU ?(?P<cpu>\d{{1,5}}): Machine [Cc]heck(?: Exception| Event)?: {{1,20}}(?P<mcgstatus>{_HEX}) {{1,4}}"
    rf"Bank (?P<bank>\d{{1,3}}): {{1,4}}(?P<status>{_HEX})(?P<rest>.{{0,300}})"
)
_TAIL = re.compile(r"(?:^\s{0,8}|\[Hardware Error\]: |EDAC [\w ]{1,40}: )(?P<words>(?:TSC|PROCESSOR|PPIN|ADDR|MISC|SYND|IPID) .{0,300})")
_PAIR = re.compile(rf"\b(?P<name>TSC|ADDR|MISC|SYND1?|SYND2|IPID|TIME|SOCKET|APIC|microcode) (?P<value>{_HEX})")
_PROCESSOR = re.compile(r"\bPROCESSOR:? (?P<cpuvendor>\d{1,2}):(?:0x)?(?P<cpuid>[0-9a-fA-F]{1,8})")
# Before Linux 3.9 without the family; before 3.2 without the CPU too.
_AMD_HEAD = re.compile(
    r"(?:CPU:(?P<cpu>\d{1,5})\s{1,4}(?:\((?P<family>[0-9a-fA-F]{1,2}):(?P<model>[0-9a-fA-F]{1,2}):(?P<step>[0-9a-fA-F]{1,2})\)\s)?)?"
    rf"MC(?P<bank>\d{{1,3}})_STATUS\[[^\]]{{0,80}}\]: (?P<status>{_HEX})"
)
_AMD_TAIL = re.compile(rf"(?:(?P<addr>Error Addr|MC\d{{1,3}}_ADDR)|(?P<ipid>IPID)|(?P<synd>Syndrome)): (?P<value>{_HEX})")
_TRACE = re.compile(
    rf"mce_record: CPU: (?P<cpu>\d{{1,5}}), MCGc/s: (?P<mcgcap>{_HEX})/(?P<mcgstatus>{_HEX}), MC(?P<bank>\d{{1,3}}): (?P<status>{_HEX})"
    r"(?P<rest>.{0,500})"
)
_TRACE_WORDS = (
    re.compile(rf"IPID: (?P<ipid>{_HEX})"),
    re.compile(rf"ADDR/MISC/SYND: (?P<addr>{_HEX})/(?P<misc>{_HEX})/(?P<synd>{_HEX})"),
    re.compile(rf"ADDR/MISC: (?P<addr>{_HEX})/(?P<misc>{_HEX})(?!/)"),
    re.compile(rf"TSC: (?P<tsc>{_HEX})"),
    re.compile(r"PROCESSOR: (?P<cpuvendor>\d{1,2}):(?P<cpuid>[0-9a-fA-F]{1,8})"),
    re.compile(r"SOCKET: (?P<socketid>\d{1,5})"),
    re.compile(r"APIC: (?P<apicid>[0-9a-fA-F]{1,8})"),
)
_MCELOG = re.compile(r"CPU (?P<cpu>\d{1,5}) (?:BANK )?(?P<bank>\d{1,3})\b")
_MCELOG_STATUS = re.compile(rf"STATUS[ \t](?P<status>{_HEX})\b(?: MCGSTATUS (?P<mcgstatus>{_HEX}))?")
_MCELOG_WORDS = re.compile(rf"\b(?P<name>MISC|ADDR|MCGCAP|APICID|SOCKETID)[ \t](?P<value>{_HEX})\b")
_MCELOG_VENDOR = re.compile(r"CPUID Vendor (?P<vendor>\w{1,20}) Family (?P<family>\d{1,3}) Model (?P<model>\d{1,3})")
_NAMES = {"SOCKET": "socketid", "APIC": "apicid", "SYND": "synd", "APICID": "apicid", "SOCKETID": "socketid"}
_DECIMAL = frozenset({"cpu", "bank", "socketid", "cpuvendor"})
# One report of each kind is under way at a time: a kernel prints in one go.
_CONSOLE, _AMD, _PROGRAM, _BSD = "console", "amd", "mcelog", "freebsd"


class Mce(Drafting[str, BankText]):
    """Grammar of machine checks."""

    def __init__(self) -> None:
        super().__init__()
        self._listed = bank.Listed()

    def read(self, line: Line) -> Iterator[AnyReport]:
        text = line.text
        if match := _TRACE.search(text):
            words = (word for pattern in _TRACE_WORDS if (word := pattern.search(match["rest"])))
            yield _report(line, _numbers({**match.groupdict(), **{k: v for w in words for k, v in w.groupdict().items()}}))
        elif fields := bank.whole(text) or self._listed.bank(text):
            yield _report(line, fields)
        elif match := _HEAD.search(text):
            fields = {**_tail(match["rest"].strip()), **_numbers(match.groupdict())}
            yield from self._begin(_CONSOLE, _report(line, fields), line)
        elif fields := bank.freebsd(text):
            yield from self._begin(_BSD, _report(line, fields), line)
        elif match := _AMD_HEAD.search(text):
            yield from self._begin(_AMD, _report(line, _amd(match)), line)
        elif match := _MCELOG.match(text):
            yield from self._begin(_PROGRAM, _report(line, _numbers(match.groupdict())), line)
        else:
            self._more(line)

    def whole(self, draft: BankText) -> BankText | None:
        return draft if "status" in draft.fields else None

    def _more(self, line: Line) -> None:
        for kind, found in self._additions(line.text):
            report = self._drafts.get(kind) if found else None
            if report is not None:
                self._drafts.update(kind, replace(report, fields={**found, **report.fields}), line.number)

    def _additions(self, text: str) -> Iterator[tuple[str, dict[str, str]]]:
        yield _CONSOLE, _tail(text)
        yield _AMD, _amd_tail(text)
        yield _PROGRAM, _mcelog(text)
        yield _BSD, bank.freebsd_more(text)


def _report(line: Line, fields: dict[str, str]) -> BankText:
    return BankText(line=line.number, boot_ns=line.boot_ns, wall_ns=line.wall_ns, fields=fields)


def _numbers(words: dict[str, str | None]) -> dict[str, str]:
    # Everything but the numbers of things is printed in hexadecimal, with or without 0x.
    told = ((name, word) for name, word in words.items() if word is not None and name != "rest")
    return {name: word if name in _DECIMAL else f"0x{int(word, 16):x}" for name, word in told}


def _tail(text: str) -> dict[str, str]:
    match = _TAIL.search(text)
    if match is None:
        return {}
    words: dict[str, str | None] = {_NAMES.get(p["name"], p["name"].lower()): p["value"] for p in _PAIR.finditer(match["words"])}
    words.pop("time", None)
    if processor := _PROCESSOR.search(match["words"]):
        words |= processor.groupdict()
    return bank.with_vendor(_numbers(words))


def _amd(match: re.Match[str]) -> dict[str, str]:
    # The kernel's AMD decoder speaks of AMD and Hygon alone.
    found = {**_numbers({name: match[name] for name in ("cpu", "bank", "status")}), "vendor": "amd"}
    if match["family"]:
        found["cpuid"] = f"0x{_signature(int(match['family'], 16), int(match['model'], 16), int(match['step'], 16)):x}"
    return found


def _amd_tail(text: str) -> dict[str, str]:
    pairs = (match for match in _AMD_TAIL.finditer(text))
    return _numbers({name: match["value"] for match in pairs for name in ("addr", "ipid", "synd") if match[name]})


def _mcelog(text: str) -> dict[str, str]:
    words: dict[str, str | None] = {_NAMES.get(p["name"], p["name"].lower()): p["value"] for p in _MCELOG_WORDS.finditer(text)}
    if match := _MCELOG_STATUS.search(text):
        words |= match.groupdict()
    if "socketid" in words:
        words["socketid"] = str(int(words["socketid"] or "0", 16))
    if processor := _PROCESSOR.match(text):
        words |= processor.groupdict()
    found = _numbers(words)
    if match := _MCELOG_VENDOR.search(text):
        found |= {"vendor": match["vendor"], "cpuid": f"{_signature(int(match['family']), int(match['model'])):#x}"}
    return found


def _signature(family: int, model: int, step: int = 0) -> int:
    # CPUID leaf 1, EAX, put together again (SDM 2A, CPUID).
    return max(0, family - 15) << 20 | model >> 4 << 16 | min(family, 15) << 8 | (model & 15) << 4 | step & 15
