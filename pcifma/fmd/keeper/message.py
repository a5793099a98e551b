"""What daemon and keeper say to each other: fixed-size datagrams on a SOCK_SEQPACKET pair, one reply to each request.

A reply to OPEN or FACT that succeeded carries one read-only file descriptor (SCM_RIGHTS). Everything that is not exactly a
request is answered BAD. Numbers are little-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from pcifma.regs.bdf import Bdf

MAGIC = 0x31524B50  # "PKR1"
NOWHERE = Bdf(0, 0, 0, 0)  # the address of a request that is about no Function

_REQUEST = struct.Struct("<IBBHIBBHHHI")
_REPLY = struct.Struct("<IBBHIII96s")
REQUEST_BYTES = _REQUEST.size
REPLY_BYTES = _REPLY.size
_TEXT_BYTES = 96


class Verb(IntEnum):
    """All that the keeper does."""

    OPEN = 1  # a Function's configuration space, read-only
    FACT = 2  # a root-only file of FACTS, read-only
    ACK = 3  # write logged RW1C bits back
    CPU = 4  # take a processor out of service, or give it back
    PAGE = 5  # the same of a page of memory
    FUNCTION = 6  # the same of a Function's driver


class Status(IntEnum):
    """How it went."""

    OK = 0
    REFUSED = 1  # not allowed: the text says by what
    ABSENT = 2  # no such Function, file or register
    FAILED = 3  # the kernel said no: the text says which error
    BAD = 4  # not a request


class Kind(IntEnum):
    """Where a register's offset counts from."""

    HEADER = 0
    STANDARD = 1
    EXTENDED = 2


# Root-only files, below /sys, that a daemon may ask for by index. Append only: the index is the protocol.
FACTS = (
    "firmware/acpi/tables/HEST",
    "firmware/acpi/tables/BERT",
    "firmware/acpi/tables/data/BERT",
    "firmware/acpi/tables/MCFG",
    "firmware/acpi/tables/DMAR",
    "firmware/acpi/tables/IVRS",
    "firmware/dmi/tables/smbios_entry_point",
    "firmware/dmi/tables/DMI",
    "class/dmi/id/product_serial",
    "class/dmi/id/product_uuid",
    "class/dmi/id/board_serial",
    "class/dmi/id/chassis_serial",
)


@dataclass(frozen=True, slots=True)
class Request:
    """One request. *bdf* for OPEN and ACK; *id* the capability's id (ACK) or the index of the fact (FACT).

    ACK: *offset* bytes from the capability, *width* bytes, *bits* the logged bits of that register. CPU, PAGE, FUNCTION: *kind* says
    how (retire.RETIRE, RESTORE, RETIRE_HARD); *id* is the processor's number; the page's frame is *offset* above *bits*.
    """

    verb: int
    number: int
    bdf: Bdf = NOWHERE
    kind: int = Kind.HEADER
    id: int = 0
    offset: int = 0
    width: int = 0
    bits: int = 0

    @property
    def frame(self) -> int:
        """The page's frame number, of 48 bits."""
        return self.offset << 32 | self.bits

    def pack(self) -> bytes:
        """The datagram."""
        where = (self.bdf.segment, self.bdf.bus, self.bdf.devfn)
        return _REQUEST.pack(MAGIC, self.verb, self.kind, self.number, *where, self.id, self.offset, self.width, self.bits)

    @classmethod
    def unpack(cls, data: bytes) -> Request | None:
        """The request of a datagram, or None if it is none; ranges beyond the format are the keeper's to check."""
        if len(data) != REQUEST_BYTES:
            return None
        magic, verb, kind, number, segment, bus, devfn, id_, offset, width, bits = _REQUEST.unpack(data)
        if magic != MAGIC:
            return None
        return cls(verb, number, Bdf(segment, bus, devfn >> 3, devfn & 7), kind, id_, offset, width, bits)


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to request *number*. *before* and *after*: the register around an ACK. *size*: the opened file's, in bytes."""

    status: Status
    number: int = 0
    verb: int = 0
    before: int = 0
    after: int = 0
    size: int = 0
    text: str = ""

    def pack(self) -> bytes:
        """The datagram; a long text is cut."""
        text = self.text.encode("ascii", "replace")[:_TEXT_BYTES]
        return _REPLY.pack(MAGIC, self.status, self.verb, self.number, self.before, self.after, self.size, text)

    @classmethod
    def unpack(cls, data: bytes) -> Reply | None:
        """The reply of a datagram, or None if it is none."""
        if len(data) != REPLY_BYTES:
            return None
        magic, status, verb, number, before, after, size, text = _REPLY.unpack(data)
        if magic != MAGIC or status > max(Status):
            return None
        return cls(Status(status), number, verb, before, after, size, text.rstrip(b"\0").decode("ascii", "replace"))
