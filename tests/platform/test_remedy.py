"""What would help most: yields are computed, the best comes first, what needs two comes together."""

from __future__ import annotations

from support.server import BRIDGE_CONTROL, CARD, COMMAND, DEVICE_CONTROL, DOWN, PORT, UP, Server


def steps(server: Server) -> list[tuple[list[str], int]]:
    return [(h.do, h.opens) for h in server.survey().summary().help]


def test_heard_machine_needs_nothing() -> None:
    found = Server().survey()
    assert (found.advice.steps, found.advice.beyond) == ((), ())


def test_option_comes_first_and_opens_all() -> None:
    assert steps(Server().option("pci=nomsi")) == [(["drop pci=nomsi from the kernel's command line"], 4)]


def test_option_that_hides_aer_itself_is_dropped_too() -> None:
    server = Server().option("pci=nommconf")
    for image in server.images.values():
        del image.data[256:]
    assert steps(server)[0] == (["drop pci=nommconf from the kernel's command line"], 4)
    assert not server.survey().advice.beyond


def test_two_options_are_dropped_together() -> None:
    found = steps(Server().option("pci=nomsi pcie_aspm=off"))
    assert found == [(["drop pci=nomsi from the kernel's command line", "drop pcie_aspm=off from the kernel's command line"], 4)]


def test_dom0_is_told_its_own_command_line() -> None:
    server = Server().option("pci=noaer")
    server.platform = {"hypervisor": "xen", "role": "dom0"}
    assert steps(server)[0][0] == ["drop pci=noaer from dom0's command line"]


def test_bridge_that_silences_more_comes_before_one_that_silences_less() -> None:
    found = steps(Server().put(UP, BRIDGE_CONTROL, 0).put(DOWN, BRIDGE_CONTROL, 0))
    assert [(do[0].partition(":")[0], n) for do, n in found] == [("SERR# forwarding on at 0000", 1), ("SERR# forwarding on at 0000", 1)]
    assert UP in found[0][0][0] and DOWN in found[1][0][0]


def test_yield_counts_each_function_that_is_opened() -> None:
    found = steps(Server().put(PORT, BRIDGE_CONTROL, 0))
    assert found == [([f"SERR# forwarding on at {PORT}: setpci -s {PORT} 3e.w=0002:0002"], 3)]


def test_setpci_line_writes_no_bit_but_its_own() -> None:
    found = steps(Server().put(CARD, DEVICE_CONTROL, 0x2810).put(CARD, COMMAND, 6))
    assert found[0][0] == [f"reporting on at {CARD}: setpci -s {CARD} CAP_EXP+8.w=000f:000f"]


def test_function_beyond_help_is_counted_apart() -> None:
    server = Server()
    server.images["isa"] = server.images[CARD].__class__("0000:00:1f.0", "LPC").header(0x8086, 0x1, 0x060100)
    found = server.survey()
    assert [str(bdf) for bdf in found.advice.beyond] == ["0000:00:1f.0"]
    assert found.advice.steps == ()
