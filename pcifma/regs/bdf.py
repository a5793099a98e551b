"""A Function's address. It stands with the registers because registers hold it (Error Source Identification, Header Log)."""

from __future__ import annotations

import re
from typing import NamedTuple

_TEXT = re.compile(r"(?:([0-9a-fA-F]{4,8}):)?([0-9a-fA-F]{2}):([0-9a-fA-F]{2})\.([0-7])")


class Bdf(NamedTuple):
    """Segment (0 to 0xffffffff), bus (0 to 255), device (0 to 31), function (0 to 7). Printed `dddd:bb:dd.f`.

    Segments have 4 to 8 hex digits: VMD domains start at 10000 and Hyper-V's take 32 bits.
    """

    segment: int
    bus: int
    device: int
    function: int

    @classmethod
    def parse(cls, text: str) -> Bdf:
        """Read `[segment:]bus:device.function`, all hexadecimal; ValueError if it is anything else."""
        match = _TEXT.fullmatch(text)
        if match is None or int(match[3], 16) > 31:
            raise ValueError(f"{text!r} is no Function address: write segment:bus:device.function, as 0000:04:00.0")
        return cls(int(match[1] or "0", 16), int(match[2], 16), int(match[3], 16), int(match[4]))

    @classmethod
    def from_requester_id(cls, segment: int, requester_id: int) -> Bdf:
        """The Function of a 16-bit Requester ID: bus 15:8, device 7:3, function 2:0 (PCIe Base Spec 2.2.4.2)."""
        return cls(segment, requester_id >> 8 & 0xFF, requester_id >> 3 & 0x1F, requester_id & 7)

    @property
    def requester_id(self) -> int:
        """Bus, device and function as the 16 bits that a TLP carries."""
        return self.bus << 8 | self.devfn

    @property
    def devfn(self) -> int:
        """Device and function as 8 bits; with ARI one 8-bit function number."""
        return self.device << 3 | self.function

    def __str__(self) -> str:
        return f"{self.segment:04x}:{self.bus:02x}:{self.device:02x}.{self.function}"
