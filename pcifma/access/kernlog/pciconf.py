"""FreeBSD's `pciconf -lbce`: capabilities and error bits in words (usr.sbin/pciconf, cap.c and err.c)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from pcifma.access.kernlog.grammar import Drafting
from pcifma.access.kernlog.line import Line
from pcifma.access.kernlog.name import bit_of
from pcifma.access.kernlog.report import AnyReport, RegisterText
from pcifma.regs.bdf import Bdf

_DEVICE = re.compile(r"(?P<name>\w{1,32})@pci(?P<dom>\d{1,5}):(?P<bus>\d{1,3}):(?P<dev>\d{1,2}):(?P<fn>[0-7]):\s(?P<rest>.{0,300})$")
_CHIP = re.compile(r"chip=0x(?P<device>[0-9a-f]{4})(?P<vendor>[0-9a-f]{4})\b")
_IDS = re.compile(r"vendor=0x(?P<vendor>[0-9a-f]{4}) device=0x(?P<device>[0-9a-f]{4})\b")
_EXPRESS = re.compile(r"\s{1,8}cap 10\[[0-9a-f]{2}\] = PCI-Express (?:\d )?(?P<type>[\w -]{1,30}?)(?: slot| max| IRQ|$)")
_AER = re.compile(
    r"\s{1,8}ecap 0001\[[0-9a-f]{3}\] = AER \d{1,2} "
    r"(?P<fatal>\d{1,2}) fatal (?P<nonfatal>\d{1,2}) non-fatal (?P<corrected>\d{1,2}) corrected"
)
_ERRORS = re.compile(r"\s{0,16}(?P<key>PCI errors|PCI-e errors|Fatal|Non-fatal|Corrected) = (?P<name>[\w /_-]{1,60}?)\s*$")
_MORE = re.compile(r"\s{8,24}(?P<name>[A-Z][\w /_-]{1,60}?)\s*$")
_CAPABILITY = re.compile(r"\s{1,8}e?cap [0-9a-f]{2,4}\[")

_STATUS = {
    "Master Data Parity Error": 8,
    "Sent Target-Abort": 11,
    "Received Target-Abort": 12,
    "Received Master-Abort": 13,
    "Signalled System Error": 14,
    "Signaled System Error": 14,
    "Detected Parity Error": 15,
}
_DEVICE_STATUS = {
    "Correctable Error Detected": 0,
    "Non-Fatal Error Detected": 1,
    "Fatal Error Detected": 2,
    "Unsupported Request Detected": 3,
}
_REGISTERS = {
    "PCI errors": ("6.w", 0xF900),
    "PCI-e errors": ("CAP_EXP+a.w", 0x000F),
    "Fatal": ("ECAP_AER+4.l", 0x03FFF031),
    "Non-fatal": ("ECAP_AER+4.l", 0x03FFF031),
    "Corrected": ("ECAP_AER+10.l", 0xF1C1),
}


@dataclass(slots=True)
class _Block:
    line: Line
    title: str = ""
    bdf: Bdf | None = None
    vendor: int | None = None
    device: int | None = None
    port_type: str | None = None
    words: dict[str, int] = field(default_factory=dict)
    known: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    key: str = ""


class Pciconf(Drafting[str, _Block]):
    """Grammar of pciconf's listing: a line for the device, then indented ones. An excerpt may lack the first."""

    def read(self, line: Line) -> Iterator[AnyReport]:
        if match := _DEVICE.match(line.text):
            yield from self._begin("", _named(line, match), line)
            return
        block = self._drafts.get("")
        if block is None and (_CAPABILITY.match(line.text) or _ERRORS.match(line.text)):
            block = _Block(line)
            self._drafts.begin("", block, line.number)
        if block is not None:
            _add(block, line.text)
            self._drafts.update("", block, line.number)

    def whole(self, draft: _Block) -> RegisterText | None:
        if not (draft.words or draft.counts):
            return None
        return RegisterText(
            line=draft.line.number,
            tool="pciconf",
            bdf=draft.bdf,
            title=draft.title,
            vendor=draft.vendor,
            device=draft.device,
            port_type=draft.port_type,
            words=draft.words,
            known=draft.known,
            counts=draft.counts,
        )


def _named(line: Line, match: re.Match[str]) -> _Block:
    bus, dev = int(match["bus"]), int(match["dev"])
    bdf = Bdf(int(match["dom"]), bus, dev, int(match["fn"])) if bus < 256 and dev < 32 else None
    ids = _CHIP.search(match["rest"]) or _IDS.search(match["rest"])
    block = _Block(line, match["name"], bdf)
    if ids:
        block.vendor, block.device = int(ids["vendor"], 16), int(ids["device"], 16)
    return block


def _add(block: _Block, text: str) -> None:
    if match := _EXPRESS.match(text):
        block.port_type = match["type"].strip()
    elif match := _AER.match(text):
        block.counts = {k: int(v) for k, v in match.groupdict().items()}
    elif match := _ERRORS.match(text):
        block.key = match["key"]
        _set(block, match["name"])
    elif block.key and (match := _MORE.match(text)):
        _set(block, match["name"])
    else:
        block.key = ""


def _set(block: _Block, name: str) -> None:
    bit = _bit(block.key, name)
    if bit is None:
        return
    register, known = _REGISTERS[block.key]
    block.words[register] = block.words.get(register, 0) | 1 << bit
    block.known[register] = known
    if block.key in ("Fatal", "Non-fatal"):
        # Which of the two headings a bit stands under is what Uncorrectable Error Severity says of it.
        block.words["ECAP_AER+c.l"] = block.words.get("ECAP_AER+c.l", 0) | (block.key == "Fatal") << bit
        block.known["ECAP_AER+c.l"] = block.known.get("ECAP_AER+c.l", 0) | 1 << bit


def _bit(key: str, name: str) -> int | None:
    if key == "PCI errors":
        return _STATUS.get(name)
    if key == "PCI-e errors":
        return _DEVICE_STATUS.get(name)
    return bit_of(name, "correctable" if key == "Corrected" else "uncorrectable")
