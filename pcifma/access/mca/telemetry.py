"""Xen's telemetry, `struct mc_info` (xen/include/public/arch-x86/xen-mca.h), as members of records of the stream `mce_record`.

A GLOBAL entry speaks of one processor, the BANK entries behind it of its banks, a RECOVERY entry of what Xen did about one of them.
Polled and CMCI records have machine addresses; of an urgent one that Xen gave to a domain the address is the domain's, and the machine
frame is in the RECOVERY entry alone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

GLOBAL, BANK, RECOVERY = 0, 1, 3
_HEADER = struct.Struct("<HH")
_GLOBAL, _BANK, _RECOVERY = struct.Struct("<HHIHHIIQ"), struct.Struct("<HHQQQQQ"), struct.Struct("<HBBQQ")
_UNCORRECTED = 1 << 61
_NOBODY = 0x7FF4  # DOMID_INVALID
_IDLE = 0x7FFF  # DOMID_IDLE: nobody ran when the poller looked
FLAGS = {0x01: "correctable", 0x02: "uncorrectable", 0x04: "recoverable", 0x08: "polled", 0x10: "reset", 0x20: "cmci", 0x40: "mce"}
_OFFLINED, _PENDING, _OWNED = 0x2, 0x4, 0x1000  # PG_OFFLINE_*, xen/include/public/sysctl.h


@dataclass(frozen=True, slots=True)
class Reported:
    """One bank of one processor. *words* are status, addr, misc, ctl2, tsc; *more* are members as records have them."""

    apicid: int
    bank: int
    status: int
    addr: int
    misc: int
    urgent: bool
    more: dict[str, str] = field(default_factory=dict)

    def members(self) -> dict[str, str]:
        """As a record has them."""
        words = {"apicid": self.apicid, "bank": self.bank}
        hexes = {"status": self.status, "addr": self.addr, "misc": self.misc}
        return {**{k: str(v) for k, v in words.items()}, **{k: f"{v:#x}" for k, v in hexes.items()}, **self.more}


def parse(data: bytes, count: int) -> list[Reported]:
    """The banks in *data*, entries without the count before them; what does not follow its form ends the reading."""
    found: list[Reported] = []
    globe: dict[str, str] = {}
    apicid, urgent = 0, False
    for kind, body in _entries(data, count):
        if kind == GLOBAL and len(body) >= _GLOBAL.size:
            domid, vcpu, socket, core, thread, apicid, flags, status = _GLOBAL.unpack_from(body)
            globe = {"socketid": str(socket), "core": str(core), "thread": str(thread), "mcgstatus": f"{status:#x}"}
            globe |= {"action": " ".join(word for bit, word in FLAGS.items() if flags & bit)}
            globe |= {} if domid >= _NOBODY else {"domid": str(domid), "vcpu": str(vcpu)}
            urgent = bool(flags & 0x40)
        elif kind == BANK and len(body) >= _BANK.size:
            bank, owner, status, addr, misc, _, tsc = _BANK.unpack_from(body)
            more = {**globe, **({} if owner >= _NOBODY else {"owner": str(owner)}), **({"tsc": f"{tsc:#x}"} if tsc else {})}
            if urgent and owner < _NOBODY and status & _UNCORRECTED:
                more["address"] = "guest"
            found.append(Reported(apicid, bank, status, addr, misc, urgent, more))
        elif kind == RECOVERY and len(body) >= _RECOVERY.size:
            bank, _, types, frame, status = _RECOVERY.unpack_from(body)
            for one in found:
                if one.bank == bank and types & 1:
                    one.more.update(_recovery(frame, status))
    return found


def _recovery(frame: int, status: int) -> dict[str, str]:
    did = "page offlined" if status & _OFFLINED else "page offline pending" if status & _PENDING else "page kept"
    owner = {"owner": str(status >> 16 & 0xFFFF)} if status & _OWNED else {}
    return {"mfn": f"{frame:#x}", "address": "guest" if owner else "machine", "recovery": did, **owner}


def _entries(data: bytes, count: int) -> Iterator[tuple[int, bytes]]:
    at = 0
    for _ in range(count):
        if at + _HEADER.size > len(data):
            return
        kind, size = _HEADER.unpack_from(data, at)
        if size < _HEADER.size or at + size > len(data):
            return
        yield kind, data[at + _HEADER.size : at + size]
        at += size
