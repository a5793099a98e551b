"""Live configuration space: `config` files of a sysfs root, read with pread on kept descriptors, opened on first use.

The steady state of a look is one pread a Function and nothing else.
"""

from __future__ import annotations

import errno
import os
import resource
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pcifma.errors import GoneError, ReadError, ShortReadError
from pcifma.regs.bdf import Bdf

DEVICES = "bus/pci/devices"
UNPRIVILEGED_SIZE = 64
_GONE = frozenset({errno.ENOENT, errno.ENODEV, errno.ENXIO})
_SPARE_DESCRIPTORS = 64  # for everything else this process opens
_STATUS = 0x06
_HAS_CAPABILITIES = 0x10
_CAPABILITIES_POINTER = 0x34  # PCIe Base Spec 7.5.1.1.11

# Gives a descriptor that may be read, for the path of a `config` file; OSError as open(2).
Opener = Callable[[str], int]


def open_config(path: str) -> int:
    """Open *path* for reading; OSError."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)


def descriptor_limit(wanted: int) -> int:
    """How many of *wanted* files may stay open within RLIMIT_NOFILE; its soft limit is raised for them where it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _SPARE_DESCRIPTORS
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return wanted
    soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, soft - _SPARE_DESCRIPTORS)


class DescriptorPool:
    """Keeps at most *limit* files open; the one opened first is closed first. *roomy*: no file need ever be closed for another."""

    def __init__(self, opener: Opener = open_config) -> None:
        self.opener = opener
        self.limit = 1
        self.roomy = True
        self._open: deque[SysfsSpace] = deque()

    def fit(self, functions: int, limit: int) -> None:
        """Make room for *functions* files, of which *limit* may stay open."""
        self.limit = limit
        self.roomy = functions <= limit

    def admit(self, space: SysfsSpace) -> None:
        """Count *space* as open, closing the oldest where there are too many."""
        self._open.append(space)
        while len(self._open) > self.limit:
            self._open[0].close()

    def forget(self, space: SysfsSpace) -> None:
        """*space* was closed."""
        self._open.remove(space)


class SysfsSpace:
    """One Function's `config` file."""

    __slots__ = ("_fd", "_path", "_pool", "_size", "bdf", "gone")

    def __init__(self, bdf: Bdf, path: str, pool: DescriptorPool) -> None:
        self.bdf = bdf
        self._path = path
        self._pool = pool
        self._fd = -1
        self._size = 0
        self.gone = False  # seen to be gone: whatever comes back under this address needs a new descriptor

    @property
    def size(self) -> int:
        """Bytes that can be read; 64 where the kernel gives no more.

        Learned once from the file's size and, where a capability list begins beyond byte 64, from a read of its first
        header: no other byte is touched. GoneError, ReadError.
        """
        if not self._size:
            self._size = self._learn_size()
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly *length* bytes at *offset*; ShortReadError, GoneError, ReadError."""
        fd = self._fd
        if fd < 0:
            fd = self._open()
        try:
            data = os.pread(fd, length, offset)
        except OSError as err:
            raise self._failed(err) from None
        if len(data) != length:
            raise ShortReadError(f"{self.bdf}: {len(data)} of {length} bytes at {offset:#x}: only root sees more than 64 bytes")
        return data

    def fileno(self) -> int | None:
        """A descriptor that stays open for as long as the Function is in its mapping (and until the rescan after that one);
        None where there are more Functions than files may be open, or the file cannot be opened.
        """
        if self._fd < 0 and self._pool.roomy:
            try:
                self._open()
            except ReadError:
                return None
        return self._fd if self._pool.roomy else None

    def close(self) -> None:
        """Close the descriptor; the next read opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._pool.forget(self)

    def _open(self) -> int:
        try:
            self._fd = self._pool.opener(self._path)
        except OSError as err:
            raise self._failed(err) from None
        self._pool.admit(self)
        return self._fd

    def _failed(self, err: OSError) -> ReadError:
        # The descriptor stays open: a batch may hold its number.
        if err.errno in _GONE:
            self.gone = True
            return GoneError(f"{self.bdf}: the Function is gone ({err.strerror})")
        return ReadError(f"{self.bdf}: {self._path} cannot be read: {err.strerror}")

    def _learn_size(self) -> int:
        declared = os.fstat(self._fd if self._fd >= 0 else self._open()).st_size
        if declared <= UNPRIVILEGED_SIZE:
            return declared
        header = self.read(_STATUS, _CAPABILITIES_POINTER + 1 - _STATUS)
        first = header[-1] & ~3
        if not header[0] & _HAS_CAPABILITIES or first < UNPRIVILEGED_SIZE:
            return declared
        try:
            self.read(first, 2)
        except ShortReadError:
            return UNPRIVILEGED_SIZE
        return declared


class SysfsConfigs(Mapping[Bdf, SysfsSpace]):
    """All Functions below *root* (`/sys`, or a copy of it), in address order. `rescan` follows hot-plug."""

    def __init__(self, root: Path, addresses: Sequence[Bdf] | None = None, *, opener: Opener = open_config) -> None:
        self._devices = f"{root}/{DEVICES}"
        self._spaces: dict[Bdf, SysfsSpace] = {}
        self._left: list[SysfsSpace] = []
        self._pool = DescriptorPool(opener)
        self.rescan(addresses)

    def __getitem__(self, bdf: Bdf) -> SysfsSpace:
        return self._spaces[bdf]

    def __iter__(self) -> Iterator[Bdf]:
        return iter(self._spaces)

    def __len__(self) -> int:
        return len(self._spaces)

    def rescan(self, addresses: Sequence[Bdf] | None = None) -> None:
        """Take in what is there now (*addresses*, or the directory's entries); a Function that stayed keeps its descriptor."""
        found = sorted(_listed(self._devices) if addresses is None else addresses)
        there = set(found)
        for space in self._left:
            space.close()
        stay = {bdf: space for bdf, space in self._spaces.items() if bdf in there and not space.gone}
        self._left = [space for bdf, space in self._spaces.items() if bdf not in stay]
        self._pool.fit(len(found), descriptor_limit(len(found)))
        self._spaces = {bdf: stay.get(bdf) or self._new(bdf) for bdf in found}

    def close(self) -> None:
        """Close every descriptor."""
        for space in (*self._left, *self._spaces.values()):
            space.close()

    def _new(self, bdf: Bdf) -> SysfsSpace:
        return SysfsSpace(bdf, f"{self._devices}/{bdf}/config", self._pool)


def _listed(devices: str) -> Iterator[Bdf]:
    try:
        names = os.listdir(devices)  # noqa: PTH208 - a thousand names, no Path objects
    except OSError:
        return
    for name in names:
        try:
            yield Bdf.parse(name)
        except ValueError:
            continue
