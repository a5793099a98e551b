"""What sleeps is not read, keeps its place in the fabric, and keeps what was known of it."""

from __future__ import annotations

import pytest
from support.fabric import at, bridge, endpoint, root_port
from support.host import FactHost, machine_of
from support.image import Image

from pcifma.access.image import ImageSpace
from pcifma.access.seam import Machine
from pcifma.fabric.build import build, update
from pcifma.fabric.fmri import identity

CARD = "0000:01:00.0"
SYSFS = f"/sys/bus/pci/devices/{CARD}"
FACTS = {
    f"{SYSFS}/vendor": b"0x15b3\n",
    f"{SYSFS}/device": b"0x1017\n",
    f"{SYSFS}/class": b"0x020000\n",
    f"{SYSFS}/subsystem_vendor": b"0x15b3\n",
    f"{SYSFS}/subsystem_device": b"0x0016\n",
}


class Untouchable:
    """Configuration space that must not be read."""

    @property
    def size(self) -> int:
        raise AssertionError("a sleeping Function was asked for its size")

    def read(self, offset: int, length: int) -> bytes:
        raise AssertionError(f"a sleeping Function was read at {offset:#x}")


def machine(**power: str) -> Machine:
    facts = {**FACTS, **{f"{SYSFS}/{name.replace('__', '/')}": value.encode() for name, value in power.items()}}
    return machine_of(root_port("0000:00:03.0", 1, 1), endpoint(CARD), host=FactHost(facts), kind="live")


def asleep(**power: str) -> Machine:
    found = machine(**power)
    return found.but(configs={**found.configs, at(CARD): Untouchable()})


@pytest.mark.parametrize(
    ("power", "note"),
    [
        ({"power_state": "D3cold"}, "asleep (D3cold), not woken"),
        ({"power_state": "D3hot", "power__runtime_status": "suspended"}, "asleep (D3hot suspended), not woken"),
        ({"power__runtime_status": "suspending"}, "asleep (suspending), not woken"),
    ],
)
def test_sleeping_function_is_known_by_sysfs_and_not_read(power: dict[str, str], note: str) -> None:
    function = build(asleep(**power))[at(CARD)]
    assert (function.vendor, function.device, function.class_code) == (0x15B3, 0x1017, 0x020000)
    assert (function.unread, function.note, function.parent) == ("asleep", note, at("00:03.0"))


@pytest.mark.parametrize("power", [{"power_state": "D0"}, {"power_state": "D3hot"}, {"power__runtime_status": "active"}, {}])
def test_function_that_is_awake_is_read(power: dict[str, str]) -> None:
    assert build(machine(**power))[at(CARD)].dev_type == 0


def test_function_that_falls_asleep_stays_what_it_was() -> None:
    awake = build(machine(power_state="D0"))
    later = update(asleep(power_state="D3cold"), awake, [at(CARD)])
    assert later.id == awake.id
    assert (later[at(CARD)].unread, later[at(CARD)].dev_type) == ("asleep", 0)


@pytest.mark.parametrize("bytes_read", [b"\xff" * 4096, b"\x01\x00" + b"\xff" * 4094], ids=["all ones", "not ready"])
def test_function_in_reset_stays_who_it_is(bytes_read: bytes) -> None:
    found = machine_of(root_port("0000:00:03.0", 1, 1, slot=7), endpoint(CARD), host=FactHost(FACTS), kind="live")
    before = build(found)
    reset = found.but(configs={**found.configs, at(CARD): ImageSpace(at(CARD), {0: bytes_read})})
    later = update(reset, before, [at(CARD)])
    assert later[at(CARD)].unread in ("gone", "busy")
    assert (later.id, identity(later, later[at(CARD)])) == (before.id, identity(before, before[at(CARD)]))


