"""Facts beside registers: directories, links, who makes a snapshot; and watches that keep time."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from support.board import DEVICE_STATUS, END, board
from support.machine import Bench, bench
from support.source import MadeSource

from pcifma.fabric.build import build
from pcifma.plugin import CAPABILITIES, Bdf, Evidence, Finding, Snapshot, Target, Watch
from pcifma.poll.poller import Poller

TARGET = Target.function(Bdf.parse(END))
SYSFS = f"/sys/bus/pci/devices/{END}"
EXP = CAPABILITIES["CAP_EXP"]
STATUS = EXP.location(EXP["device_status"])
SECOND = 1_000_000_000


@pytest.fixture
def on() -> Bench:
    return bench(*board())


def nothing(now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
    return ()


def looks(on: Bench, plugin: MadeSource, seconds: int) -> None:
    of = Poller(on.machine, build(on.machine), [plugin])
    of.look()
    for _ in range(seconds):
        on.clock.wait_until(on.clock.boot_ns() + SECOND)
        of.look()


def test_directory_gives_its_names_and_a_link_its_text(on: Bench) -> None:
    on.facts.files |= {f"{SYSFS}/msi_irqs/24": b"msi\n", f"{SYSFS}/msi_irqs/25": b"msi\n"}
    on.facts.links[f"{SYSFS}/driver"] = "../../bus/pci/drivers/mlx5_core"
    plugin = MadeSource([Watch(TARGET, facts=("{sysfs}/msi_irqs/", "{sysfs}/driver@", "{sysfs}/none/", "/proc/cmdline"))], nothing)
    looks(on, plugin, 0)
    assert plugin.seen[0][0].facts == {
        "{sysfs}/msi_irqs/": b"24\n25",
        "{sysfs}/driver@": b"../../bus/pci/drivers/mlx5_core",
        "{sysfs}/none/": None,
        "/proc/cmdline": None,
    }


def test_fact_alone_makes_a_snapshot_when_it_changes(on: Bench) -> None:
    plugin = MadeSource([Watch(TARGET, facts=("{sysfs}/irq",))], nothing)
    on.facts.files[f"{SYSFS}/irq"] = b"24\n"
    of = Poller(on.machine, build(on.machine), [plugin])
    of.look()
    on.facts.files[f"{SYSFS}/irq"] = b"25\n"
    on.clock.wait_until(31 * SECOND)
    of.look()
    assert [now.facts["{sysfs}/irq"] for now, _ in plugin.seen] == [b"24\n", b"25\n"]


def test_fact_beside_a_register_makes_none(on: Bench) -> None:
    plugin = MadeSource([Watch(TARGET, STATUS, 0xF, facts=("/proc/interrupts",))], nothing)
    of = Poller(on.machine, build(on.machine), [plugin])
    of.look()
    on.facts.files["/proc/interrupts"] = b"much\n"
    on.clock.wait_until(31 * SECOND)
    of.look()
    assert len(plugin.seen) == 1


def held(now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
    if now.held_s.get(STATUS, 0.0) >= 5.0:
        yield Finding("ereport.io.pciex.unknown", Evidence(now.target, STATUS, 4), "info")


def test_bit_that_stays_clear_ripens(on: Bench) -> None:
    plugin = MadeSource([Watch(TARGET, STATUS, 0x10, when="clear", hold=5.0)], held)
    looks(on, plugin, 4)
    assert len(plugin.seen) == 1
    looks(on, plugin := MadeSource(plugin.declared, held), 6)
    assert [now.held_s for now, _ in plugin.seen] == [{STATUS: 0.0}, {STATUS: 5.0}]


def test_bit_that_is_set_again_in_time_is_not_held(on: Bench) -> None:
    on.space(END).put(DEVICE_STATUS, 0x10, 2)
    plugin = MadeSource([Watch(TARGET, STATUS, 0x10, when="clear", hold=5.0)], held)
    looks(on, plugin, 12)
    assert [now.held_s for now, _ in plugin.seen] == [{}]
