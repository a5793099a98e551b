"""Live configuration space: `config` files of a sysfs root, read with pread on kept descriptors, opened on first use.

The steady state of a look is one pread a Function and nothing else; Batch makes it in one call.
"""

from __future__ import annotations

import errno
import os
import resource
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pcifma.errors import GoneError, ReadError, ShortReadError
from pcifma.regs.bdf import Bdf

DEVICES = "bus/pci/devices"
UNPRIVILEGED_SIZE = 64
_GONE = frozenset({errno.ENOENT, errno.ENODEV, errno.ENXIO})
_SPARE_DESCRIPTORS = 64  # for everything else this process opens
_CAP_POINTER = 0x34  # PCIe Base Spec 7.5.1.1.11
_STATUS_WITH_CAPS = 0x06
_HAS_CAPS = 0x10


class DescriptorPool:
    """Keeps at most *limit* files open; the one opened first is closed first. A tree that fits is never reopened."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._open: deque[SysfsSpace] = deque()

    @classmethod
    def for_functions(cls, count: int) -> DescriptorPool:
        """As many as *count* Functions need, within RLIMIT_NOFILE (its soft limit is raised for them where it may be)."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = count + _SPARE_DESCRIPTORS
        if soft != resource.RLIM_INFINITY and wanted > soft:
            soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return cls(max(1, count if soft == resource.RLIM_INFINITY else soft - _SPARE_DESCRIPTORS))

    def admit(self, space: SysfsSpace) -> None:
        """Count *space* as open, closing the oldest where there are too many."""
        self._open.append(space)
        while len(self._open) > self.limit:
            self._open.popleft().close()

    def forget(self, space: SysfsSpace) -> None:
        """*space* was closed."""
        if space in self._open:
            self._open.remove(space)


class SysfsSpace:
    """One Function's `config` file. *descriptor* is -1 while it is closed."""

    __slots__ = ("_path", "_pool", "_size", "bdf", "descriptor")

    def __init__(self, bdf: Bdf, path: str, pool: DescriptorPool) -> None:
        self.bdf = bdf
        self._path = path
        self._pool = pool
        self.descriptor = -1
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes that can be read; 64 where the kernel gives no more.

        Learned once from the file's size and, where a capability list begins beyond byte 64, from a read of its first
        header. GoneError, ReadError.
        """
        if not self._size:
            self._size = self._learn_size()
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly *length* bytes at *offset*; ShortReadError, GoneError, ReadError."""
        fd = self.descriptor
        if fd < 0:
            fd = self.fileno()
        try:
            data = os.pread(fd, length, offset)
        except OSError as err:
            raise self._failed(err) from None
        if len(data) != length:
            raise ShortReadError(f"{self.bdf}: {len(data)} of {length} bytes at {offset:#x}: only root sees more than 64 bytes")
        return data

    def fileno(self) -> int:
        """The open descriptor, opened now where it is not; GoneError, ReadError."""
        if self.descriptor < 0:
            try:
                self.descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            except OSError as err:
                raise self._failed(err) from None
            self._pool.admit(self)
        return self.descriptor

    def close(self) -> None:
        """Close the descriptor; the next read opens it again."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _failed(self, err: OSError) -> ReadError:
        if self.descriptor >= 0:
            self.close()
            self._pool.forget(self)
        if err.errno in _GONE:
            return GoneError(f"{self.bdf}: the Function is gone ({err.strerror})")
        return ReadError(f"{self.bdf}: {self._path} cannot be read: {err.strerror}")

    def _learn_size(self) -> int:
        declared = os.fstat(self.fileno()).st_size
        if declared <= UNPRIVILEGED_SIZE or not self.read(_STATUS_WITH_CAPS, 1)[0] & _HAS_CAPS:
            return declared
        first = self.read(_CAP_POINTER, 1)[0] & 0xFC
        if first < UNPRIVILEGED_SIZE:
            return declared
        try:
            self.read(first, 2)
        except ShortReadError:
            return UNPRIVILEGED_SIZE
        return declared


class SysfsConfigs(Mapping[Bdf, SysfsSpace]):
    """All Functions below *root* (`/sys`, or a copy of it), in address order. `rescan` follows hot-plug."""

    def __init__(self, root: Path, addresses: Sequence[Bdf] | None = None) -> None:
        self._devices = root / DEVICES
        self._spaces: dict[Bdf, SysfsSpace] = {}
        self._pool = DescriptorPool(1)
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
        self._pool.limit = DescriptorPool.for_functions(len(found)).limit
        for bdf in self._spaces.keys() - set(found):
            space = self._spaces.pop(bdf)
            space.close()
            self._pool.forget(space)
        self._spaces = {bdf: self._spaces.get(bdf) or self._new(bdf) for bdf in found}

    def _new(self, bdf: Bdf) -> SysfsSpace:
        return SysfsSpace(bdf, str(self._devices / str(bdf) / "config"), self._pool)

    def close(self) -> None:
        """Close every descriptor."""
        for space in self._spaces.values():
            space.close()
        self._pool = DescriptorPool(self._pool.limit)


def _listed(devices: Path) -> Iterator[Bdf]:
    try:
        names = os.listdir(devices)  # noqa: PTH208 - a thousand names, no Path objects
    except OSError:
        return
    for name in names:
        try:
            yield Bdf.parse(name)
        except ValueError:
            continue


class Batch:
    """Many small reads, one pread each and no work in between: the fast tier's look."""

    def __init__(self, reads: Sequence[tuple[SysfsSpace, int, int]]) -> None:
        self._reads = tuple(reads)
        self._spaces = [space for space, _, _ in reads]
        self._lengths = [length for _, _, length in reads]
        self._offsets = [offset for _, offset, _ in reads]

    def read(self) -> list[bytes]:
        """The bytes of each (space, offset, length), in order; OSError or ReadError where any of them cannot be had (read
        them one by one then, to learn which). A short read comes back short.
        """
        descriptors = [space.descriptor for space in self._spaces]
        if -1 in descriptors:
            for space in self._spaces:
                space.fileno()
            descriptors = [space.descriptor for space in self._spaces]
            if -1 in descriptors:  # more Functions than this process may open files
                return [space.read(offset, length) for space, offset, length in self._reads]
        return list(map(os.pread, descriptors, self._lengths, self._offsets))
