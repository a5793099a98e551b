"""/dev/mcelog in a Xen dom0: the kernel's consumer of Xen's telemetry (drivers/xen/mcelog.c).

A read needs room for the whole buffer, or it is refused; it takes what it returns away from everybody else; it never waits, so poll(2)
is asked first. Records have no time, and the vendor byte means something else with each version of Xen.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pcifma.errors import SourceError

DEVICE = Path("/dev/mcelog")
# _IOR('M', n, int), asm/mce.h.
_RECORD_LENGTH, _LOG_LENGTH, _FLAGS = 0x80044D01, 0x80044D02, 0x80044D03
_OVERFLOW = 1
_LENGTHS, _LOG = (88, 4096), 1024  # a record of the oldest kernels; no buffer is longer
# struct mce (asm/mce.h); `cpu` is its extcpu, the hypervisor's number of the processor.
_RECORD = struct.Struct("<7Q2BHI4B3IQ")
_NAMES = (
    "status", "misc", "addr", "mcgstatus", "ip", "tsc", "time", "cpuvendor", "inject", "pad", "cpuid", "cs", "bank", "cpu8", "finished",
    "cpu", "socketid", "apicid", "mcgcap",
)  # fmt: skip
_HEX = frozenset({"status", "misc", "addr", "mcgstatus", "mcgcap", "tsc"})
_KEPT = (*sorted(_HEX), "bank", "cpu", "socketid", "apicid")


@dataclass(frozen=True, slots=True)
class Batch:
    """What one reading gave. *lost*: records did not fit into the kernel's buffer."""

    records: tuple[dict[str, str], ...] = ()
    lost: bool = False


class Mcelog:
    """The device, open. SourceError where it cannot be had."""

    def __init__(self, path: Path = DEVICE) -> None:
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as err:
            held = ": another program has it to itself: stop mcelog" if err.errno == errno.EBUSY else ""
            raise SourceError(f"{path}: {err.strerror}{held}") from None
        try:
            self._length, self._log = (self._ask(number) for number in (_RECORD_LENGTH, _LOG_LENGTH))
        except OSError as err:
            os.close(self._fd)
            raise SourceError(f"{path}: {err.strerror}: no device of machine checks") from None
        if not _LENGTHS[0] <= self._length <= _LENGTHS[1] or not 0 < self._log <= _LOG:
            os.close(self._fd)
            raise SourceError(f"{path}: {self._log} records of {self._length} bytes: no device of machine checks that is known here")

    def _ask(self, number: int) -> int:
        return int.from_bytes(fcntl.ioctl(self._fd, number, bytes(4)), "little")

    def read(self) -> Batch:
        """What has come since the last call."""
        waiting = select.poll()
        waiting.register(self._fd, select.POLLIN)
        if not waiting.poll(0):
            return Batch()
        try:
            data = os.read(self._fd, self._length * self._log)
            lost = bool(self._ask(_FLAGS) & _OVERFLOW)
        except OSError:
            return Batch()
        return Batch(tuple(records(data, self._length)), lost)

    def close(self) -> None:
        """Let go."""
        os.close(self._fd)


def records(data: bytes, length: int) -> Iterator[dict[str, str]]:
    """The records in *data*, each *length* bytes long, with the members that Xen fills in."""
    for at in range(0, len(data) - length + 1, length):
        padded = data[at : at + length].ljust(_RECORD.size, b"\0")
        found = dict(zip(_NAMES, _RECORD.unpack_from(padded), strict=True))
        yield {name: f"{found[name]:#x}" if name in _HEX else str(found[name]) for name in _KEPT}
