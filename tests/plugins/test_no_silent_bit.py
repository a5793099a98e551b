"""No silent bit: whatever bit a register table calls an error, some built-in source says so, under the class of the table."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.events import is_shadow
from support.image import DOWNSTREAM, ENDPOINT, PCIE_TO_PCI, RCEC, ROOT_PORT, Image
from support.machine import bench
from support.sweep import Sweep

from pcifma.access.host import NoHost
from pcifma.fabric.build import build
from pcifma.plugin import boundary
from pcifma.plugin.loader import builtin
from pcifma.regs.catalogue import CAPABILITIES
from pcifma.regs.table import Capability, Field, Register

BDF = "0000:01:00.0"
STANDARD, EXTENDED = 0x90, 0x160
SOURCES = tuple(plugin.name for plugin in builtin() if plugin.manifest.kind == "source")
# What makes a capability have the registers of a form: words at offsets from it.
FORMS: dict[tuple[str, str], tuple[tuple[int, int, int], ...]] = {
    ("ht", "primary"): ((2, 0x0000, 2), (0xC, 0x60, 1)),
    ("ht", "host"): ((2, 0x2000, 2), (8, 0x60, 1), (0xC, 0x100, 2)),
    ("ht", "switch"): ((2, 0x4000, 2),),
    ("ht", "retry"): ((2, 0xC000, 2),),
    ("dpc", ""): ((4, 0x0520, 2),),
    ("ide", ""): ((4, 0xE001, 4),),
    ("dvsec", "cxl-device"): ((4, 0x0380_1E98, 4), (8, 0, 2)),
    ("dvsec", "cxl-port"): ((4, 0x0380_1E98, 4), (8, 3, 2)),
    ("dvsec", "cxl-flex-bus"): ((4, 0x0380_1E98, 4), (8, 7, 2)),
}


def errors() -> Iterator[tuple[Capability, Register, Field]]:
    for capability in CAPABILITIES:
        for register in capability.registers:
            fields = [] if is_shadow(register) else [f for f in register.fields if f.ereport]
            yield from ((capability, register, field) for field in (*fields[:2], *fields[-1:]) if len(fields) == 32)
            yield from ((capability, register, field) for field in fields if len(fields) < 32)


def holder(capability: Capability, register: Register) -> tuple[Image, int]:
    """A Function that has *register*, nothing latched, and where the capability lies in it."""
    layout = min(register.layouts, default=0)
    kind = next((t for t in (ROOT_PORT, DOWNSTREAM, RCEC, PCIE_TO_PCI, ENDPOINT) if t in register.types), ENDPOINT)
    bridge = kind in (ROOT_PORT, DOWNSTREAM, PCIE_TO_PCI)
    layout = 1 if bridge and not register.layouts else layout
    image = Image(BDF, "Holder").header(0x15B3, 0x1017, 0x020000, header_type=layout)
    image = image.buses(1, 2, 2) if layout == 1 else image
    if layout == 2:
        return image.put(0x14, 0, 1), 0
    image.express(0x40, kind, slot=3 if kind in (ROOT_PORT, DOWNSTREAM) else None)
    if capability.kind == "header" or capability.name == "CAP_EXP":
        # Link Status 2 speaks of 8 GT/s: who can do that has the capability that goes with it.
        return image.aer().extended(EXTENDED, 0x19), 0x40 if capability.name == "CAP_EXP" else 0
    at = STANDARD if capability.kind == "standard" else EXTENDED
    image = image.capability(at, capability.id) if capability.kind == "standard" else image.aer().extended(at, capability.id)
    if capability.name == "ECAP_AER":
        at = 0x100
    for offset, word, width in FORMS.get((capability.key, register.form), ()):
        image.put(at + offset, word, width)
    return image, at


def name(item: object) -> str:
    return str(getattr(item, "key", ""))


@pytest.mark.parametrize(("capability", "register", "field"), list(errors()), ids=name)
def test_every_error_bit_of_every_table_is_told_by_one_ereport(capability: Capability, register: Register, field: Field) -> None:
    image, at = holder(capability, register)
    place = at + register.offset
    word = int.from_bytes(image.data[place : place + register.width], "little")
    image.put(place, word | 1 << field.lo, register.width)
    found = Sweep(bench(image), *SOURCES).look()
    assert [e.class_ for e in found] == [f"ereport.{field.ereport}"]
    assert (found[0].payload["bit"], found[0].payload["name"]) == (field.lo, field.title)


def test_what_builtin_sources_watch_is_within_the_boundary() -> None:
    # The poller takes their word for it.
    rows = {capability.name: (capability, register) for capability, register, _ in errors()}
    fabrics = [build(bench(holder(*row)[0]).machine) for row in rows.values()]
    for plugin in builtin(SOURCES):
        for fabric in fabrics:
            given = list(plugin.code.watches(fabric, NoHost()))
            assert boundary.watches(given) == given
