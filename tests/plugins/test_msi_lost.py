"""Lost interrupts: found when the status stands and the count does not move, and never otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.host import FactHost, machine_of
from support.image import capture
from support.server import CARD, PORT, ROOT_ERROR_STATUS, images

from pcifma.access.playback import open_fixture
from pcifma.fabric.build import build
from pcifma.plugin.loader import Plugin, builtin
from pcifma.plugin.watch import Snapshot, Target, Watch
from pcifma.poll.replay import play
from pcifma.regs.bdf import Bdf
from pcifma.regs.table import Location

STATUS, COUNT = Location("ECAP_AER", 0x30, 4), "/sys/kernel/irq/26/per_cpu_count"
SECOND = 1_000_000_000
HOST = {
    f"/sys/bus/pci/devices/{PORT}/msi_irqs/26": b"msi\n",
    f"/sys/bus/pci/devices/{PORT}/irq": b"26\n",
    "/sys/kernel/irq/26/actions": b"PCIe PME,aerdrv\n",
    COUNT: b"3,4\n",
}


@pytest.fixture
def plugin() -> Plugin:
    return next(p for p in builtin() if p.name == "msi_lost")


def watched(plugin: Plugin, facts: dict[str, bytes]) -> list[Watch]:
    machine = machine_of(*images().values(), host=FactHost(facts))
    return list(plugin.source.watches(build(machine), machine.host))


def snapshot(at_s: float, *, status: int = 1, held: float = 0.0, count: bytes = b"3,4\n", msi: int = 1) -> Snapshot:
    target = Target.function(Bdf.parse(PORT))
    words = {(target, STATUS): status, (target, Location("CAP_MSI", 2, 2)): msi, (target, Location("", 4, 2)): 0x106}
    return Snapshot(target, 0, int(at_s * SECOND), words, {COUNT: count}, {STATUS: held})


def test_only_ports_that_the_service_serves_are_watched(plugin: Plugin) -> None:
    assert [str(w.target) for w in watched(plugin, HOST)] == [PORT]
    assert watched(plugin, {**HOST, "/sys/kernel/irq/26/actions": b"PCIe PME\n"}) == []
    assert watched(plugin, {}) == []


def test_standing_status_and_flat_count_are_a_lost_interrupt(plugin: Plugin) -> None:
    found = list(plugin.source.normalise(snapshot(12, held=12), snapshot(0)))
    assert [(f.class_, f.severity, f.payload["interrupts"]) for f in found] == [("ereport.io.pciex.rc.irq-lost", "nonfatal", 7)]


def test_cause_is_named_where_registers_show_it(plugin: Plugin) -> None:
    found = list(plugin.source.normalise(snapshot(12, held=12, msi=0), snapshot(0)))
    assert found[0].payload["cause"] == "MSI off"


@pytest.mark.parametrize(
    ("now", "before"),
    [
        (snapshot(12, held=9.9), snapshot(0)),  # a handler may still come
        (snapshot(12, status=0), snapshot(0)),  # it has come
        (snapshot(12, held=12, count=b"3,5\n"), snapshot(0)),  # errors keep coming, and are served
        (snapshot(12, held=12), snapshot(5)),  # not flat for long enough
        (snapshot(12, held=12), snapshot(0, status=0)),  # the status was clear then
        (snapshot(12, held=12), None),
    ],
)
def test_anything_less_is_none(plugin: Plugin, now: Snapshot, before: Snapshot | None) -> None:
    assert list(plugin.source.normalise(now, before)) == []


def recorded(tmp_path: Path, *steps: str) -> Path:
    for path, content in HOST.items():
        file = tmp_path / "host" / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    (tmp_path / "config.lspci").write_text(capture(*images().values()))
    (tmp_path / "case.yaml").write_text("about: x\nsteps:\n  - {at: 0s}\n" + "".join(f"  - {{{step}}}\n" for step in steps))
    return tmp_path


def lost(directory: Path) -> list[tuple[str, object]]:
    sources = [p for p in builtin() if p.manifest.kind == "source"]
    found = [event for look in play(open_fixture(directory), sources) for event in look.ereports]
    return [(event.time[17:19], event.payload["held-s"]) for event in found if event.class_.endswith("irq-lost")]


LATCH = f'latch: {{"{PORT}": {{"ECAP_AER+30.l": 0x1}}, "{CARD}": {{"ECAP_AER+10.l": 0x40}}}}'
CLEAR = f'store: {{"{PORT}": {{"ECAP_AER+30.l": 0x0}}}}'


def test_lost_interrupt_is_found_once_in_the_whole_path(tmp_path: Path) -> None:
    assert lost(recorded(tmp_path, f"at: 2s, {LATCH}", "at: 60s")) == [("12", 10)]


def test_served_error_is_no_lost_interrupt(tmp_path: Path) -> None:
    assert lost(recorded(tmp_path, f"at: 2s, {LATCH}", f"at: 8s, {CLEAR}", f"at: 20s, {LATCH}", f"at: 25s, {CLEAR}", "at: 60s")) == []


def test_next_loss_after_a_service_is_found_again(tmp_path: Path) -> None:
    assert len(lost(recorded(tmp_path, f"at: 2s, {LATCH}", f"at: 20s, {CLEAR}", f"at: 30s, {LATCH}", "at: 60s"))) == 2


def test_status_register_is_where_the_spec_has_it() -> None:
    assert 0x100 + STATUS.offset == ROOT_ERROR_STATUS
