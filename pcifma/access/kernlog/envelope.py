"""What a message travels in, taken off: a line of JSON (journald, container engines), HTML, the quoted-printable of mail.

Nothing here knows what a message says. Each form is undone only where it is certain, since most lines are in none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

_OBJECT = re.compile(r'\s{0,8}\{\s{0,8}"')
# Where JSON of journald, container engines and log stores has the message.
_MESSAGE = ("MESSAGE", "message", "log", "msg", "_msg")
_US_DIGITS = 20

_ENTITY = re.compile(r"&(nbsp|lt|gt|amp|quot|apos|#160|#39|#x27|#34);")
_ENTITIES = {"nbsp": " ", "lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'", "#160": " ", "#39": "'", "#x27": "'", "#34": '"'}
_LINE_TAG = re.compile(r"</?(?:br|p|div|li|tr|pre)\b[^<>]{0,200}>", re.IGNORECASE)
_TAG = re.compile(r"</?(?:span|code|td|th|font|b|i|em|strong|a|samp|tt)\b[^<>]{0,200}>", re.IGNORECASE)

# RFC 2045, 6.7. An equals sign before a number of 4, 8 or 16 digits that begins with 3d is itself.
_EQUALS = re.compile(r"=3D(?!(?:[0-9a-fA-F]{2}|[0-9a-fA-F]{6}|[0-9a-fA-F]{14})(?![0-9a-fA-F]))")
_SPACE = re.compile(r"=(?:20|09|C2=A0)(?![0-9a-fA-F])")

_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
# A page whose line ends were lost has one header after the other in one line, with a date, or at least with the writer's name.
_HEADER = re.compile(rf"(?<=\S) {{1,4}}(?={_MONTH} {{1,2}}\d{{1,2}} \d\d:\d\d:\d\d [\w.:-]{{1,64}} {{1,2}}kernel:(?: |$))")
_WRITER = re.compile(r"(?<=\S) {1,4}(?=kernel: )")
_CLOSING = re.compile(r"""["'`|]{1,4},?\s{0,8}\}?$""")


@dataclass(frozen=True, slots=True)
class Opened:
    """A line's messages, and the times that its envelope tells: ns since boot, ns since 1970."""

    messages: tuple[str, ...]
    boot_ns: int | None = None
    wall_ns: int | None = None


def opened(text: str) -> Opened:
    """What *text*, a line without its line end, holds."""
    found = _object(text) if _OBJECT.match(text) else None
    return found or Opened(tuple(_messages(text)))


def _object(text: str) -> Opened | None:
    try:
        members = json.loads(text.strip().rstrip(","))
    except (ValueError, RecursionError):
        return None  # cut, or braces of another kind
    if not isinstance(members, dict):
        return None
    message = next((members[name] for name in _MESSAGE if name in members), None)
    if isinstance(message, list):  # journald, of bytes that are no text
        message = bytes(b for b in message if isinstance(b, int) and 0 <= b < 256).decode("utf-8", "replace")
    if not isinstance(message, str):
        return None
    boot, wall = (_ns(members.get(name)) for name in ("__MONOTONIC_TIMESTAMP", "__REALTIME_TIMESTAMP"))
    return Opened(tuple(message.splitlines()), boot, wall)


def _ns(stamp: object) -> int | None:
    text = str(stamp)
    return int(text) * 1000 if text.isascii() and text.isdecimal() and len(text) <= _US_DIGITS else None


def _messages(text: str) -> Iterator[str]:
    text = text.replace("\xa0", " ")
    if "<" in text:
        text = _TAG.sub("", _LINE_TAG.sub("\n", text))
    if "&" in text:
        text = _ENTITY.sub(lambda match: _ENTITIES[match[1]], text)
    if "=" in text:
        text = _SPACE.sub(" ", _EQUALS.sub("=", text))
    for part in text.split("\n"):
        parts = _told_apart(part) if "kernel:" in part else (part,)
        yield from (_CLOSING.sub("", message) for message in parts)


def _told_apart(text: str) -> Iterator[str]:
    for dated in _HEADER.split(text):
        if dated.count("kernel: ") < 2:
            yield dated
            continue
        head, writer, rest = dated.partition("kernel: ")
        first, *others = _WRITER.split(rest)
        yield head + writer + first
        yield from others
