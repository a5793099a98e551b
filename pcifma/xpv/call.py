"""Call: one operation that a control tool asked of the hypervisor, and how it came back.

One ioctl is one call, but for a multicall, which is as many as it has entries. (libxc wraps every memory_op in a multicall of one entry
on 64-bit Linux since Xen 4.15.1, tools/libs/ctrl/xc_private.c; its result then lies in that entry, and the ioctl itself returns 0.)
"""

import struct
from dataclasses import dataclass

from pcifma.xpv.argument import Argument, domain
from pcifma.xpv.probe import Site

# Returns above this are -errno, as IS_ERR_VALUE has it in Linux.
MAX_ERRNO = 4095


@dataclass(frozen=True, slots=True)
class Call:
    """A call that began. *words* are its argument bytes, *struct* the bytes of its structure (empty where nothing meaningful was read).

    *entry* of *entries* is its place in a multicall. *elements* are the entries of an mmap ioctl, as far as they were read.
    """

    site: Site
    cpu: int
    tid: int
    comm: str
    start_ns: int
    words: bytes = b""
    struct: bytes = b""
    entry: int = 0
    entries: int = 1
    elements: tuple[bytes, ...] = ()

    @property
    def domain(self) -> int | None:
        """The domain that the call acts on; None where it acts on none, or it could not be read."""
        argument = domain(*self.site)
        return argument.value(self.words, self.struct) if argument else None

    def value(self, argument: Argument) -> int | None:
        """Return the number that *argument* has in this call, None where it could not be read."""
        return argument.value(self.words, self.struct)

    def number(self, offset: int, size: int) -> int | None:
        """Return *size* bytes at *offset* of the structure as a number, None where they were not read."""
        found = self.struct[offset : offset + size]
        return int.from_bytes(found, "little") if len(found) == size else None


@dataclass(frozen=True, slots=True)
class Return:
    """A call that ended. *result* is what the hypervisor said (negative: -errno), None where this kernel cannot tell.

    *failed* may be known without *result* (the C library keeps errno to itself). *created* is the new domain's id after dom-create.
    """

    call: Call
    cpu: int
    end_ns: int
    result: int | None
    failed: bool | None
    created: int | None = None

    @property
    def latency_ns(self) -> int:
        """How long the call took, in nanoseconds of the trace clock; never negative."""
        return max(0, self.end_ns - self.call.start_ns)


def signed(word: int) -> int:
    """Return the 64-bit *word* as the signed number it stands for."""
    return word - 2**64 if word >= 2**63 else word


def as_bytes(words: tuple[int, ...]) -> bytes:
    """Return 64-bit *words* as the bytes they came from."""
    return struct.pack(f"<{len(words)}Q", *words)


def is_error(result: int) -> bool:
    """Tell whether *result* is a -errno."""
    return -MAX_ERRNO <= result < 0
