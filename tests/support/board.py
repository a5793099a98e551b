"""A small board that many tests look at: Root Port, switch, Endpoint, and a conventional Function."""

from __future__ import annotations

from support.image import DOWNSTREAM, ENDPOINT, ROOT_PORT, UPSTREAM, Image

ROOT, UP, DOWN, END, OLD = "0000:00:03.0", "0000:01:00.0", "0000:02:00.0", "0000:04:00.0", "0000:00:1f.0"
STATUS, SECONDARY_STATUS = 0x06, 0x1E
DEVICE_STATUS = 0x40 + 0x0A
UNCORRECTABLE, CORRECTABLE, CONTROL, HEADER_LOG, ROOT_STATUS = 0x104, 0x110, 0x118, 0x11C, 0x130


def board() -> tuple[Image, ...]:
    """Fresh images, nothing latched."""
    return (
        Image(ROOT, "Root Port").header(0x8086, 0x3420, 0x060400, header_type=1).buses(0, 1, 4).express(0x40, ROOT_PORT, slot=3).aer(),
        Image(OLD, "ISA bridge").header(0x8086, 0x2918, 0x060100),
        Image(UP, "Upstream Port").header(0x104C, 0x8232, 0x060400, header_type=1).buses(1, 2, 4).express(0x40, UPSTREAM).aer(),
        Image(DOWN, "Downstream Port")
        .header(0x104C, 0x8233, 0x060400, header_type=1)
        .buses(2, 4, 4)
        .express(0x40, DOWNSTREAM, slot=7)
        .aer(),
        Image(END, "Endpoint").header(0x15B3, 0x1017, 0x020000).express(0x40, ENDPOINT).aer(),
    )
