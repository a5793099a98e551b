"""Xen's page-offline operation (XEN_SYSCTL_page_offline_op, hypercall 35), the one behind `xen-hptool mem-offline`.

A free page is offline at once. A page that a domain owns is marked pending: it goes when its owner lets it go, and until then nothing
is gained; giving it back takes the mark away.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import struct
from pathlib import Path

_SYSCTL, _PAGE_OFFLINE_OP = 35, 14
_OFFLINE, _ONLINE, _QUERY = 1, 2, 3
_IOCTL = 0x305000
# The version that each branch's headers have (xen/include/public/sysctl.h); another one is refused by Xen itself.
_VERSIONS = {13: 0x12, 14: 0x13, 15: 0x13, 16: 0x14, 17: 0x15, 18: 0x15, 19: 0x15, 20: 0x15, 21: 0x16, 22: 0x16}
_OFFLINED, _PENDING, _FAILED, _OWNED = 1 << 1, 1 << 2, 1 << 3, 1 << 12
_XEN_PAGE, _NOT_MEMORY = 1 << 8, 1 << 11
_STATUS_OFFLINED, _STATUS_PENDING = 1 << 1, 1 << 3
_NO_FRAME = 1 << 32


class PageError(Exception):
    """Why nothing was done; one line."""


def act(frame: int, *, restore: bool, sys: Path, dev: Path) -> str:
    """Take *frame* offline, or bring it back; what was done. PageError, OSError."""
    version = _version(sys)
    if frame >= _NO_FRAME:
        raise PageError(f"frame {frame:#x} is beyond what the operation can name")
    with _Call(dev, version) as call:
        if restore:
            call(_ONLINE, frame)
            left = call(_QUERY, frame)
            if left & (_STATUS_OFFLINED | _STATUS_PENDING):
                raise PageError(f"frame {frame:#x} is still {'offline' if left & _STATUS_OFFLINED else 'pending'}")
            return f"frame {frame:#x} is online"
        status = call(_OFFLINE, frame)
    if status & _NOT_MEMORY or status & _XEN_PAGE:
        raise PageError(f"frame {frame:#x} is {'no memory' if status & _NOT_MEMORY else 'a page of Xen itself'}")
    if status & _OFFLINED:
        return f"frame {frame:#x} is offline"
    if status & _PENDING:
        owner = f"domain {status >> 16 & 0xFFFF}" if status & _OWNED else "somebody"
        return f"frame {frame:#x} is pending: {owner} owns it, and it goes when that lets it go"
    raise PageError(f"frame {frame:#x}: Xen did not take it offline (status {status:#x})")


def _version(sys: Path) -> int:
    try:
        major, minor = (int((sys / "hypervisor/version" / name).read_text()) for name in ("major", "minor"))
    except (OSError, ValueError):
        raise PageError("Xen's version cannot be read") from None
    if major != 4 or minor not in _VERSIONS:
        raise PageError(f"Xen {major}.{minor}: its interface is not known here")
    return _VERSIONS[minor]


class _Call:
    # The hypercall, with its buffer in memory that neither moves nor faults.
    def __init__(self, dev: Path, version: int) -> None:
        self._version = version
        self._privcmd = os.open(dev / "xen/privcmd", os.O_RDWR | os.O_CLOEXEC)
        try:
            buffer = os.open(dev / "xen/hypercall", os.O_RDWR | os.O_CLOEXEC)
            self._memory = mmap.mmap(buffer, 4096)
            os.close(buffer)
        except OSError:
            os.close(self._privcmd)
            raise
        self._base = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))

    def __enter__(self) -> _Call:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._privcmd)

    def __call__(self, command: int, frame: int) -> int:
        status_at = 1024
        body = struct.pack("<III4xQ", command, frame, frame, self._base + status_at)
        self._memory[:136] = (struct.pack("<II", _PAGE_OFFLINE_OP, self._version) + body).ljust(136, b"\0")
        self._memory[status_at : status_at + 4] = bytes(4)
        fcntl.ioctl(self._privcmd, _IOCTL, bytearray(struct.pack("<6Q", _SYSCTL, self._base, 0, 0, 0, 0)))
        return int(struct.unpack_from("<I", self._memory, status_at)[0])
