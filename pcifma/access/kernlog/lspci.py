"""`lspci -vv` text, whole devices or fragments, of pciutils 3.1 to 3.14: status registers in words, `UnsupReq+` set, `UnsupReq-` clear.

Mail programs lose tabs and wrap lines, so a register is known by its own word (`UESta:`) and its capability's last heading, not by
indentation; a line that begins with a flag belongs to the register above it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pcifma.access.kernlog.grammar import Drafting
from pcifma.access.kernlog.line import BDF, Line
from pcifma.access.kernlog.name import bit_of
from pcifma.access.kernlog.report import AnyReport, RegisterText
from pcifma.regs.bdf import Bdf

_DEVICE = re.compile(rf"(?P<bdf>{BDF}) (?P<title>[A-Z][^:]{{2,60}}(?: \[[0-9a-f]{{4}}\])?: .{{1,300}})$")
_CAPABILITY = re.compile(r"\s{0,16}Capabilities: (?:\[(?P<at>[0-9a-f]{2,3})(?: v\d{1,2})?\] ?)?(?P<name>.{0,200})$")
_EXPRESS = re.compile(r"Express (?:\(v\d{1,2}\) )?(?P<type>[\w/ -]{3,40}?)(?: \(Slot[+-]\))?, ")
_REGISTER = re.compile(r"\s{0,24}(?P<key>[A-Z][A-Za-z0-9]{2,16}|Secondary status):(?P<value>.{0,400})$")
_FLAG = re.compile(r"(?P<name>[<>]?[A-Za-z0-9_/\-]*[A-Za-z0-9_])(?P<sign>[+-])(?=[\s,;]|$)")
_MORE_FLAGS = re.compile(r"\s{0,40}[<>]?[A-Za-z][\w/-]{1,24}[+-](?=[\s,]|$)")
_FIRST_ERROR = re.compile(r"First Error Pointer: ([0-9a-f]{2})")
_IDS = re.compile(r"\[(?P<vendor>[0-9a-f]{4}):(?P<device>[0-9a-f]{4})\]")
_HEADER = re.compile(r"\s*((?:[0-9a-f]{8}\s{1,3}){3}[0-9a-f]{8})\s*$")
_SOURCES = re.compile(r"\s*ERR_COR: ([0-9a-f]{4}) ERR_FATAL/NONFATAL: ([0-9a-f]{4})")
_DPC_STATUS = re.compile(
    r"\s*Trigger(?P<trigger>[+-]) Reason:(?P<reason>[0-9a-f]{2}) INT(?P<int>[+-]) RPBusy(?P<busy>[+-]) "
    r"TriggerExt:(?P<ext>[0-9a-f]{2}) RP PIO ErrPtr:(?P<pointer>[0-9a-f]{2})"
)
_LANES = re.compile(r"\s*(?:LaneErr at lane: )?(?P<lanes>(?:\d{1,2} ?){0,32})\s*$")
_LINK = re.compile(r"Speed (?P<speed>[\d.]{1,4})GT/s[^,]{0,24}, Width x(?P<width>\d{1,2})")
_SPEEDS = {"2.5": 1, "5": 2, "5.0": 2, "8": 3, "8.0": 3, "16": 4, "16.0": 4, "32": 5, "32.0": 5, "64": 6, "64.0": 6}

AER, EXPRESS, DPC, SECONDARY = "Advanced Error Reporting", "Express", "Downstream Port Containment", "Secondary PCI Express"

_STATUS = {"INTx": 3, "Cap": 4, "66MHz": 5, "UDF": 6, "FastB2B": 7, "ParErr": 8, ">TAbort": 11, "<TAbort": 12, "<MAbort": 13, ">SERR": 14}
_STATUS |= {"<PERR": 15}
_SECONDARY_STATUS = {**{k: v for k, v in _STATUS.items() if v in (5, 7, 8, 11, 12, 13, 15)}, "<SERR": 14}
_COMMAND = {
    "I/O": 0,
    "Mem": 1,
    "BusMaster": 2,
    "SpecCycle": 3,
    "MemWINV": 4,
    "VGASnoop": 5,
    "ParErr": 6,
    "Stepping": 7,
    "SERR": 8,
    "FastB2B": 9,
    "DisINTx": 10,
}
_BRIDGE = {"Parity": 0, "SERR": 1, "NoISA": 2, "VGA": 3, "VGA16": 4, "MAbort": 5, "FastB2B": 7, "PriDiscTmr": 8, "SecDiscTmr": 9}
_BRIDGE |= {"DiscTmrStat": 10, "DiscTmrSERREn": 11}
_DEVSTA = {"CorrErr": 0, "NonFatalErr": 1, "UncorrErr": 1, "FatalErr": 2, "UnsupReq": 3, "UnsuppReq": 3, "AuxPwr": 4, "TransPend": 5}
_DEVCTL = {"CorrErr": 0, "Correctable": 0, "NonFatalErr": 1, "Non-Fatal": 1, "FatalErr": 2, "Fatal": 2, "UnsupReq": 3, "Unsupported": 3}
_LNKSTA = {"TrErr": 10, "Train": 11, "SlotClk": 12, "DLActive": 13, "BWMgmt": 14, "ABWMgmt": 15}
_ROOTCTL = {"ErrCorrectable": 0, "ErrNon-Fatal": 1, "ErrFatal": 2, "PMEIntEna": 3, "CRSVisible": 4, "RRSVisible": 4}
_AERCAP = {"ECRCGenCap": 5, "GenCap": 5, "ECRCGenEn": 6, "CGenEn": 6, "ECRCChkCap": 7, "ChkCap": 7, "ECRCChkEn": 8, "ChkEn": 8}
_AERCAP |= {"MultHdrRecCap": 9, "MultHdrRecEn": 10, "TLPPfxPres": 11, "HdrLogCap": 12}
_ROOTCMD = {"CERptEn": 0, "NFERptEn": 1, "FERptEn": 2}
_ROOTSTA = {"CERcvd": 0, "MultCERcvd": 1, "UERcvd": 2, "MultUERcvd": 3, "FirstFatal": 4, "NonFatalMsg": 5, "FatalMsg": 6}
_SLTSTA = {"AttnBtn": 0, "PowerFlt": 1, "MRL": 5, "CmdCplt": 4, "PresDet": 6, "Interlock": 7}


class _Names(Mapping[str, int]):
    # AER's names are shared with the kernel's.
    def __init__(self, *, correctable: bool) -> None:
        self._correctable = correctable

    def __getitem__(self, name: str) -> int:
        bit = bit_of(name, "correctable" if self._correctable else "uncorrectable")
        if bit is None:
            raise KeyError(name)
        return bit

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


_UNCORRECTABLE, _CORRECTABLE = _Names(correctable=False), _Names(correctable=True)

# (capability's heading, lspci's word): setpci's register and the bits of its flags.
_FLAG_REGISTERS: dict[tuple[str, str], tuple[str, Mapping[str, int]]] = {
    ("", "Control"): ("4.w", _COMMAND),
    ("", "Status"): ("6.w", _STATUS),
    ("", "Secondary status"): ("1e.w", _SECONDARY_STATUS),
    ("", "BridgeCtl"): ("3e.w", _BRIDGE),
    (EXPRESS, "DevCap"): ("CAP_EXP+4.l", {"RBE": 15}),
    (EXPRESS, "DevCtl"): ("CAP_EXP+8.w", _DEVCTL),
    (EXPRESS, "DevSta"): ("CAP_EXP+a.w", _DEVSTA),
    (EXPRESS, "LnkSta"): ("CAP_EXP+12.w", _LNKSTA),
    (EXPRESS, "RootCtl"): ("CAP_EXP+1c.w", _ROOTCTL),
    (EXPRESS, "SltSta"): ("CAP_EXP+1a.w", _SLTSTA),
    (AER, "UESta"): ("ECAP_AER+4.l", _UNCORRECTABLE),
    (AER, "UEMsk"): ("ECAP_AER+8.l", _UNCORRECTABLE),
    (AER, "UESvrt"): ("ECAP_AER+c.l", _UNCORRECTABLE),
    (AER, "CESta"): ("ECAP_AER+10.l", _CORRECTABLE),
    (AER, "CEMsk"): ("ECAP_AER+14.l", _CORRECTABLE),
    (AER, "AERCap"): ("ECAP_AER+18.l", _AERCAP),
    (AER, "RootCmd"): ("ECAP_AER+2c.l", _ROOTCMD),
    (AER, "RootSta"): ("ECAP_AER+30.l", _ROOTSTA),
}
# Words that stand in one capability alone: a fragment may lack its heading.
_OWN = {key: heading for heading, key in _FLAG_REGISTERS if heading and key != "RootSta"}
_OWN |= {"HeaderLog": AER, "ErrorSrc": AER, "DpcSta": DPC, "LaneErrStat": SECONDARY}


@dataclass(slots=True)
class _Block:
    line: Line
    bdf: Bdf | None = None
    title: str = ""
    port_type: str | None = None
    heading: str = ""
    key: str = ""
    words: dict[str, int] = field(default_factory=dict)
    known: dict[str, int] = field(default_factory=dict)
    header: tuple[int, ...] = ()

    def put(self, register: str, value: int, known: int) -> None:
        self.words[register] = self.words.get(register, 0) | value
        self.known[register] = self.known.get(register, 0) | known


class Lspci(Drafting[str, _Block]):
    """Grammar of lspci's text: one device (or fragment) at a time, until a blank line or the next device."""

    def read(self, line: Line) -> Iterator[AnyReport]:
        if match := _DEVICE.match(line.text):
            yield from self._begin("", _Block(line, Bdf.parse(match["bdf"]), match["title"]), line)
            return
        draft = self._drafts.get("")
        if draft is None:
            if not _opens(line.text):
                return
            draft = _Block(line)
            self._drafts.begin("", draft, line.number)
        _add(draft, line.text)
        self._drafts.update("", draft, line.number)

    def whole(self, draft: _Block) -> RegisterText | None:
        if not draft.words:
            return None
        ids = _IDS.search(draft.title)
        return RegisterText(
            line=draft.line.number,
            tool="lspci",
            bdf=draft.bdf,
            title=draft.title,
            vendor=int(ids["vendor"], 16) if ids else None,
            device=int(ids["device"], 16) if ids else None,
            port_type=draft.port_type,
            words=draft.words,
            known=draft.known,
            header=draft.header,
        )


