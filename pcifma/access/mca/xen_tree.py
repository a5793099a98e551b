"""What Xen says of the physical processors, as a fact: `/xen-mca/processor`, words as `name=value`."""

from __future__ import annotations

import errno

from pcifma.access.mca.processor import Processors

MOUNT = "/xen-mca"
NAME = "processor"


class XenTree:
    """A directory with one file. OSError where the hypercall cannot be had."""

    def content(self, path: str) -> bytes:
        """The file."""
        if path.strip("/") != NAME:
            raise OSError(errno.ENOENT, "no such file")
        from pcifma.access.mca.own import asked  # noqa: PLC0415 - few need the hypercall, and ctypes with it

        found = asked(Processors("", 0))
        if not found.vendor:
            raise OSError(errno.ENOENT, "no hypercall")
        cap = "" if found.mcg_cap is None else f" mcgcap={found.mcg_cap:#x}"
        return f"vendor={found.vendor} cpuid={found.cpuid:#x} processors={len(found.numbers)}{cap}\n".encode()

    def names(self, path: str) -> list[str]:
        """The one name."""
        return [NAME]

    def link(self, path: str) -> str:
        """There is none."""
        raise OSError(errno.EINVAL, path)
