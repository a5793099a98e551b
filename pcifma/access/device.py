"""A Function that answers as hardware does: RW1C bits clear when written with one, RW bits take what is written, all others
stay; on a hot reset sticky bits stay and other status bits go. What the register tables do not name is read-only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from pcifma.access.image import ImageSpace
from pcifma.access.layout import Placed, found_capabilities, placed_registers
from pcifma.access.recorder import Recorder, Write
from pcifma.access.seam import Clock
from pcifma.errors import BusyError, GoneError, ShortReadError, WriteRefusedError
from pcifma.regs.bdf import Bdf
from pcifma.regs.table import Access, Location, Register

Answer = Literal["ok", "ones", "busy", "gone"]

_WRITABLE = frozenset({Access.RW, Access.RWS})
_STICKY = frozenset({Access.RW1CS, Access.RWS, Access.ROS})


@dataclass(frozen=True, slots=True)
class Masks:
    """For each byte: bits that a written one clears, bits that take what is written, status bits that a hot reset clears."""

    clear: bytes
    store: bytes
    reset: bytes


class DeviceSpace:
    """One Function of a fixture. *answer* says how it reacts: as it should, with ones (no power, no link), busy, or gone."""

    def __init__(self, image: ImageSpace, clock: Clock, recorder: Recorder) -> None:
        self.bdf: Bdf = image.bdf
        self.answer: Answer = "ok"
        self._image = image
        self._first = bytes(image.data)
        self._clock = clock
        self._recorder = recorder
        self._found = found_capabilities(image.read, image.size)
        self._masks: Masks | None = None
        self._after: list[tuple[range, Callable[[], None]]] = []

    @property
    def size(self) -> int:
        """Bytes that can be read, as in the capture."""
        return self._image.size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly *length* bytes at *offset*; ShortReadError, GoneError, BusyError. What waits for this read happens after it."""
        self._recorder.reads[self.bdf, offset, length] += 1
        self._check_present()
        data = self._image.read(offset, length)
        if self._after:
            self._run_after(offset, length)
        return b"\xff" * length if self.answer == "ones" else data

    def write(self, offset: int, data: bytes) -> None:
        """Write one register of 1, 2 or 4 bytes; WriteRefusedError, GoneError, BusyError."""
        self._check_present()
        if len(data) not in (1, 2, 4) or offset % len(data) or offset + len(data) > self.size:
            raise WriteRefusedError(f"{self.bdf}: a write of {len(data)} bytes at {offset:#x} is no write of one register")
        self._recorder.writes.append(Write(self.bdf, offset, data, self._clock.boot_ns()))
        masks, image = self.masks(), self._image.data
        if self.answer == "ok":
            for at, byte in enumerate(data, offset):
                kept = image[at] & ~(byte & masks.clear[at])
                image[at] = kept & ~masks.store[at] | byte & masks.store[at]

    def rows(self) -> dict[int, bytes]:
        """All bytes as they are now, as rows of up to 16 by their offset, without a read that is recorded."""
        return self._image.rows()

    def locate(self, location: Location) -> int:
        """Offset of *location* in this Function; ValueError where the capability is not there or the bytes were not captured."""
        base = 0
        if location.capability:
            known = [c.offset for c in self._found if c.name == location.capability]
            if location.number >= len(known):
                raise ValueError(f"{self.bdf} has {len(known) or 'no'} {location.capability} in its capability lists")
            base = known[location.number]
        try:
            self._image.read(base + location.offset, location.width)
        except ShortReadError as err:
            raise ValueError(str(err)) from None
        return base + location.offset

    def put(self, offset: int, width: int, value: int) -> None:
        """Hardware's own change: *width* bytes at *offset* become *value*, whatever their access kind."""
        self._image.data[offset : offset + width] = value.to_bytes(width, "little")

    def word(self, offset: int, width: int) -> int:
        """The value there now, without a read that is recorded."""
        return int.from_bytes(self._image.data[offset : offset + width], "little")

    def after_read(self, offset: int, width: int, action: Callable[[], None]) -> None:
        """Run *action* once, after the next read that covers any byte of the register."""
        self._after.append((range(offset, offset + width), action))

    def power_on(self) -> None:
        """Back to the bytes of the capture."""
        self._image.data[:] = self._first
        self.answer = "ok"

    def hot_reset(self) -> None:
        """Clear the status bits that are not sticky; the rest is as software restores it."""
        data = self._image.data
        data[:] = bytes(byte & ~gone for byte, gone in zip(data, self.masks().reset, strict=True))

    def masks(self) -> Masks:
        """Which bits may be written, from the tables of the capabilities that are there."""
        if self._masks is None:
            self._masks = _masks(placed_registers(self._image.read, self.size), self.size)
        return self._masks

    def _check_present(self) -> None:
        if self.answer == "gone":
            raise GoneError(f"{self.bdf}: the Function is gone")
        if self.answer == "busy":
            raise BusyError(f"{self.bdf}: the read did not come back in time")

    def _run_after(self, offset: int, length: int) -> None:
        asked = range(offset, offset + length)
        due = [entry for entry in self._after if entry[0].start < asked.stop and asked.start < entry[0].stop]
        self._after = [entry for entry in self._after if entry not in due]
        for _, action in due:
            action()


def _masks(placed: Iterable[Placed], size: int) -> Masks:
    clear, store, reset = bytearray(size), bytearray(size), bytearray(size)
    for offset, register in ((p.offset, p.register) for p in placed):
        _mark(clear, offset, register, _bits(register, lambda access: access.clearable))
        _mark(store, offset, register, _bits(register, _WRITABLE.__contains__))
        _mark(reset, offset, register, _bits(register, lambda access: access.clearable and access not in _STICKY))
    return Masks(bytes(clear), bytes(store), bytes(reset))


def _bits(register: Register, wanted: Callable[[Access], bool]) -> int:
    if not register.fields:
        return (1 << 8 * register.width) - 1 if wanted(register.access) else 0
    return sum(field.mask for field in register.fields if wanted(register.access_of(field)))


def _mark(target: bytearray, offset: int, register: Register, bits: int) -> None:
    for at, byte in enumerate(bits.to_bytes(register.width, "little"), offset):
        target[at] |= byte
