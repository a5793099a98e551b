"""Transaction Layer Packet headers, as Header Log registers hold them: byte 0 of the header is bits 31:24 of the first DW.

PCIe Base Spec 2.2.1 (non-flit) and 2.2.1.2 (flit). In flit form Type takes the whole first byte, the poison bit stands in the
second DW and tags have 14 bits; byte enables and completion status are optional content, which is not taken apart here.
Whatever the words are, there is an answer: what makes no sense is `unknown`, with its first byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from pcifma.regs.bdf import Bdf

Kind = Literal["memory", "io", "config", "message", "completion", "atomic", "prefix", "nop", "none", "unknown"]

# First byte (Fmt and Type): name and kind. Bit 5 of it: a header of 4 DW; bit 6: data.
_SIZED: dict[int, tuple[str, Kind]] = {
    0x00: ("MRd", "memory"),
    0x01: ("MRdLk", "memory"),
    0x40: ("MWr", "memory"),
    0x5B: ("DMWr", "memory"),
    0x4C: ("FetchAdd", "atomic"),
    0x4D: ("Swap", "atomic"),
    0x4E: ("CAS", "atomic"),
}
_TYPES: dict[int, tuple[str, Kind]] = {
    **{byte: (f"{name}32", kind) for byte, (name, kind) in _SIZED.items()},
    **{byte | 0x20: (f"{name}64", kind) for byte, (name, kind) in _SIZED.items()},
    0x02: ("IORd", "io"),
    0x42: ("IOWr", "io"),
    0x04: ("CfgRd0", "config"),
    0x44: ("CfgWr0", "config"),
    0x05: ("CfgRd1", "config"),
    0x45: ("CfgWr1", "config"),
    0x0A: ("Cpl", "completion"),
    0x4A: ("CplD", "completion"),
    0x0B: ("CplLk", "completion"),
    0x4B: ("CplDLk", "completion"),
    **{0x30 | routing: ("Msg", "message") for routing in range(6)},
    **{0x70 | routing: ("MsgD", "message") for routing in range(6)},
}
_NON_FLIT: dict[int, tuple[str, Kind]] = {**_TYPES, **dict.fromkeys(range(0x80, 0xA0), ("prefix", "prefix"))}
_FLIT: dict[int, tuple[str, Kind]] = {
    **_TYPES,
    0x00: ("NOP", "nop"),
    0x03: ("MRd32", "memory"),
    0x22: ("UIOMRd", "memory"),
    0x61: ("UIOMWr", "memory"),
    0x8D: ("prefix", "prefix"),
}

_PREFIXES = {
    0x80: "MR-IOV",
    0x8E: "VendPrefixL0",
    0x8F: "VendPrefixL1",
    0x90: "TPH",
    0x91: "PASID",
    0x92: "IDE",
    0x9E: "VendPrefixE0",
    0x9F: "VendPrefixE1",
}
_STATUS = {0: "SC", 1: "UR", 2: "RRS", 4: "CA"}
_ROUTING = ("to Root Complex", "by address", "by ID", "broadcast", "local", "gathered")
_MESSAGES = {
    0x00: "Unlock",
    0x01: "Invalidate Request",
    0x02: "Invalidate Completion",
    0x04: "Page Request",
    0x05: "PRG Response",
    0x10: "LTR",
    0x12: "OBFF",
    0x14: "PM_Active_State_Nak",
    0x18: "PM_PME",
    0x19: "PME_Turn_Off",
    0x1B: "PME_TO_Ack",
    **{0x20 + i: f"Assert_INT{'ABCD'[i]}" for i in range(4)},
    **{0x24 + i: f"Deassert_INT{'ABCD'[i]}" for i in range(4)},
    0x30: "ERR_COR",
    0x31: "ERR_NONFATAL",
    0x33: "ERR_FATAL",
    0x50: "Set_Slot_Power_Limit",
    0x52: "PTM Request",
    0x53: "PTM Response",
    0x7E: "Vendor_Defined Type 0",
    0x7F: "Vendor_Defined Type 1",
}


class Prefix(NamedTuple):
    """One DW of the TLP Prefix Log. *pasid* is the Process Address Space ID of a PASID prefix."""

    word: int
    name: str
    end_to_end: bool
    pasid: int | None = None


class Tlp(NamedTuple):
    """One header, taken apart; None where a TLP of that kind has no such field, or its form does not say.

    *name* is the specification's abbreviation with the address size (`MWr64`). *length_dw* is 1 to 1024. *target* is the Function
    that a configuration request or an ID-routed message goes to, *register* the configuration offset in bytes. *status* of a
    completion: `SC`, `UR`, `RRS`, `CA`.
    """

    words: tuple[int, ...]
    flit: bool
    name: str
    kind: Kind
    length_dw: int | None = None
    traffic_class: int = 0
    poisoned: bool = False
    digest: bool = False
    requester: Bdf | None = None
    completer: Bdf | None = None
    target: Bdf | None = None
    address: int | None = None
    tag: int | None = None
    first_be: int | None = None
    last_be: int | None = None
    register: int | None = None
    status: str = ""
    byte_count: int | None = None
    message_code: int | None = None
    message: str = ""
    routing: str = ""
    prefixes: tuple[Prefix, ...] = ()

    @property
    def text(self) -> str:
        """One line: `MWr64 32 DW, requester 0000:04:00.0, to 0xfb_c000_1040`."""
        return ", ".join(filter(None, (self._what(), *self._who(), self._where(), "poisoned" if self.poisoned else "")))

    def _what(self) -> str:
        words = [self.name, self.message, self.status]
        if self.length_dw is not None:
            words.append(f"{self.length_dw} DW")
        return " ".join(filter(None, words))

    def _who(self) -> tuple[str, ...]:
        ends = (("requester", self.requester), ("completer", self.completer))
        return tuple(f"{role} {bdf}" for role, bdf in ends if bdf is not None)

    def _where(self) -> str:
        if self.target is not None:
            return f"to {self.target}" + ("" if self.register is None else f" register {self.register:#x}")
        return "" if self.address is None else f"to {self.address:#_x}"


def decode_header(words: Sequence[int], *, flit: bool = False, segment: int = 0, prefixes: Sequence[int] = ()) -> Tlp:
    """The header in *words* (32-bit, as the Header Log registers read; up to 14 in flit form).

    *flit*: Logged TLP was Flit Mode. *segment* is the reporter's, headers do not hold it. *prefixes*: the TLP Prefix Log, in
    non-flit form. Words that are missing read as zero; nothing raises.
    """
    kept = tuple(word & 0xFFFFFFFF for word in words)
    if not any(kept):
        return Tlp(kept, flit, "nothing logged", "none")
    dw = [*kept, 0, 0, 0, 0]
    first = dw[0] >> 24
    name, kind = (_FLIT if flit else _NON_FLIT).get(first, (f"unknown type {first:#04x}", "unknown"))
    tlp = Tlp(kept, flit, name, kind, prefixes=tuple(decode_prefix(word) for word in prefixes if word))
    if kind == "prefix":
        return tlp._replace(name=f"{decode_prefix(dw[0]).name} prefix")
    return _PARTS[kind](_common(tlp, dw), dw, segment)


def decode_prefix(word: int) -> Prefix:
    """One DW of the TLP Prefix Log (PCIe Base Spec 2.2.10); `unknown prefix` with its first byte where it is none."""
    word &= 0xFFFFFFFF
    first = word >> 24
    name = _PREFIXES.get(first) or f"unknown prefix {first:#04x}"
    return Prefix(word, name, first & 0xF0 == 0x90, word & 0xFFFFF if name == "PASID" else None)


# What all headers of a form have in common.
def _common(tlp: Tlp, dw: list[int]) -> Tlp:
    if tlp.flit:
        return tlp._replace(traffic_class=dw[0] >> 21 & 7)
    return tlp._replace(traffic_class=dw[0] >> 20 & 7, digest=bool(dw[0] & 0x8000), poisoned=bool(dw[0] & 0x4000))


# Requests: who asks. Poison and tag stand in the second DW in flit form; tag bits 9 and 8 in the first otherwise.
def _request(tlp: Tlp, dw: list[int], segment: int) -> Tlp:
    tlp = tlp._replace(requester=Bdf.from_requester_id(segment, dw[1] >> 16), length_dw=dw[0] & 0x3FF or 1024)
    if tlp.flit:
        return tlp._replace(tag=dw[1] & 0x3FFF, poisoned=bool(dw[1] & 0x8000))
    return tlp._replace(tag=_tag(dw[0], dw[1]), first_be=dw[1] & 15, last_be=dw[1] >> 4 & 15)


def _tag(first: int, second: int) -> int:
    return (first >> 23 & 1) << 9 | (first >> 19 & 1) << 8 | second >> 8 & 0xFF


def _addressed(tlp: Tlp, dw: list[int], segment: int) -> Tlp:
    address = dw[2] << 32 | dw[3] if dw[0] >> 29 & 1 else dw[2]
    return _request(tlp, dw, segment)._replace(address=address & ~3)


def _config(tlp: Tlp, dw: list[int], segment: int) -> Tlp:
    target = Bdf.from_requester_id(segment, dw[2] >> 16)
    return _request(tlp, dw, segment)._replace(target=target, register=dw[2] & 0xFFC)


def _completion(tlp: Tlp, dw: list[int], segment: int) -> Tlp:
    completer, requester = (Bdf.from_requester_id(segment, dw[i] >> 16) for i in (1, 2))
    tlp = tlp._replace(completer=completer, requester=requester)
    if dw[0] >> 30 & 1:
        tlp = tlp._replace(length_dw=dw[0] & 0x3FF or 1024)
    if tlp.flit:
        return tlp._replace(tag=dw[1] & 0x3FFF, poisoned=bool(dw[1] & 0x8000))
    status = _STATUS.get(dw[1] >> 13 & 7, f"status {dw[1] >> 13 & 7}")
    return tlp._replace(tag=_tag(dw[0], dw[2]), status=status, byte_count=dw[1] & 0xFFF or 4096)


def _message(tlp: Tlp, dw: list[int], segment: int) -> Tlp:
    code, routing = dw[1] & 0xFF, dw[0] >> 24 & 7
    tlp = tlp._replace(requester=Bdf.from_requester_id(segment, dw[1] >> 16), message_code=code, routing=_ROUTING[routing])
    tlp = tlp._replace(message=_MESSAGES.get(code, f"code {code:#04x}"), poisoned=tlp.poisoned or bool(tlp.flit and dw[1] & 0x8000))
    if routing == 2:
        tlp = tlp._replace(target=Bdf.from_requester_id(segment, dw[2] >> 16))
    return tlp._replace(length_dw=dw[0] & 0x3FF or 1024) if dw[0] >> 30 & 1 else tlp


def _nothing_more(tlp: Tlp, dw: list[int], segment: int) -> Tlp:
    return tlp


_PARTS = {
    "memory": _addressed,
    "atomic": _addressed,
    "io": _addressed,
    "config": _config,
    "completion": _completion,
    "message": _message,
    "nop": _nothing_more,
    "unknown": _nothing_more,
}
