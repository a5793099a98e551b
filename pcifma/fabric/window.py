"""Memory BARs and bridge windows, out of a header (PCIe Base Spec 7.5.1.2.1, 7.5.1.3.8)."""

from __future__ import annotations

from struct import Struct

_MEGABYTE = 1 << 20
_WORDS = Struct("<6I")
_BARS = {0: 6, 1: 2}
_BAR_SPACE_IO, _BAR_64 = 0x1, 0x4
_BRIDGE = 1


def bars(header: bytes, layout: int) -> tuple[int, ...]:
    """Start addresses of the memory BARs that are set, from a 64-byte *header* of type *layout*."""
    words = _WORDS.unpack_from(header, 0x10)[: _BARS.get(layout, 0)]
    if not any(words):
        return ()
    found, index = [], 0
    while index < len(words):
        word = words[index]
        wide = not word & _BAR_SPACE_IO and bool(word & _BAR_64) and index + 1 < len(words)
        start = (word & ~0xF) | (words[index + 1] << 32 if wide else 0)
        if start and not word & _BAR_SPACE_IO:
            found.append(start)
        index += 2 if wide else 1
    return tuple(found)


def windows(header: bytes, layout: int) -> tuple[tuple[int, int], ...]:
    """(first, last) address of each open memory window of a bridge's 64-byte *header*."""
    if layout != _BRIDGE:
        return ()

    def half(offset: int) -> int:
        return int.from_bytes(header[offset : offset + 2], "little")

    def upper(offset: int) -> int:
        return int.from_bytes(header[offset : offset + 4], "little") << 32 if half(0x24) & 0xF == 1 else 0

    memory = ((half(0x20) & 0xFFF0) << 16, ((half(0x22) & 0xFFF0) << 16) + _MEGABYTE - 1)
    prefetchable = (
        ((half(0x24) & 0xFFF0) << 16) | upper(0x28),
        (((half(0x26) & 0xFFF0) << 16) | upper(0x2C)) + _MEGABYTE - 1,
    )
    return tuple((first, last) for first, last in (memory, prefetchable) if 0 < first <= last)
