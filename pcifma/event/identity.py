"""Identity of an ereport: uuid, ENA, time. All are functions of what was seen, so a repeat after a crash is the same event."""

from __future__ import annotations

import hashlib
import uuid
from datetime import UTC, datetime
from functools import lru_cache

# Version 5 UUIDs of pcifma live under this name space (itself version 5 of DNS "ereport.pcifma").
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "ereport.pcifma")

_ENA_FORMAT_2 = 2
_ENA_ID_SHIFT = 10
_ENA_ID_BITS = 54


def ereport_uuid(host: str, boot: str, target: str, register: str, bit: int, *, occurrence: int) -> str:
    """The uuid of the *occurrence*-th (from 0) rise of *bit* of *register* at *target* (its identity, never a BDF alone)."""
    return name_uuid("\0".join((host, boot, target, register, str(bit), str(occurrence))))


def name_uuid(name: str) -> str:
    """The version 5 UUID of *name* under NAMESPACE (RFC 4122, 4.3), as uuid.uuid5 makes it but ten times as fast: storms need one each."""
    digest = bytearray(hashlib.sha1(NAMESPACE.bytes + name.encode(), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def ena(snapshot: int) -> str:
    """A format 2 ENA for the per-host *snapshot* number, as 16 hex digits (facts: 54 bits above a 10-bit tail)."""
    return f"{(snapshot & (1 << _ENA_ID_BITS) - 1) << _ENA_ID_SHIFT | _ENA_FORMAT_2:016x}"


def utc(ns: int) -> str:
    """Nanoseconds since 1970 as RFC 3339 UTC with nine digits."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{_second(seconds)}.{rest:09d}Z"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
