"""The reporting path going deaf: what was on and is off is said, and nothing else."""

from __future__ import annotations

from types import ModuleType

import pytest
from support.diagnosis import CARD_A, DOWN_A, ROOT, switch
from support.fabric import at

from pcifma.access.host import NoHost
from pcifma.plugin.loader import builtin
from pcifma.plugin.watch import Finding, Snapshot, Target
from pcifma.regs.table import Location


def code() -> ModuleType:
    return builtin(["reporting_path"])[0].code


def snapshot(device: str, location: Location, word: int) -> Snapshot:
    target = Target.function(at(device))
    return Snapshot(target, 1, 0, {(target, location): word})


def found(device: str, location: Location, before: int, now: int) -> list[Finding]:
    return list(code().normalise(snapshot(device, location, now), snapshot(device, location, before)))


def test_bridges_and_root_ports_are_watched_and_cards_are_not() -> None:
    targets = {watch.target.name for watch in code().watches(switch(), NoHost())}
    assert {ROOT, DOWN_A} <= targets and CARD_A not in targets


@pytest.mark.parametrize(("before", "now", "told"), [(2, 0, 1), (0, 0, 0), (0, 2, 0), (2, 2, 0), (0x42, 0x40, 1)])
def test_forwarding_that_was_on_and_is_off_is_told(before: int, now: int, told: int) -> None:
    assert len(found(DOWN_A, code()._BRIDGE_CONTROL, before, now)) == told


def test_each_interrupt_enable_that_fell_is_named() -> None:
    whys = [str(one.payload["why"]) for one in found(ROOT, code()._ROOT_COMMAND, 7, 1)]
    assert len(whys) == 2 and "non-fatal" in whys[0] and "fatal" in whys[1]


def test_a_first_look_tells_nothing() -> None:
    assert list(code().normalise(snapshot(DOWN_A, code()._BRIDGE_CONTROL, 0), None)) == []
