"""plugin.yaml as people write it: what msgspec holds it against."""

from __future__ import annotations

import msgspec

from pcifma.plugin.manifest import Kind, Manifest, Property, PropertyType


class _Property(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    type: PropertyType
    default: bool | int | float | str | list[str]
    about: str = ""


class _Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    version: str
    api: int
    kind: Kind
    about: str = ""
    subscribe: tuple[str, ...] = ()
    planned: bool = False
    streams: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    bits_only: bool = False
    properties: dict[str, _Property] = {}


def convert(data: object) -> Manifest:
    """The manifest in *data*; msgspec.ValidationError, a ValueError, that names the place of a mistake."""
    found = msgspec.convert(data, _Manifest)
    fields = msgspec.structs.asdict(found)
    return Manifest(**fields | {"properties": {name: Property(**msgspec.structs.asdict(row)) for name, row in found.properties.items()}})
