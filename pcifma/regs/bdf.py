"""A Function's address. It stands with the registers because registers hold it (Error Source Identification, Header Log)."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

_FUNCTIONS = frozenset("01234567")
_HEX = frozenset("0123456789abcdefABCDEF")


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
        numbers, _, function = text.partition(".")
        *segment, bus, device = ("", *numbers.split(":"))
        widths = [len(part) for part in segment[1:]]
        sound = len(bus) == len(device) == 2 and len(widths) <= 1 and all(4 <= width <= 8 for width in widths)
        if not sound or function not in _FUNCTIONS or not _HEX.issuperset(numbers.replace(":", "")) or int(device, 16) > 31:
            raise ValueError(f"{text!r} is no Function address: write segment:bus:device.function, as 0000:04:00.0")
        return cls(int(segment[1], 16) if widths else 0, int(bus, 16), int(device, 16), int(function))

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
        return _text(self)


@lru_cache(maxsize=8192)  # a sweep writes each address a dozen times
def _text(bdf: Bdf) -> str:
    return f"{bdf.segment:04x}:{bdf.bus:02x}:{bdf.device:02x}.{bdf.function}"
