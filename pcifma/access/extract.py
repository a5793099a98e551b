"""A Function's bytes as far as the tables know them: the rows of 16 in which its header, a capability's head or a declared register lies.

Nearly all that `lspci -xxxx` shows, without the regions that no specification names: some devices do not bear a read there.
"""

from __future__ import annotations

from pcifma.access.layout import found_capabilities, placed_registers
from pcifma.access.seam import ConfigSpace
from pcifma.errors import ReadError, ShortReadError

_ROW = 16
_HEADER_BYTES = 64
_HEAD_BYTES = 4


def extract(config: ConfigSpace) -> dict[int, bytes] | str:
    """Its rows by offset; or why there are none, in a word (`gone`, `busy`, …)."""
    rows = getattr(config, "rows", None)
    if callable(rows):  # a recording: nothing can come of it
        return dict(rows())
    try:
        found = {at: config.read(at, _ROW) for at in range(0, _HEADER_BYTES, _ROW)}
        if found[0][:4] == b"\xff" * 4:
            return "gone"
        for at in sorted(_wanted(config) - found.keys()):
            found[at] = config.read(at, _ROW)
    except ShortReadError:
        return found or "short"
    except ReadError as err:
        return err.tag
    return found


def _wanted(config: ConfigSpace) -> set[int]:
    size = config.size
    spans = [(placed.offset, placed.register.width) for placed in placed_registers(config.read, size)]
    spans += [(head.offset, _HEAD_BYTES) for head in found_capabilities(config.read, size)]
    return {at // _ROW * _ROW for offset, width in spans for at in (offset, offset + width - 1) if at < size}
