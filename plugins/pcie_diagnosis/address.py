"""Functions by the address that an ereport writes."""

from __future__ import annotations

from functools import lru_cache

from pcifma.plugin import Bdf, Fabric, Function


@lru_cache(maxsize=65536)
def _parsed(device: str) -> Bdf | None:
    try:
        return Bdf.parse(device)
    except ValueError:
        return None


def find(fabric: Fabric, device: str) -> Function | None:
    """The Function with that address, or None."""
    bdf = _parsed(device)
    return None if bdf is None else fabric.get(bdf)
