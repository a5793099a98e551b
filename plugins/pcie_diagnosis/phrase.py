"""What is wrong with the shape of a rules file, in words that say what belongs there."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

_WORDS = {
    "str": "text", "int": "a whole number", "float": "a number", "bool": "true or false", "null": "nothing", "array": "a list",
    "object": "a mapping",
}  # fmt: skip
_EXPECTED = re.compile("Expected `([^`]*)`(?:, got `([^`]*)`)?")
_PLACE = re.compile(r" - at (?:`key` in )?`\$(.*)`$")


def converted(data: Any, kind: type[msgspec.Struct], where: str) -> Iterator[str]:
    """The first mistake in the shape of *data*, which should be a *kind*, as `path: what belongs there`; nothing if it is one."""
    try:
        msgspec.convert(data, kind, strict=False)
    except msgspec.ValidationError as err:
        text = str(err)
        place = _PLACE.search(text)
        path = place[1] if place is not None else ""
        what = text[: place.start()] if place is not None else text
        yield f"{where}{path}: {_said(what, kind, path)}"


def _said(what: str, kind: type[msgspec.Struct], path: str) -> str:
    if what.startswith("Object contains unknown field"):
        found = _at(kind, path)
        known = sorted(field.encode_name for field in msgspec.structs.fields(found)) if found is not None else []
        return f"{what[7:]}: there are {', '.join(known)}" if known else what[7:]
    if what.startswith("Object missing required field"):
        return f"{what[7:]}"
    if what.startswith("Invalid enum value"):
        allowed = _allowed(kind, path)
        return f"{what[19:]} is not one of {', '.join(map(repr, allowed))}" if allowed else what
    return _EXPECTED.sub(_expected, what)


def _expected(match: re.Match[str]) -> str:
    wanted = " or ".join(_WORDS.get(word, word) for word in match[1].split(" | "))
    return f"{wanted} belongs here" + (f", this is {_WORDS.get(match[2], match[2])}" if match[2] else "")


# The struct, or the words, that stand at a path of *kind*: `.symptoms[2].at`.
def _walk(kind: Any, path: str) -> Any:
    for key in re.findall(r"[a-z_]+", path):
        if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
            return None
        hints = typing.get_type_hints(kind)
        names = {field.encode_name: field.name for field in msgspec.structs.fields(kind)}
        kind = hints.get(names.get(key, key))
        for inner in typing.get_args(kind):
            if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
                kind = inner
    return kind


def _at(kind: type[msgspec.Struct], path: str) -> type[msgspec.Struct] | None:
    found = _walk(kind, path)
    return found if isinstance(found, type) and issubclass(found, msgspec.Struct) else None


def _allowed(kind: type[msgspec.Struct], path: str) -> tuple[Any, ...]:
    found = _walk(kind, path)
    return typing.get_args(found) if typing.get_origin(found) is Literal else ()
