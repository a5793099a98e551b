"""Which bits stand, and what their plugins say of them."""

from __future__ import annotations

from support.board import CORRECTABLE, DEVICE_STATUS, END, UNCORRECTABLE, board
from support.machine import bench

from pcifma.fabric.build import build
from pcifma.plugin.loader import builtin
from pcifma.poll.poller import Poller
from pcifma.poll.standing import Standings

SEVERITY, CORRECTABLE_MASK = UNCORRECTABLE + 8, CORRECTABLE + 4


def test_standing_bits_have_class_severity_and_mask() -> None:
    on = bench(*board())
    space = on.space(END)
    space.put(DEVICE_STATUS, 5, 2)
    space.put(UNCORRECTABLE, 1 << 18, 4)
    space.put(SEVERITY, 1 << 18, 4)
    space.put(CORRECTABLE, 1 << 6, 4)
    space.put(CORRECTABLE_MASK, 1 << 6, 4)
    poller = Poller(on.machine, build(on.machine), builtin(("pcie_aer",)))
    standings = Standings()
    assert standings.now(poller.targets(), poller.latched) == []
    poller.look()
    found = standings.now(poller.targets(), poller.latched)
    assert [(b.device, b.register, b.bit, b.severity, b.masked) for b in found] == [
        (END, "ECAP_AER+4.l", 18, "fatal", False),
        (END, "ECAP_AER+10.l", 6, "correctable", True),
    ]
    on.forget_reads()
    assert standings.now(poller.targets(), poller.latched) == found
    assert on.reads == {}
    space.put(UNCORRECTABLE, 0, 4)
    space.put(CORRECTABLE, 0, 4)
    space.put(DEVICE_STATUS, 0, 2)
    on.clock.wait_until(on.clock.boot_ns() + 10**9)
    poller.look()
    assert standings.now(poller.targets(), poller.latched) == []


def test_what_probing_leaves_stands_as_residue() -> None:
    on = bench(*board())
    on.space(END).put(DEVICE_STATUS, 0b1001, 2)  # bit 0 has no AER bit to explain it
    on.space(END).put(UNCORRECTABLE, 1 << 20, 4)
    poller = Poller(on.machine, build(on.machine), builtin(("pcie_aer",)))
    poller.look()
    found = Standings().now(poller.targets(), poller.latched)
    assert [(b.bit, b.severity, b.residue) for b in found] == [(0, "info", True), (20, "info", True)]
