"""Random fabrics: Root Ports, switches in one or two layers, endpoints."""

from __future__ import annotations

from random import Random

from pcifma.fabric.fabric import Fabric
from pcifma.fabric.fmri import device_path
from pcifma.fabric.function import FoundCapability, Function
from pcifma.regs.bdf import Bdf
from pcifma.regs.exp import DevType

_SWITCH_CHANCE, _NESTED_CHANCE = 0.5, 0.25
# Of the cards in a machine, so many are used by a driver.
_USED_CHANCE = 0.85
_MAX_ROOT_PORTS, _MAX_DOWNSTREAM = 4, 5


# Every Function has Advanced Error Reporting: what it does not say did not happen to it.
_CAPABILITIES = (FoundCapability("CAP_EXP", 0x10, False, 2, 0x40), FoundCapability("ECAP_AER", 0x1, True, 2, 0x100))


class _Builder:
    def __init__(self, draw: Random) -> None:
        self.draw = draw
        self.functions: dict[Bdf, Function] = {}
        self.bus = 0

    def add(self, bdf: Bdf, kind: DevType, parent: Bdf | None) -> Bdf:
        bridge = kind is not DevType.ENDPOINT
        self.functions[bdf] = Function(
            bdf=bdf, bus_range=(0, 0) if bridge else None,
            vendor=0x1DE5, device=0x1000 + len(self.functions), subsystem_vendor=0, subsystem_device=0,
            class_code=0x060400 if bridge else 0x020000, revision=0, header_type=int(bridge), multifunction=False,
            dev_type=kind, capabilities=_CAPABILITIES, size=4096, parent=parent,
            driver="driver" if not bridge and self.draw.random() < _USED_CHANCE else None,
        )  # fmt: skip
        return bdf

    def next_bus(self) -> int:
        self.bus += 1
        return self.bus

    def below(self, port: Bdf, depth: int) -> None:
        bus = self.next_bus()
        first = Bdf(0, bus, 0, 0)
        if self.draw.random() >= (_SWITCH_CHANCE if depth == 0 else _NESTED_CHANCE) or depth > 1:
            self.add(first, DevType.ENDPOINT, port)
            return
        upstream = self.add(first, DevType.UPSTREAM_PORT, port)
        inner = self.next_bus()
        for device in range(self.draw.randint(1, _MAX_DOWNSTREAM)):
            self.below(self.add(Bdf(0, inner, device, 0), DevType.DOWNSTREAM_PORT, upstream), depth + 1)


def machine(draw: Random) -> Fabric:
    """A fabric of 1 to 4 Root Ports, each with an endpoint or a switch below it."""
    builder = _Builder(draw)
    for device in range(1, 1 + draw.randint(1, _MAX_ROOT_PORTS)):
        builder.below(builder.add(Bdf(0, 0, device, 0), DevType.ROOT_PORT, None), 0)
    below: dict[Bdf, tuple[Bdf, ...]] = {}
    for function in builder.functions.values():
        if function.parent is not None:
            below[function.parent] = (*below.get(function.parent, ()), function.bdf)
    plain = Fabric("0" * 16, builder.functions, below)
    placed = {bdf: f._replace(sysfs=device_path(plain, f)) for bdf, f in builder.functions.items()}
    return Fabric("0" * 16, placed, below)
