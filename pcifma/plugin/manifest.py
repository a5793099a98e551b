"""A plugin's manifest, plugin.yaml: what it is called, of which kind it is, what it subscribes to, its properties."""

from __future__ import annotations

from typing import Literal

import msgspec

from pcifma.errors import PluginError

PropertyType = Literal["bool", "int", "number", "size", "time", "string", "list"]


class Property(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A typed property: *default* in the notation of configuration files (`10s`, `4MiB`), *about* one line."""

    type: PropertyType
    default: bool | int | float | str | list[str]
    about: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """plugin.yaml. *subscribe*: class globs, for modules; *planned*: ereports of planned work too (who counts wants them, who
    diagnoses does not). *streams*: Host streams that a source listens to.
    """

    name: str
    version: str
    api: int
    kind: Literal["source", "module"]
    about: str = ""
    subscribe: list[str] = []
    planned: bool = False
    streams: list[str] = []
    properties: dict[str, Property] = {}


def glob_parts(glob: str) -> list[str]:
    """The components of a class glob; PluginError unless each is a name or `*`."""
    parts = glob.split(".")
    if any(not part or ("*" in part and part != "*") for part in parts):
        raise PluginError(f"subscription {glob!r}: write a class with whole components, or * for one, as ereport.io.pciex.*")
    return parts
