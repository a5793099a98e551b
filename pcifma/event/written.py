"""Lines about register writes: the ledger's rows, what an order refused or left alone, and the trailers. Contract 7."""

from __future__ import annotations

from typing import Literal

import msgspec

WriteOutcome = Literal["done", "clear", "refused", "unknown"]


class WriteLine(msgspec.Struct, frozen=True, kw_only=True):
    """One write: *written* are the ones of it, *before* and *after* the register around it (null: not known)."""

    class_: Literal["register.write"] = msgspec.field(name="class", default="register.write")
    version: int = 1
    id: str
    time: str
    boot: str
    device: str
    register: str
    width: int
    before: int | None
    written: int
    after: int | None
    outcome: WriteOutcome
    why: str
    ereports: list[str]
    case: str
    command: str
    uid: int | None
    pid: int | None


class WritesSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The trailer of `writes`: *writes* were ever made, *unknown* may have been, *rows* are shown."""

    class_: Literal["writes.summary"] = msgspec.field(name="class", default="writes.summary")
    version: int = 1
    rows: int
    writes: int
    unknown: int


class ClearRefused(msgspec.Struct, frozen=True, kw_only=True):
    """A Function whose registers are not ours, and whose they are."""

    class_: Literal["clear.refused"] = msgspec.field(name="class", default="clear.refused")
    version: int = 1
    device: str
    why: str


class ClearLeft(msgspec.Struct, frozen=True, kw_only=True):
    """Bits that stand in a register which is never written."""

    class_: Literal["clear.left"] = msgspec.field(name="class", default="clear.left")
    version: int = 1
    device: str
    register: str
    bits: int


class ClearSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The trailer of `clear`: the *case* (or empty), and how many registers were written."""

    class_: Literal["clear.summary"] = msgspec.field(name="class", default="clear.summary")
    version: int = 1
    case: str
    writes: int


WrittenLine = WriteLine | WritesSummary | ClearRefused | ClearLeft | ClearSummary
_ENCODER = msgspec.json.Encoder()


def encode_written(line: WrittenLine) -> str:
    """*line* as one line of JSON."""
    return _ENCODER.encode(line).decode()
