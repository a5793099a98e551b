"""Writing logged bits back: which registers may be written, where they lie, and the one write there is.

Everything is found again from the registers themselves; nothing that the daemon says is believed but which bits it logged.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from functools import cache

from pcifma.fmd.keeper.message import Kind
from pcifma.regs import catalogue
from pcifma.regs.table import Register

_ALL_ONES = 0xFFFFFFFF
_KINDS = {"header": Kind.HEADER, "standard": Kind.STANDARD, "extended": Kind.EXTENDED}
_STANDARD_LIMIT = 48  # 192 bytes behind the header, 4 a capability at least
_EXTENDED_LIMIT = 480  # 3840 bytes, 8 a capability at least
_EXP_ID = 0x10
_ROOT_CONTROL = 0x1C
_SYSTEM_ERROR_ENABLES = 0x7  # Root Control 2:0 (PCIe Base Spec 7.5.3.12): firmware wants to hear of errors by SERR
_ROOT_TYPES = frozenset({0x4, 0xA})


class AckError(Exception):
    """Why nothing was written; one line."""


def refused(err: OSError, done: str) -> str:
    """Why configuration space cannot be *done* (`opened`, `written`): what usually stands behind the kernel's word, first."""
    behind = {
        errno.EROFS: "sysfs is read-only here (a confined service, a container)",
        errno.EPERM: "the kernel allows no write (lockdown)",
        errno.EACCES: "only root may write",
    }.get(err.errno or 0)
    return f"{behind}: {err.strerror}" if behind else f"cannot be {done}: {err.strerror}"


@dataclass(frozen=True, slots=True)
class Row:
    """A register that may be acknowledged: *mask* of its RW1C bits that have an ereport."""

    register: Register
    mask: int


@cache
def rows() -> dict[tuple[int, int, int, int], tuple[Row, ...]]:
    """Acknowledgeable registers by (kind, capability id, offset, width); several where the Device/Port Type decides."""
    found: dict[tuple[int, int, int, int], tuple[Row, ...]] = {}
    for capability in catalogue.CAPABILITIES:
        for register in capability.registers:
            row = Row(register, _clearable(register)) if register.ack else None
            if row is not None and row.mask:
                key = (_KINDS[capability.kind], capability.id, register.offset, register.width)
                found[key] = (*found.get(key, ()), row)
    return found


def _clearable(register: Register) -> int:
    fields = (f for f in register.fields if f.ereport and register.access_of(f).clearable)
    return sum(f.mask for f in fields)


class Registers:
    """Configuration space behind an open file descriptor. AckError on a short read or an error."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read(self, offset: int, width: int) -> int:
        """The word of *width* bytes at *offset*."""
        try:
            data = os.pread(self._fd, width, offset)
        except OSError as err:
            raise AckError(f"read at {offset:#x}: {err.strerror}") from err
        if len(data) != width:
            raise AckError(f"read at {offset:#x}: {len(data)} of {width} bytes")
        return int.from_bytes(data, "little")

    def write(self, offset: int, width: int, value: int) -> None:
        """Write *value* in one piece."""
        try:
            done = os.pwrite(self._fd, value.to_bytes(width, "little"), offset)
        except OSError as err:
            raise AckError(refused(err, "written")) from err
        if done != width:
            raise AckError(f"write at {offset:#x}: {done} of {width} bytes")

    def find(self, kind: int, id_: int) -> int | None:
        """Offset of the first capability with that id, following the chain; None if absent or the chain is broken."""
        if kind == Kind.HEADER:
            return 0
        return self._standard(id_) if kind == Kind.STANDARD else self._extended(id_)

    def _standard(self, id_: int) -> int | None:
        if not self.read(0x06, 2) & 0x10:
            return None
        at = self.read(0x14 if self.layout == 2 else 0x34, 1) & ~3
        for _ in range(_STANDARD_LIMIT):
            if at < 0x40:
                return None
            head = self.read(at, 2)
            if head & 0xFF == id_:
                return at
            at = head >> 8 & ~3
        return None

    def _extended(self, id_: int) -> int | None:
        at = 0x100
        for _ in range(_EXTENDED_LIMIT):
            head = self.read(at, 4)
            if head in (0, _ALL_ONES):
                return None
            if head & 0xFFFF == id_:
                return at
            at = head >> 20 & ~3
            if at < 0x100:
                return None
        return None

    def version(self, kind: int, base: int) -> int:
        """The version that the capability at *base* says of itself; 1 where its kind has none in a common place."""
        if kind == Kind.EXTENDED:
            return self.read(base, 4) >> 16 & 0xF
        return self.read(base + 2, 2) & 0xF if kind == Kind.STANDARD and self.read(base, 1) == _EXP_ID else 1

    @property
    def layout(self) -> int:
        """Header type without the multi-Function bit: 0 Function, 1 bridge, 2 CardBus bridge."""
        return self.read(0x0E, 1) & 0x7F

    @property
    def port_type(self) -> int | None:
        """Device/Port Type, or None for conventional PCI."""
        at = self._standard(_EXP_ID)
        return None if at is None else self.read(at + 2, 2) >> 4 & 0xF

    def check_present(self) -> None:
        """AckError where nothing answers."""
        if self.read(0, 4) == _ALL_ONES:
            raise AckError("gone: configuration space reads all ones")

    def tells_firmware(self) -> bool:
        """True for a Root Port or Event Collector whose Root Control sends errors to firmware."""
        at = self._standard(_EXP_ID)
        if at is None or self.read(at + 2, 2) >> 4 & 0xF not in _ROOT_TYPES:
            return False
        return bool(self.read(at + _ROOT_CONTROL, 2) & _SYSTEM_ERROR_ENABLES)


def acknowledge(registers: Registers, key: tuple[int, int, int, int], bits: int) -> tuple[int, int]:
    """Write ones to those of *bits* that are set now; the register before and after. AckError if the row does not allow it.

    Every other bit of the write is zero: RO, RsvdZ or RW1C in every row of the table, so that it changes nothing.
    """
    registers.check_present()
    kind, id_, offset, width = key
    base = registers.find(kind, id_)
    if base is None:
        raise AckError("the Function has no such capability")
    row = _row(registers, key, registers.version(kind, base))
    if bits == 0 or bits & ~row.mask:
        raise AckError(f"{row.register.title}: bits {bits & ~row.mask:#x} may not be written")
    before = registers.read(base + offset, width)
    if before == (1 << 8 * width) - 1:
        raise AckError(f"{row.register.title} reads all ones")
    if before & bits:
        registers.write(base + offset, width, before & bits)
    return before, registers.read(base + offset, width)


def _row(registers: Registers, key: tuple[int, int, int, int], version: int) -> Row:
    candidates = rows().get(key)
    if candidates is None:
        raise AckError("no register that is ever written")
    port_type, layout = registers.port_type, registers.layout
    for row in candidates:
        if row.register.present(port_type, layout, version):
            return row
    raise AckError(f"{candidates[0].register.title}: this type of Function does not have it")
