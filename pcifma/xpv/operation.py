"""Operation: one row of Xen's public interface, and how a family of them is numbered.

A family is one hypercall with sub-operations. `where` says where its number is found: in the header of the structure behind the first
argument, in the first argument itself, or in the first buffer of a device model call.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Where = Literal["header", "a0", "buffer"]

# Interface versions by release 4.N, xen/include/public/domctl.h and sysctl.h: (N, domctl, sysctl).
INTERFACES = (
    (10, 0x0F, 0x10),
    (11, 0x10, 0x11),
    (12, 0x11, 0x12),
    (13, 0x12, 0x12),
    (14, 0x12, 0x13),
    (15, 0x13, 0x13),
    (16, 0x14, 0x14),
    (17, 0x15, 0x15),
    (18, 0x16, 0x15),
    (19, 0x17, 0x15),
    (20, 0x17, 0x15),
    (21, 0x17, 0x16),
    (22, 0x18, 0x16),
)
# Structures with a version in their header carry a small one; anything else there is not such a structure (a stale read).
# platform.h and xen-mca.h keep one version for ever, flask_op.h is at 1; stable domctls carry 0.
FIXED_INTERFACES = {"platform_op": (0x03000001,), "mca": (0x01ECC003,), "xsm_op": (1,)}
_NEWEST_PLAUSIBLE = 0xFF


@dataclass(frozen=True, slots=True)
class Operation:
    """One sub-operation: its *number* inside its family, its *name*, and the releases 4.*since* to 4.*until* that have it."""

    number: int
    name: str
    since: int = 0
    until: int = 99


@dataclass(frozen=True, slots=True)
class Nested:
    """The operation *number* called *name* has operations of its own, numbered by *size* bytes at *offset* of its structure."""

    name: str
    number: int
    offset: int
    size: int
    rows: tuple[Operation, ...]
    prefix: str = ""

    def full_name(self, row: Operation) -> str:
        """Return *row*'s name with the prefix that the header gives it."""
        return (self.prefix or f"{self.name}_") + row.name


@dataclass(frozen=True, slots=True)
class Family:
    """A hypercall with sub-operations; *prefix* and *header* name its constants in xen/include/public."""

    name: str
    hypercall: int
    where: Where
    prefix: str
    header: str
    rows: tuple[Operation, ...]
    nested: tuple[Nested, ...] = ()


@dataclass(frozen=True, slots=True)
class Ioctl:
    """One ioctl of privcmd: its number *command*, and the *function* that its probes are named for."""

    command: int
    name: str
    function: str


def choose(rows: Iterable[Operation], number: int, releases: tuple[int, int] | None) -> Operation | None:
    """Return the row for *number* that fits *releases* (first and last 4.N), the newest when that does not decide; None if there is
    none.
    """
    found = [row for row in rows if row.number == number]
    if len(found) > 1 and releases is not None:
        first, last = releases
        found = [row for row in found if row.since <= last and row.until >= first] or found
    return max(found, key=lambda row: row.until, default=None)


def releases(family: str, interface: int) -> tuple[int, int] | None:
    """Return the first and last release 4.N whose tools send this *interface* version in *family*; None if it does not say."""
    column = {"domctl": 1, "sysctl": 2}.get(family)
    if column is None:
        return None
    found = [row[0] for row in INTERFACES if row[column] == interface]
    return (found[0], found[-1]) if found else None


def plausible(family: str, interface: int) -> bool:
    """Tell whether *interface* can be the version of a header of *family*; if not, what was read is no such header."""
    if family == "mmuext_op":
        return True
    fixed = FIXED_INTERFACES.get(family)
    return interface in fixed if fixed else interface <= _NEWEST_PLAUSIBLE
