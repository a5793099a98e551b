"""The JSON form: one object a line. Unknown keys are ignored on reading, so a newer writer does not break an older reader."""

from __future__ import annotations

import msgspec

from pcifma.errors import FormatError
from pcifma.event.case import ListEvent
from pcifma.event.ereport import Ereport, SweepSummary

Event = Ereport | ListEvent | SweepSummary

_ENCODER = msgspec.json.Encoder()
_EREPORT = msgspec.json.Decoder(Ereport)
_LIST = msgspec.json.Decoder(ListEvent)
_SUMMARY = msgspec.json.Decoder(SweepSummary)


class _Class(msgspec.Struct):
    class_: str = msgspec.field(name="class")


_CLASS = msgspec.json.Decoder(_Class)


def encode(event: Event) -> bytes:
    """*event* as one line of JSON, without the newline."""
    return _ENCODER.encode(event)


def decode(line: bytes | str, where: str = "event") -> Event:
    """The event of one line; FormatError, starting with *where*, if it is none."""
    try:
        name = _CLASS.decode(line).class_
        if name.startswith("list."):
            return _LIST.decode(line)
        if name == "sweep.summary":
            return _SUMMARY.decode(line)
        return _EREPORT.decode(line)
    except msgspec.DecodeError as err:
        raise FormatError(f"{where}: not an event line: {err}") from err
