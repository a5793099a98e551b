"""Status words of a Function, taken from its bytes by the specification's offsets; nothing here knows pcifma.

It stands beside pcifma's tables and chains as the second witness: where the two differ, one of them is wrong.
"""

from __future__ import annotations


def number(data: bytes, offset: int, width: int) -> int | None:
    """The little-endian number at *offset*, None past the end."""
    return int.from_bytes(data[offset : offset + width], "little") if offset + width <= len(data) else None


def capabilities(data: bytes) -> list[tuple[bool, int, int, int]]:
    """(extended, id, offset, version) of each capability, stopping quietly where a list goes wrong."""
    found: list[tuple[bool, int, int, int]] = []
    pointer_at = {0: 0x34, 1: 0x34, 2: 0x14}.get(data[0x0E] & 0x7F)
    at = data[pointer_at] & 0xFC if pointer_at and data[6] & 0x10 and data[6:8] != b"\xff\xff" else 0
    while 0x40 <= at < len(data) and data[at] != 0xFF and not any(offset == at for _, _, offset, _ in found):
        found.append((False, data[at], at, 0))
        at = data[at + 1] & 0xFC
    if any(cap_id in (0x07, 0x10) for _, cap_id, _, _ in found):
        at = 0x100
        while at >= 0x100 and not any(offset == at for _, _, offset, _ in found):
            head = number(data, at, 4)
            if head in (None, 0, 0xFFFFFFFF):
                break
            assert head is not None
            found.append((True, head & 0xFFFF, at, head >> 16 & 15))
            at = head >> 20 & 0xFFC
    return found


def place(data: bytes, cap_id: int, *, extended: bool) -> int | None:
    """Offset of the first capability with that id."""
    return next((offset for ext, i, offset, _ in capabilities(data) if (ext, i) == (extended, cap_id)), None)


def dev_type(data: bytes) -> int | None:
    """Device/Port Type, None for conventional PCI."""
    at = place(data, 0x10, extended=False)
    return None if at is None else data[at + 2] >> 4


# Name of a register: (capability id, extended, offset in it, width). Capability None: the header.
PLACES: dict[str, tuple[int | None, bool, int, int]] = {
    "status": (None, False, 0x06, 2),
    "secondary_status": (None, False, 0x1E, 2),
    "devctl": (0x10, False, 0x08, 2),
    "devsta": (0x10, False, 0x0A, 2),
    "lnkcap": (0x10, False, 0x0C, 4),
    "lnksta": (0x10, False, 0x12, 2),
    "sltsta": (0x10, False, 0x1A, 2),
    "rootctl": (0x10, False, 0x1C, 2),
    "rootsta": (0x10, False, 0x20, 4),
    "uesta": (0x01, True, 0x04, 4),
    "uemsk": (0x01, True, 0x08, 4),
    "uesvrt": (0x01, True, 0x0C, 4),
    "cesta": (0x01, True, 0x10, 4),
    "cemsk": (0x01, True, 0x14, 4),
    "aercap": (0x01, True, 0x18, 4),
    "header_log_0": (0x01, True, 0x1C, 4),
    "header_log_1": (0x01, True, 0x20, 4),
    "header_log_2": (0x01, True, 0x24, 4),
    "header_log_3": (0x01, True, 0x28, 4),
    "aer_rootcmd": (0x01, True, 0x2C, 4),
    "aer_rootsta": (0x01, True, 0x30, 4),
    "aer_source": (0x01, True, 0x34, 4),
    "dpc_cap": (0x1D, True, 0x04, 2),
    "dpc_ctl": (0x1D, True, 0x06, 2),
    "dpc_status": (0x1D, True, 0x08, 2),
    "dpc_source": (0x1D, True, 0x0A, 2),
    "acs_cap": (0x0D, True, 0x04, 2),
    "acs_ctl": (0x0D, True, 0x06, 2),
    "lane_errors": (0x19, True, 0x08, 4),
}


def word(data: bytes, name: str) -> int | None:
    """The register *name* of PLACES, None where the Function or the image has none."""
    cap_id, extended, offset, width = PLACES[name]
    base = 0 if cap_id is None else place(data, cap_id, extended=extended)
    return None if base is None else number(data, base + offset, width)
