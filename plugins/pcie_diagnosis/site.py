"""A site's own rules: what they add to the built-in ones, what they put in place of them, what they take away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pcifma.plugin import PluginError

_LISTS = ("explained", "express_shadows", "echoes")
_TABLES = ("removal", "link", "codes")
_KEYS = ("version", "faults", "without", *_LISTS, *_TABLES)
_VERSION_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Merged:
    """The rules as a whole, and where each of their faults stands: a path in the site's file, or its built-in name."""

    data: dict[str, Any]
    places: tuple[str, ...]


def merged(data: dict[str, Any], more: Any, site: Path) -> Merged:
    """The built-in rules *data* with a site's *more*. PluginError names every mistake in how they are put together.

    Faults are added, or stand in place of those with the same id; `without` takes away faults and groups by their name; of `removal`
    and `link` single keys are replaced, of `codes` single numbers.
    """
    mistakes = list(_mistakes(data, more))
    if mistakes:
        raise PluginError("; ".join(f"{site}: {mistake}" for mistake in mistakes))
    own = {fault["id"]: (f"$.faults[{n}]", fault) for n, fault in enumerate(more.get("faults", ()))}
    without = set(more.get("without", ()))
    kept = [fault for fault in data["faults"] if not {fault["id"], fault.get("group", "")} & without]
    faults = [own.pop(fault["id"], (f"built-in fault {fault['id']!r}", fault)) for fault in kept] + list(own.values())
    whole = {**data, "faults": [fault for _, fault in faults], "version": f"{data['version']}+{more.get('version', 'site')}"}
    whole |= {key: [*data[key], *more.get(key, ())] for key in _LISTS}
    whole |= {key: {**data[key], **more.get(key, {})} for key in ("removal", "link")}
    codes = more.get("codes", {})
    whole["codes"] = {name: _numbered(data["codes"].get(name, {})) | _numbered(codes.get(name, {})) for name in {**data["codes"], **codes}}
    return Merged(whole, tuple(place for place, _ in faults))


def _numbered(entries: dict[Any, Any]) -> dict[str, Any]:
    """*entries* by their number as text, as the JSON that the build makes of YAML has it, so that one number is one key."""
    return {str(number): members for number, members in entries.items()}


def _mistakes(data: dict[str, Any], more: Any) -> Iterator[str]:
    keys = ", ".join(sorted(_KEYS))
    if not isinstance(more, dict):
        yield f"$: a mapping, with any of {keys}"
        return
    odd = sorted(set(map(str, more)) - set(_KEYS))
    if odd:
        yield f"$: {', '.join(odd)} is no key of a site's rules: there are {keys}"
        return
    version = more.get("version", "")
    if not isinstance(version, str | int | float) or len(str(version)) > _VERSION_LENGTH:
        yield f"$.version: text of at most {_VERSION_LENGTH} characters"
    yield from _faults(more.get("faults", []))
    yield from _without(data, more.get("without", []))
    yield from (f"$.{key}: a mapping" for key in _TABLES if not isinstance(more.get(key, {}), dict))
    yield from (f"$.{key}: a list of ereport classes, as text" for key in _LISTS if not _is_words(more.get(key, [])))
    codes = more.get("codes", {})
    for name, entries in codes.items() if isinstance(codes, dict) else ():
        if not isinstance(entries, dict):
            yield f"$.codes.{name}: a mapping of numbers to lists of fault classes"


def _faults(faults: Any) -> Iterator[str]:
    if not isinstance(faults, list):
        yield "$.faults: a list of faults, each with an id"
        return
    seen: set[str] = set()
    for n, fault in enumerate(faults):
        if not isinstance(fault, dict) or not isinstance(fault.get("id"), str):
            yield f"$.faults[{n}]: a mapping with an id, which is text"
        elif fault["id"] in seen:
            yield f"$.faults[{n}].id: {fault['id']!r} stands twice"
        else:
            seen.add(fault["id"])


def _without(data: dict[str, Any], without: Any) -> Iterator[str]:
    known = {name for fault in data["faults"] for name in (fault["id"], fault.get("group", "")) if name}
    if not _is_words(without):
        yield "$.without: a list of ids and groups of faults, as text"
        return
    for name in without:
        if name not in known:
            yield f"$.without: no fault or group is called {name!r}: groups are {', '.join(sorted(_groups(data)))}"


def _groups(data: dict[str, Any]) -> set[str]:
    return {fault["group"] for fault in data["faults"] if fault.get("group")}


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)
