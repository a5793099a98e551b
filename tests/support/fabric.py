"""Small fabrics by hand: ports, bridges and endpoints with the usual registers, and the Fabric that a capture of them gives."""

from __future__ import annotations

from support.image import ENDPOINT, ROOT_PORT, Image, capture

from pcifma.access.open import open_capture
from pcifma.fabric.build import build
from pcifma.fabric.fabric import Fabric
from pcifma.regs.bdf import Bdf


def at(text: str) -> Bdf:
    """The address that *text* writes."""
    return Bdf.parse(text)


def fabric_of(*images: Image) -> Fabric:
    """The fabric of a capture of *images*."""
    return build(open_capture(capture(*images).encode(), "test.lspci"))


def root_port(bdf: str, secondary: int, subordinate: int, *, slot: int | None = None) -> Image:
    """A Root Port with AER, its Bridge Control forwarding SERR#."""
    image = Image(bdf, "Root Port").header(0x8086, 0x3420, 0x060400, header_type=1)
    bus = Bdf.parse(bdf).bus
    return image.buses(bus, secondary, subordinate, control=2).express(0x40, ROOT_PORT, slot=slot).aer()


def endpoint(bdf: str, port_type: int = ENDPOINT) -> Image:
    """An endpoint with AER and all reporting on."""
    return Image(bdf, "Endpoint").header(0x15B3, 0x1017, 0x020000).express(0x40, port_type).aer()


def bridge(bdf: str, port_type: int, secondary: int, subordinate: int) -> Image:
    """A switch port or other bridge, SERR# forwarding off."""
    image = Image(bdf, "Bridge").header(0x104C, 0x8232, 0x060400, header_type=1)
    return image.buses(Bdf.parse(bdf).bus, secondary, subordinate).express(0x40, port_type)
