"""A plugin's manifest, plugin.yaml: what it is called, of which kind it is, what it subscribes to, its properties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pcifma.errors import PluginError

PropertyType = Literal["bool", "int", "number", "size", "time", "string", "list"]
Kind = Literal["source", "module"]


class Property(NamedTuple):
    """A typed property: *default* in the notation of configuration files (`10s`, `4MiB`), *about* one line."""

    type: PropertyType
    default: bool | int | float | str | list[str]
    about: str = ""


class Manifest(NamedTuple):
    """plugin.yaml. *subscribe*: class globs, for modules; *planned*: ereports of planned work too (who counts wants them, who
    diagnoses does not). *streams*: Host streams that a source listens to. *capabilities*: names of capabilities; a source that has
    some is not asked, nor imported, where no Function has any of them. *bits_only*: a source that speaks of set bits of its `set`
    watches and of what its `change` watches saw change, and of nothing else: where there is neither it is not asked.
    """

    name: str
    version: str
    api: int
    kind: Kind
    about: str = ""
    subscribe: Sequence[str] = ()
    planned: bool = False
    streams: Sequence[str] = ()
    capabilities: Sequence[str] = ()
    bits_only: bool = False
    properties: Mapping[str, Property] = {}


def compiled(data: dict[str, Any]) -> Manifest:
    """The manifest that the build checked and wrote as *data*."""
    properties = {name: Property(**row) for name, row in data.get("properties", {}).items()}
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    return Manifest(**fields | {"properties": properties})


def checked(data: object) -> Manifest:
    """The manifest that somebody wrote as *data*; ValueError that names the place of a mistake."""
    from pcifma.plugin.written import convert  # noqa: PLC0415 - msgspec; what is built in was checked when it was built

    return convert(data)


def glob_parts(glob: str) -> list[str]:
    """The components of a class glob; PluginError unless each is a name or `*`."""
    parts = glob.split(".")
    if any(not part or ("*" in part and part != "*") for part in parts):
        raise PluginError(f"subscription {glob!r}: write a class with whole components, or * for one, as ereport.io.pciex.*")
    return parts