def _opens(text: str) -> bool:
    if (match := _CAPABILITY.match(text)) and match["at"]:
        return True
    row = _REGISTER.match(text)
    return row is not None and row["key"] in _OWN and _FLAG.search(row["value"]) is not None


def _add(block: _Block, text: str) -> None:
    if match := _CAPABILITY.match(text):
        block.heading, block.key = _heading(match["name"]), ""
        if express := _EXPRESS.match(match["name"]):
            block.port_type = express["type"]
    elif match := _REGISTER.match(text):
        block.key = match["key"]
        _register(block, match["key"], match["value"])
    elif block.key and _MORE_FLAGS.match(text):
        _register(block, block.key, text)


def _heading(name: str) -> str:
    return next((h for h in (AER, EXPRESS, DPC, SECONDARY) if name.startswith(h)), name[:40] or "?")


def _register(block: _Block, key: str, value: str) -> None:
    heading = _OWN.get(key, block.heading) if block.heading == "" else block.heading
    if (row := _FLAG_REGISTERS.get((heading, key))) is not None:
        _flags(block, row, value.partition("Changed:")[0])
    if key == "AERCap" and (match := _FIRST_ERROR.search(value)):
        block.put("ECAP_AER+18.l", int(match[1], 16) & 0x1F, 0x1F)
    elif key == "HeaderLog" and heading == AER and (match := _HEADER.match(value)):
        block.header = tuple(int(w, 16) for w in match[1].split())
    elif key == "ErrorSrc" and (match := _SOURCES.match(value)):
        block.put("ECAP_AER+34.l", int(match[2], 16) << 16 | int(match[1], 16), 0xFFFFFFFF)
    elif key == "DpcSta" and (match := _DPC_STATUS.match(value)):
        block.put("ECAP_DPC+8.w", _dpc(match), 0x1F7F)
    elif key == "LaneErrStat" and (match := _LANES.match(value)):
        block.put("ECAP_SECPCI+8.l", _lanes(match), 0xFFFFFFFF)
    elif key == "LnkSta" and heading == EXPRESS and (match := _LINK.search(value)) and match["speed"] in _SPEEDS:
        block.put("CAP_EXP+12.w", _SPEEDS[match["speed"]] | (int(match["width"]) & 0x3F) << 4, 0x03FF)


def _flags(block: _Block, row: tuple[str, Mapping[str, int]], value: str) -> None:
    register, bits = row
    for match in _FLAG.finditer(value):
        bit = bits.get(match["name"])
        if bit is not None:
            block.put(register, (match["sign"] == "+") << bit, 1 << bit)


def _dpc(match: re.Match[str]) -> int:
    word = (match["trigger"] == "+") | (int(match["reason"], 16) & 3) << 1 | (match["int"] == "+") << 3 | (match["busy"] == "+") << 4
    return word | (int(match["ext"], 16) & 3) << 5 | (int(match["pointer"], 16) & 0x1F) << 8


def _lanes(match: re.Match[str]) -> int:
    # "0" alone stands for no lane at all.
    lanes = [int(n) for n in match["lanes"].split()] if "lane:" in match[0] else []
    return sum(1 << lane for lane in set(lanes) if lane < 32)
