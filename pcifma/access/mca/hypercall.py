"""Xen's hypercall of machine checks (XEN_MC_*, hypercall 48), through privcmd; and VIRQ_MCA, which says when to ask.

One queue has one consumer: whoever acknowledges takes a record from all others. So this is for where the kernel's own consumer is off,
and binding the interrupt, which only one may have, is how that is made sure. Buffers lie in memory of /dev/xen/hypercall, never in the
process's own. Everything is opened at once, since a daemon gives its rights away later.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import select
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pcifma.access.mca.processor import Processors, signature, vendor_of
from pcifma.access.mca.telemetry import Reported, parse
from pcifma.errors import SourceError
from pcifma.regs.mca import MCG_CAP

XEN = Path("/dev/xen")
_HYPERCALL_MCA = 48
_PRIVCMD = struct.Struct("<6Q")
_IOCTL_PRIVCMD, _IOCTL_BIND_VIRQ = 0x305000, 0x44500
_VIRQ_MCA = 16
_VERSION = 0x01ECC003
_BODY_BYTES, _OP_BYTES = 144, 152
_FETCH, _PHYSCPUINFO = 1, 3
NON_URGENT, URGENT, _ACK = 1, 2, 4
_FAILED_OR_EMPTY = 3
_PAGES, _PAGE = 64, 4096
_DATA_BYTES = 768
_CPU_BYTES = 304
_MSR_LIMIT = 8
_CPUS_LIMIT = (_PAGES - 1) * _PAGE // _CPU_BYTES
_FETCH_LIMIT = 64  # records of one reading: the queues hold 30


class Hypercall:
    """The hypercall, open. SourceError where it cannot be had."""

    def __init__(self, place: Path = XEN) -> None:
        self._fds: list[int] = []
        try:
            for name in ("privcmd", "hypercall"):
                self._fds.append(os.open(place / name, os.O_RDWR | os.O_CLOEXEC))
            self._memory = mmap.mmap(self._fds[1], _PAGES * _PAGE)
        except OSError as err:
            self.close()
            raise SourceError(f"{err.filename or place}: {err.strerror}: Xen's hypercalls need root and the module xen-privcmd") from None
        self._base = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))

    def call(self, command: int, body: bytes) -> None:
        """One operation; OSError has Xen's error number. What it returns lies in the buffer."""
        self._memory[:_OP_BYTES] = (struct.pack("<II", command, _VERSION) + body).ljust(_OP_BYTES, b"\0")
        fcntl.ioctl(self._fds[0], _IOCTL_PRIVCMD, bytearray(_PRIVCMD.pack(_HYPERCALL_MCA, self._base, 0, 0, 0, 0)))

    def processors(self) -> Processors:
        """What Xen says of the physical processors. OSError."""
        self.call(_PHYSCPUINFO, struct.pack("<IIQ", 0, 0, 0))
        count = min(struct.unpack_from("<I", self._memory, 8)[0], _CPUS_LIMIT)
        self.call(_PHYSCPUINFO, struct.pack("<IIQ", count, 0, self._base + _PAGE))
        rows = [self._memory[_PAGE + i * _CPU_BYTES : _PAGE + (i + 1) * _CPU_BYTES] for i in range(count)]
        if not rows:
            return Processors("", 0)
        family, vendor, model, step = struct.unpack_from("<iiii", rows[0], 36)
        del vendor  # Xen's own number of it, which changed between versions; the string stands for it
        text = rows[0][52:68].split(b"\0", 1)[0].decode("ascii", "replace")
        numbers = {struct.unpack_from("<I", row, 12)[0]: struct.unpack_from("<I", row, 0)[0] for row in rows}
        pairs = min(struct.unpack_from("<I", rows[0], 168)[0], _MSR_LIMIT)
        registers = dict(struct.iter_unpack("<QQ", rows[0][176 : 176 + 16 * pairs]))
        return Processors(vendor_of(text), signature(family, model, step), numbers=numbers, mcg_cap=registers.get(MCG_CAP))

    def fetch(self) -> Iterator[Reported]:
        """What waits, urgent records first; each is acknowledged when the next is asked for."""
        for kind in (URGENT, NON_URGENT):
            for _ in range(_FETCH_LIMIT):
                found = self._one(kind)
                if found is None:
                    break
                number, reported = found
                yield from reported
                try:
                    self.call(_FETCH, struct.pack("<IIQQ", kind | _ACK, 0, number, self._base + _PAGE))
                except OSError:
                    return  # it stays first in the queue, and is told again

    def _one(self, kind: int) -> tuple[int, list[Reported]] | None:
        self._memory[_PAGE : _PAGE + 8 + _DATA_BYTES] = bytes(8 + _DATA_BYTES)
        try:
            self.call(_FETCH, struct.pack("<IIQQ", kind, 0, 0, self._base + _PAGE))
        except OSError:
            return None
        flags, _, number = struct.unpack_from("<IIQ", self._memory, 8)
        if flags & _FAILED_OR_EMPTY:
            return None
        count = struct.unpack_from("<I", self._memory, _PAGE)[0]
        return number, parse(bytes(self._memory[_PAGE + 8 : _PAGE + 8 + _DATA_BYTES]), count)

    def close(self) -> None:
        """Let go. The memory stays mapped until nobody refers to it."""
        for fd in self._fds:
            with suppress(OSError):
                os.close(fd)
        self._fds = []


class Virq:
    """VIRQ_MCA, bound to this process. SourceError where somebody else has it."""

    def __init__(self, place: Path = XEN) -> None:
        try:
            self._fd = os.open(place / "evtchn", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as err:
            raise SourceError(f"{err.filename}: {err.strerror}: Xen's event channels need root and the module xen-evtchn") from None
        try:
            fcntl.ioctl(self._fd, _IOCTL_BIND_VIRQ, struct.pack("<I", _VIRQ_MCA))
        except OSError as err:
            os.close(self._fd)
            held = "the kernel's own consumer has it, and its /dev/mcelog is missing" if err.errno == errno.EEXIST else err.strerror
            raise SourceError(f"VIRQ_MCA cannot be bound: {held}") from None

    def rose(self) -> bool:
        """True if it has risen since the last call; it is armed again."""
        waiting = select.poll()
        waiting.register(self._fd, select.POLLIN)
        if not waiting.poll(0):
            return False
        with suppress(OSError):
            os.write(self._fd, os.read(self._fd, 4))
        return True

    def close(self) -> None:
        """Let it go to whoever wants it."""
        os.close(self._fd)
