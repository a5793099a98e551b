"""PCI-X: Functions and bridges have different registers at the same place."""

from __future__ import annotations

import pytest
from support.image import PCIE_TO_PCI, Image
from support.machine import bench
from support.sweep import Sweep, sweep, told

CARD, BRIDGE = "0000:02:01.0", "0000:01:00.0"
AT = 0xA0


def card() -> Image:
    return Image(CARD, "Card").header(0x8086, 0x1010, 0x020000).capability(AT, 0x07).put(AT + 4, 0x0003_0208, 4)


def bridge() -> Image:
    image = Image(BRIDGE, "Bridge").header(0x8086, 0x0329, 0x060400, header_type=1).buses(1, 2, 2).express(0x40, PCIE_TO_PCI)
    return image.capability(AT, 0x07).put(AT + 2, 0x0003, 2).put(AT + 4, 0x0003_0100, 4)


def test_healthy_card_and_bridge_are_quiet() -> None:
    assert sweep("pcix", card(), bridge()) == []


@pytest.mark.parametrize(("bit", "leaf"), [(18, "spl-dis"), (19, "unex-spl"), (29, "rx-spl")])
def test_status_of_a_function_is_told_with_illumos_words(bit: int, leaf: str) -> None:
    events = sweep("pcix", card().put(AT + 4, 1 << bit, 4).put(AT + 2, 0x10, 2))
    assert told(events) == [(CARD, f"io.pcix.{leaf}", bit)]
    assert (events[0].payload["pcix-status"], events[0].payload["pcix-command"]) == (1 << bit, 0x10)


def test_what_are_settings_of_a_function_are_errors_of_a_bridge() -> None:
    assert sweep("pcix", card().put(AT + 2, 0x3C, 2).put(AT + 4, 3 << 20, 4)) == []
    events = sweep("pcix", bridge().put(AT + 2, 0x1C, 2).put(AT + 4, 3 << 20, 4))
    assert [(name, bit) for _, name, bit in told(events)] == [
        ("io.pcix.sec-spl-dis", 2),
        ("io.pcix.sec-unex-spl", 3),
        ("io.pcix.sec-spl-or", 4),
        ("io.pcix.spl-or", 20),
        ("io.pcix.spl-dly", 21),
    ]
    assert events[0].payload["pcix-sec-status"] == 0x1C


def test_delayed_request_is_information() -> None:
    assert [e.severity for e in sweep("pcix", bridge().put(AT + 2, 0x20, 2))] == ["info"]


def test_conventional_card_is_looked_at_in_the_fast_tier() -> None:
    on = bench(card())
    of = Sweep(on, "pcix")
    of.look()
    on.space(CARD).put(AT + 4, 1 << 19, 4)
    assert told(of.look(1)) == [(CARD, "io.pcix.unex-spl", 19)]
