"""What a mode makes of a booted machine: the interrupts of its Root Ports shut off, its endpoints given away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from .. import binding
from ..daemon import Step
from ..expect import Registers
from ..machine import Machine
from .mode import MSI_OFF, Change


def give(machine: Machine, change: Change, endpoints: Sequence[str]) -> int:
    """Give *endpoints* to the driver that *change* names, if any; the process that holds them open, or 0."""
    driver, _, held = change.partition(", ")
    if not driver or change == MSI_OFF:
        return 0
    for name in endpoints:
        binding.bind(machine, name, driver)
    return binding.hold(machine, endpoints) if held else 0


def interrupts(roots: Iterable[str], address: Mapping[str, str], layout: Mapping[str, Registers], *, enabled: bool) -> Iterator[Step]:
    """The writes that switch MSI or MSI-X of the *roots* on again, whichever was on, or off."""
    for name in roots:
        for identity, bit in ((0x05, 0x1), (0x11, 0x8000)):
            place = layout[name].capability(identity)
            if place and layout[name].word(place + 2) & bit:
                yield ["write", address[name], place + 2, 2, bit if enabled else 0, bit]
