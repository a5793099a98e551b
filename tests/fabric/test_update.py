"""Hot-plug: a changed machine gives a new fabric, and only what changed is looked at."""

from __future__ import annotations

from support.fabric import at, endpoint, root_port
from support.host import machine_of

from pcifma.access.seam import ConfigSpace, Machine
from pcifma.fabric.build import build, update

CARD = "0000:01:00.0"


class Counted:
    """Configuration space that counts its reads."""

    def __init__(self, inner: ConfigSpace) -> None:
        self.inner, self.reads = inner, 0
        self.size = inner.size

    def read(self, offset: int, length: int) -> bytes:
        self.reads += 1
        return self.inner.read(offset, length)


def counted(machine: Machine) -> tuple[Machine, dict[str, Counted]]:
    spaces = {bdf: Counted(config) for bdf, config in machine.configs.items()}
    return machine.but(configs=spaces), {str(bdf): space for bdf, space in spaces.items()}


def both() -> Machine:
    return machine_of(root_port("0000:00:03.0", 1, 1), endpoint(CARD))


def test_card_that_goes_leaves_the_fabric_without_a_read() -> None:
    before = build(both())
    machine, spaces = counted(machine_of(root_port("0000:00:03.0", 1, 1)))
    after = update(machine, before, [])
    assert [str(f.bdf) for f in after] == ["0000:00:03.0"]
    assert after.id != before.id
    assert spaces["0000:00:03.0"].reads == 0


def test_card_that_comes_is_the_only_one_read() -> None:
    before = build(machine_of(root_port("0000:00:03.0", 1, 1)))
    machine, spaces = counted(both())
    after = update(machine, before, [])
    assert after.id == build(both()).id
    assert (spaces["0000:00:03.0"].reads, spaces[CARD].reads > 0) == (0, True)


def test_changed_function_is_looked_at_again() -> None:
    other = endpoint(CARD).put(2, 0x101D, 2)
    machine = machine_of(root_port("0000:00:03.0", 1, 1), other)
    before = build(both())
    assert update(machine, before, [])[at(CARD)].device == 0x1017
    assert update(machine, before, [at(CARD)])[at(CARD)].device == 0x101D


def test_nothing_changed_is_the_same_fabric() -> None:
    before = build(both())
    assert update(both(), before, []) == before
