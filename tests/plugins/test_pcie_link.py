"""Speed and width below what both ends can do: accused only where no idle device, target speed, sleep or guest explains it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.dump import CORPUS, needs_corpus
from support.image import DOWNSTREAM, ENDPOINT, ROOT_PORT, UPSTREAM, Image
from support.machine import Bench, bench
from support.sweep import Sweep, told

from pcifma.access.open import open_source
from pcifma.event.ereport import Ereport
from pcifma.fabric.build import build
from pcifma.plugin.loader import builtin
from pcifma.poll.poller import Poller

PORT, CARD = "0000:00:03.0", "0000:01:00.0"
EXP, PM = 0x40, 0xC0
CAPABILITY, CONTROL, STATUS, CONTROL_2, STATUS_2 = EXP + 0xC, EXP + 0x10, EXP + 0x12, EXP + 0x30, EXP + 0x32
GEN1, GEN2, GEN3 = 1, 2, 3
X4, X8 = 4 << 4, 8 << 4
ACTIVE, LBMS, LABS = 1 << 13, 1 << 14, 1 << 15
EQUALIZED = 0x1E
NETWORK, DISPLAY, BRIDGE = 0x020000, 0x030000, 0x060400


def end(bdf: str, port_type: int, class_code: int, *, buses: tuple[int, int, int] | None = None) -> Image:
    image = Image(bdf, "End").header(0x15B3, 0x1017, class_code, header_type=1 if buses else 0)
    image = image.buses(*buses) if buses else image
    image = image.express(EXP, port_type).capability(PM, 1).put(CAPABILITY, GEN3 | X8, 4).put(STATUS, GEN3 | X8, 2)
    return image.put(CONTROL_2, GEN3, 2).put(STATUS_2, EQUALIZED, 2)


def link(class_code: int = NETWORK) -> tuple[Image, Image]:
    return end(PORT, ROOT_PORT, BRIDGE, buses=(0, 1, 1)).put(STATUS, GEN3 | X8 | ACTIVE, 2), end(CARD, ENDPOINT, class_code)


def run(on: Bench, state: int) -> None:
    """The link changes to this speed and width, at both ends."""
    for bdf, more in ((PORT, ACTIVE), (CARD, 0)):
        on.space(bdf).put(STATUS, state | more, 2)


def first(change: Callable[[Bench], None], class_code: int = NETWORK, state: int = GEN1 | X8) -> list[Ereport]:
    on = bench(*link(class_code))
    run(on, state)
    change(on)
    return Sweep(on, "pcie_link").look()


def nothing(on: Bench) -> None:
    """All as it is."""


def put(bdf: str, offset: int, value: int, width: int = 2) -> Callable[[Bench], None]:
    return lambda on: on.space(bdf).put(offset, value, width)


def test_full_speed_and_width_are_quiet() -> None:
    assert first(nothing, state=GEN3 | X8) == []


def test_slow_link_is_told_once_at_its_lower_end_with_both_ends_speeds() -> None:
    events = first(nothing)
    assert told(events) == [(CARD, "io.pciex.pl.speed", 0)]
    assert (events[0].severity, events[0].residue) == ("correctable", False)
    assert (events[0].payload["speed"], events[0].payload["able"], events[0].payload["port"]) == ("2.5 GT/s", "8.0 GT/s", PORT)


def test_narrow_link_is_told_with_both_ends_widths() -> None:
    events = first(nothing, state=GEN3 | X4)
    assert told(events) == [(CARD, "io.pciex.pl.width", 4)]
    assert (events[0].severity, events[0].payload["width"], events[0].payload["able"]) == ("correctable", 4, 8)


def both(*changes: Callable[[Bench], None]) -> Callable[[Bench], None]:
    def change(on: Bench) -> None:
        for one in changes:
            one(on)

    return change


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(put(CARD, CAPABILITY, GEN1 | X8, 4), id="the card can do no more"),
        pytest.param(put(PORT, CAPABILITY, GEN1 | X8, 4), id="the port can do no more"),
        pytest.param(put(PORT, CONTROL_2, GEN1), id="the port's Target Link Speed asks for it"),
        pytest.param(put(PORT, STATUS, GEN1 | X8 | ACTIVE | LABS), id="hardware says it did it on purpose"),
        pytest.param(put(CARD, PM + 4, 3), id="the card is in D3hot"),
        pytest.param(put(PORT, STATUS, GEN1 | X8 | ACTIVE | 1 << 11), id="the link is training"),
        pytest.param(both(put(PORT, CAPABILITY, GEN3 | X8 | 1 << 20, 4), put(PORT, STATUS, GEN1 | X8)), id="the link is down"),
        pytest.param(put(PORT, STATUS, GEN3 | X8 | ACTIVE), id="the two ends do not show one link"),
        pytest.param(both(put(PORT, STATUS, GEN1 | X8 | 0xF), put(CARD, STATUS, X8 | 0xF)), id="no such speed"),
    ],
)
def test_slow_link_that_is_explained_is_quiet(change: Callable[[Bench], None]) -> None:
    assert first(change) == []


def test_target_speed_of_the_lower_end_explains_nothing() -> None:
    assert told(first(put(CARD, CONTROL_2, GEN1))) == [(CARD, "io.pciex.pl.speed", 0)]


def test_autonomous_and_unreliable_at_once_is_no_excuse() -> None:
    assert told(first(put(PORT, STATUS, GEN1 | X8 | ACTIVE | LABS | LBMS))) == [(CARD, "io.pciex.pl.speed", 0)]


def test_display_at_low_speed_may_be_idle_and_is_said_once_as_information() -> None:
    on = bench(*link(DISPLAY))
    run(on, GEN1 | X8)
    of = Sweep(on, "pcie_link")
    events = of.look()
    assert [(e.class_, e.severity) for e in events] == [("ereport.io.pciex.pl.speed", "info")]
    assert "idle" in str(events[0].payload["why"])
    for state in (GEN3, GEN1, GEN3, GEN1):
        run(on, state | X8)
        assert of.look(31) == []


def test_display_that_never_was_equalized_never_got_there() -> None:
    events = first(both(put(PORT, STATUS_2, 0), put(CARD, STATUS_2, 0)), DISPLAY)
    assert [e.severity for e in events] == ["correctable"]
    assert events[0].payload["why"] == "never equalized at 8.0 GT/s or above since the link's last reset"


def test_display_that_may_not_slow_down_by_itself_is_at_fault() -> None:
    disabled = GEN3 | 1 << 5
    events = first(both(put(PORT, CONTROL_2, disabled), put(CARD, CONTROL_2, disabled)), DISPLAY)
    assert [e.severity for e in events] == ["correctable"]
    assert first(put(CARD, CONTROL_2, disabled), DISPLAY)[0].severity == "info"


def test_narrow_display_is_information_and_a_narrow_card_is_not() -> None:
    assert [first(nothing, code, GEN3 | X4)[0].severity for code in (DISPLAY, NETWORK)] == ["info", "correctable"]


def test_lanes_that_flit_mode_may_put_to_rest_are_information() -> None:
    assert [e.severity for e in first(put(CARD, STATUS_2, EQUALIZED | 1 << 10), state=GEN3 | X4)] == ["info"]


def test_display_behind_the_switch_on_its_card_may_be_idle_too() -> None:
    port, _ = link()
    on = bench(
        port.buses(0, 1, 3),
        end(CARD, UPSTREAM, BRIDGE, buses=(1, 2, 3)),
        end("0000:02:00.0", DOWNSTREAM, BRIDGE, buses=(2, 3, 3)),
        end("0000:03:00.0", ENDPOINT, DISPLAY),
    )
    run(on, GEN1 | X8)
    assert [(e.device, e.severity) for e in Sweep(on, "pcie_link").look()] == [(CARD, "info")]


def test_link_that_slows_down_later_is_news() -> None:
    on = bench(*link())
    of = Sweep(on, "pcie_link")
    assert of.look() == []
    run(on, GEN1 | X8)
    assert [(e.class_, e.first_look) for e in of.look(31)] == [("ereport.io.pciex.pl.speed", False)]
    assert of.look(31) == []


def test_guest_compares_nothing() -> None:
    on = bench(*link())
    run(on, GEN1 | X4)
    on.facts.files |= {"/proc/cpuinfo": b"flags : hypervisor\n", "/sys/class/dmi/id/sys_vendor": b"QEMU\n"}
    assert Sweep(on, "pcie_link").look() == []


def test_without_the_port_above_equalization_says_what_the_link_could_do() -> None:
    card = end(CARD, ENDPOINT, NETWORK).put(STATUS, GEN1 | X8, 2)
    events = Sweep(bench(card), "pcie_link").look()
    assert [(e.severity, e.payload["able"], e.payload["port"]) for e in events] == [("info", "8.0 GT/s", None)]
    never = end(CARD, ENDPOINT, NETWORK).put(STATUS, GEN1 | X4, 2).put(STATUS_2, 0, 2)
    assert Sweep(bench(never), "pcie_link").look() == []


def test_port_of_version_1_has_no_second_link_registers() -> None:
    on = bench(*link())
    on.space(PORT).put(EXP + 2, 0x41, 2)
    run(on, GEN1 | X8)
    of = Sweep(on, "pcie_link")
    on.forget_reads()
    assert told(of.look()) == [(CARD, "io.pciex.pl.speed", 0)]
    assert max(offset + length for offset, length in on.reads[PORT] if EXP <= offset < PM) <= EXP + 0x14


def test_sibling_functions_of_one_device_are_one_link() -> None:
    port, card = link()
    on = bench(port, card, end("0000:01:00.1", ENDPOINT, NETWORK).put(STATUS, GEN1 | X8, 2))
    run(on, GEN1 | X8)
    assert told(Sweep(on, "pcie_link").look()) == [(CARD, "io.pciex.pl.speed", 0)]


@needs_corpus
@pytest.mark.parametrize(
    ("name", "slow"),
    [
        ("nvidia-bug-report/gv102-server.txt", ["0000:03:00.0"]),  # 2.5 of 8 GT/s, its three siblings at 8
        ("nvidia-bug-report/quadro-k2200.txt", []),
        ("openpower/talos2.txt", []),  # a card with two of its four lanes wired; the port says that it was on purpose
        ("pciutils/tree-fsl-p2020.txt", []),
        ("pciutils/tree-asus-p6t6.txt", []),
        ("coreboot-autoport/h310-board.txt", []),
    ],
)
def test_capture_of_a_real_machine_accuses_nobody(name: str, slow: list[str]) -> None:
    machine = open_source(str(CORPUS / name))
    found = Poller(machine, build(machine), builtin(("pcie_link",))).look().ereports
    judged = [e for e in found if e.class_.startswith("ereport.io.pciex.pl.")]
    assert [(e.device, e.severity) for e in judged] == [(device, "info") for device in slow]
    assert all("cannot be seen" in str(e.payload["why"]) for e in judged)
