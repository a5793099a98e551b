"""Banks as facts: a directory with a file for each processor whose banks may be read, `/msr/cpu3`."""

from __future__ import annotations

import errno
from functools import cached_property

from pcifma.access.host import TreeHost
from pcifma.access.mca.banks import Devices, content, refused
from pcifma.access.mca.processor import Processors, processors
from pcifma.access.mca.shared import Shared
from pcifma.access.tree import Tree

MOUNT = "/msr"


class BankTree:
    """The tree of the machine whose files are *base*. Whether its banks may be read is decided once: at boot the kernel was told."""

    def __init__(self, base: Tree, devices: Devices | None = None) -> None:
        self._host = TreeHost(base)
        self._devices = devices or Devices()

    @cached_property
    def _whose(self) -> Processors:
        return processors(self._host)

    @cached_property
    def _shared(self) -> Shared:
        return Shared(self._whose.places)

    @cached_property
    def _cpus(self) -> list[int]:
        cmdline = (self._host.read("/proc/cmdline") or b"").decode("utf-8", "replace")
        return [] if refused(cmdline, self._whose) else self._devices.processors()

    def content(self, path: str) -> bytes:
        """The file of one processor; OSError where there is none."""
        name = path.rstrip("/").rpartition("/")[2].removeprefix("cpu")
        if not name.isdecimal() or int(name) not in self._cpus:
            raise OSError(errno.ENOENT, "no such processor")
        return content(self._devices, int(name), self._whose, self._shared)

    def names(self, path: str) -> list[str]:
        """One for each processor."""
        if path.strip("/"):
            raise OSError(errno.ENOTDIR, "no directory")
        return [f"cpu{cpu}" for cpu in self._cpus]

    def link(self, path: str) -> str:
        """There is none."""
        raise OSError(errno.EINVAL, path)

    def close(self) -> None:
        """Let the processors' devices go."""
        self._devices.close()
