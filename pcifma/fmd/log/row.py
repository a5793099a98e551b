"""An ereport as rows: its origin, which all ereports of one bit of one target share, and what is its own.

Together they give back exactly the ereport that went in; an origin is written once, so that a row of a storm is small.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

import msgspec

from pcifma.event.ereport import Ereport
from pcifma.event.identity import utc
from pcifma.event.value import PayloadValue, Severity, Trust

# Members of a payload that belong to the bit and not to one occurrence of it.
_FIXED = ("register", "bit", "name", "masked")
_INT64 = range(-(1 << 63), 1 << 63)


class Origin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What does not change between two ereports of the same bit: the key of folding."""

    class_: str
    version: int = 1
    host: str
    boot: str
    device: str
    detector: dict[str, str]
    resource: str
    fabric: str
    severity: Severity
    plugin: str
    sources: list[str]
    trust: Trust
    first_look: bool = False
    residue: bool = False
    injected: bool | msgspec.UnsetType = msgspec.UNSET
    maintenance: str | msgspec.UnsetType = msgspec.UNSET
    payload: dict[str, PayloadValue] = {}


class Arrival(msgspec.Struct, gc=False):
    """An ereport on its way into the log. *origin* is the encoded Origin; times in ns, *ena* and *uuid* as bytes."""

    origin: bytes
    uuid: bytes
    tick: int
    wall_ns: int
    not_before_ns: int | None
    boot_ns: int
    ena: bytes
    count: int
    first_ns: int | None
    last_ns: int | None
    payload: bytes


_ENCODER = msgspec.json.Encoder()
_replace = msgspec.structs.replace
_ORIGIN = msgspec.json.Decoder(Origin)
_PAYLOAD = msgspec.json.Decoder(dict[str, PayloadValue])


@lru_cache(maxsize=1024)
def wall_of(text: str) -> int:
    """RFC 3339 UTC with nine digits, as contract 4.1 writes it, in ns since 1970; ValueError for anything else."""
    if len(text) != 30 or text[19] != "." or text[29] != "Z":
        raise ValueError(f"{text!r} is no time: write YYYY-MM-DDThh:mm:ss.nnnnnnnnnZ")
    whole = datetime.fromisoformat(text[:19] + "+00:00")
    return int(whole.timestamp()) * 1_000_000_000 + int(text[20:29])


_text_of = lru_cache(maxsize=1024)(utc)


def uuid_bytes(text: str) -> bytes:
    """A uuid as the 16 bytes that the tables hold; ValueError for anything else."""
    body = bytes.fromhex(text.replace("-", ""))
    if len(body) != 16 or len(text) != 36:
        raise ValueError(f"{text!r} is no uuid")
    return body


def uuid_text(body: bytes) -> str:
    """The 16 bytes of a uuid as text."""
    digits = body.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def arrival(event: Ereport, boot_ns: int) -> Arrival:
    """Take *event* apart; ValueError if a field does not follow the contract."""
    fixed = {key: event.payload[key] for key in _FIXED if key in event.payload}
    rest = {key: value for key, value in event.payload.items() if key not in fixed}
    if event.count not in _INT64 or event.tick not in _INT64 or event.count < 1:
        raise ValueError(f"ereport {event.uuid}: count {event.count} or tick {event.tick} is out of range")
    return Arrival(
        _ENCODER.encode(_origin(event, fixed)),
        uuid_bytes(event.uuid),
        event.tick,
        wall_of(event.time),
        None if event.not_before is None else wall_of(event.not_before),
        boot_ns,
        bytes.fromhex(event.ena),
        event.count,
        wall_of(event.first) if isinstance(event.first, str) else None,
        wall_of(event.last) if isinstance(event.last, str) else None,
        _ENCODER.encode(rest),
    )


def _origin(event: Ereport, fixed: dict[str, PayloadValue]) -> Origin:
    return Origin(
        class_=event.class_,
        version=event.version,
        host=event.host,
        boot=event.boot,
        device=event.device,
        detector=event.detector,
        resource=event.resource,
        fabric=event.fabric,
        severity=event.severity,
        plugin=event.plugin,
        sources=event.sources,
        trust=event.trust,
        first_look=event.first_look,
        residue=event.residue,
        injected=event.injected,
        maintenance=event.maintenance,
        payload=fixed,
    )


def origin_of(body: bytes) -> Origin:
    """Read an encoded origin."""
    return _ORIGIN.decode(body)


def with_sources(body: bytes, other: bytes) -> bytes:
    """The encoded origin *body* with the sources of *other* beside its own."""
    if body == other:
        return body
    known, new = origin_of(body), origin_of(other)
    sources = list(dict.fromkeys([*known.sources, *new.sources]))
    return body if sources == known.sources else _ENCODER.encode(msgspec.structs.replace(known, sources=sources))


def ereport(seq: int, row: Arrival) -> Ereport:
    """Put the ereport numbered *seq* together again."""
    pattern, payload = _pattern(row.origin), _PAYLOAD.decode(row.payload)
    whole = _replace(
        pattern,
        uuid=uuid_text(row.uuid),
        seq=seq,
        tick=row.tick,
        time=_text_of(row.wall_ns),
        not_before=None if row.not_before_ns is None else _text_of(row.not_before_ns),
        count=row.count,
        ena=row.ena.hex(),
        payload={**pattern.payload, **payload} if pattern.payload else payload,
    )
    if row.first_ns is None and row.last_ns is None:
        return whole
    first, last = (msgspec.UNSET if ns is None else _text_of(ns) for ns in (row.first_ns, row.last_ns))
    return _replace(whole, first=first, last=last)


@lru_cache(maxsize=1024)
def _pattern(body: bytes) -> Ereport:
    # What all ereports of the encoded origin *body* have in common. Lists and dicts are shared: nobody changes those of an ereport.
    origin = origin_of(body)
    return Ereport(
        class_=origin.class_,
        version=origin.version,
        uuid="",
        host=origin.host,
        boot=origin.boot,
        seq=0,
        tick=0,
        time="",
        not_before=None,
        first_look=origin.first_look,
        residue=origin.residue,
        ena="",
        device=origin.device,
        detector=origin.detector,
        resource=origin.resource,
        fabric=origin.fabric,
        severity=origin.severity,
        plugin=origin.plugin,
        sources=origin.sources,
        trust=origin.trust,
        payload=origin.payload,
        injected=origin.injected,
        maintenance=origin.maintenance,
    )