def test_port_in_reset_keeps_the_slot_of_what_is_below() -> None:
    port = "/sys/bus/pci/devices/0000:00:03.0"
    ids = {f"{port}/vendor": b"0x8086", f"{port}/device": b"0x3420"}
    found = machine_of(root_port("0000:00:03.0", 1, 1, slot=7), endpoint(CARD), host=FactHost(FACTS | ids), kind="live")
    before = build(found)
    reset = found.but(configs={bdf: ImageSpace(bdf, {0: b"\xff" * 4096}) for bdf in found.configs})
    later = update(reset, before, found.configs)
    assert identity(later, later[at(CARD)]) == identity(before, before[at(CARD)])


def test_switch_that_has_lost_its_numbers_keeps_what_is_below() -> None:
    up, down, card = "0000:01:00.0", "0000:02:00.0", "0000:03:00.0"

    def switch(first: int, second: int) -> tuple[Image, ...]:
        return root_port("0000:00:03.0", 1, 3), bridge(up, 5, first, 3 * bool(first)), bridge(down, 6, second, second), endpoint(card)

    before = build(machine_of(*switch(2, 3)))
    later = update(machine_of(*switch(0, 0)), before, [at(up), at(down), at(card)])
    assert later.id == before.id
    assert [str(f.bdf) for f in later.path(later[at(card)])] == ["0000:00:03.0", up, down, card]


def test_card_that_has_lost_its_serial_number_keeps_it_and_one_with_another_is_another() -> None:
    def card(serial: int | None) -> Machine:
        image = endpoint(CARD)
        if serial is not None:
            image.extended(0x140, 0x0003).put(0x144, serial, 8)
        return machine_of(root_port("0000:00:03.0", 1, 1), image)

    before = build(card(0x525400FFFF123456))
    assert before[at(CARD)].serial == "525400ffff123456"
    assert update(card(None), before, [at(CARD)])[at(CARD)].serial == "525400ffff123456"
    assert update(card(7), before, [at(CARD)])[at(CARD)].serial == f"{7:016x}"
    assert update(card(7), update(card(None), before, [at(CARD)]), [at(CARD)])[at(CARD)].serial == f"{7:016x}"


def test_switch_without_numbers_at_the_first_look_is_known_by_sysfs() -> None:
    port, up, down, card = "0000:00:03.0", "0000:01:00.0", "0000:02:00.0", "0000:03:00.0"
    base = "/sys/bus/pci/devices"
    facts = {f"{base}/{port}/{up}/x": b"", f"{base}/{up}/{down}/x": b"", f"{base}/{down}/{card}/x": b"", f"{base}/{up}/{up}:pcie008/x": b""}
    found = (root_port(port, 1, 3), bridge(up, 5, 0, 0), bridge(down, 6, 0, 0), endpoint(card))
    fabric = build(machine_of(*found, host=FactHost(facts), kind="live"))
    assert [str(f.bdf) for f in fabric.path(fabric[at(card)])] == [port, up, down, card]


def test_another_card_in_the_same_place_does_not_inherit() -> None:
    awake = build(machine(power_state="D0"))
    other = asleep(power_state="D3cold")
    assert isinstance(other.host, FactHost)
    other.host.facts[f"{SYSFS}/device"] = b"0x101d\n"
    later = update(other, awake, [at(CARD)])
    assert (later[at(CARD)].device, later[at(CARD)].dev_type) == (0x101D, None)


def test_sleeping_bridge_keeps_its_bus_by_sysfs() -> None:
    port = "/sys/bus/pci/devices/0000:00:03.0"
    facts = {f"{port}/power_state": b"D3cold", f"{port}/{CARD}/vendor": b"0x15b3"}
    fabric = build(machine_of(root_port("0000:00:03.0", 1, 1), endpoint(CARD), host=FactHost(facts), kind="live"))
    assert fabric[at(CARD)].parent == at("00:03.0")


def test_reset_bridge_without_numbers_keeps_its_bus_by_sysfs() -> None:
    port = "/sys/bus/pci/devices/0000:00:03.0"
    facts = {f"{port}/{CARD}/vendor": b"0x15b3"}
    reset = (root_port("0000:00:03.0", 0, 0), endpoint(CARD))
    assert build(machine_of(*reset, host=FactHost(facts), kind="live"))[at(CARD)].parent == at("00:03.0")
    assert build(machine_of(*reset))[at(CARD)].parent is None
