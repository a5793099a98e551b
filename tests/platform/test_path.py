"""Each cause of silence: closed, the verdict flips; opened again, or its remedy assumed, it flips back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.image import PCIE_TO_PCI, RCEC, RCIEP, Image
from support.server import (
    AER,
    BRIDGE_CONTROL,
    CARD,
    COMMAND,
    CORRECTABLE_MASK,
    DEVICE_CONTROL,
    DOWN,
    EXPRESS,
    MSI_CONTROL,
    MSI_MASK,
    PORT,
    ROOT_CONTROL,
    ROOT_ERROR_COMMAND,
    ROOT_ERROR_STATUS,
    SERVICE,
    UNCORRECTABLE_MASK,
    UP,
    Server,
)

from pcifma.fabric.build import build
from pcifma.platform.path import heard, reasons
from pcifma.platform.situation import situation
from pcifma.regs.bdf import Bdf

ALL = (True, True, True)
Verdict = tuple[bool | None, bool | None, bool | None]


@dataclass(frozen=True)
class Cause:
    """One way to silence the card: the *kind* of the reason, what *close* does, and the verdict it gives."""

    kind: str
    close: Callable[[Server], object]
    verdict: Verdict = (False, False, False)
    text: str = ""
    curable: bool = True


def asleep(server: Server) -> None:
    server.host.facts[f"/sys/bus/pci/devices/{CARD}/power_state"] = b"D3cold\n"


def ghes(server: Server) -> None:
    entry = bytearray(64)
    entry[0], entry[7] = 9, 1
    table = b"HEST".ljust(36, b"\0") + (1).to_bytes(4, "little") + bytes(entry)
    server.unserved().host.facts["/sys/firmware/acpi/tables/HEST"] = table


def no_hest(server: Server) -> None:
    server.unserved().host.facts.pop("/sys/firmware/acpi/tables/FACP")
    server.host.reasons["/sys/firmware/acpi/tables/HEST"] = "masked by the container"


def msi_off(server: Server) -> None:
    server.put(PORT, MSI_CONTROL, 0x0100).put(PORT, COMMAND, 0x0506)


def no_aer(server: Server) -> None:
    server.images[PORT].put(AER, 0, 4)
    server.host.links[f"/sys/bus/pci_express/devices/{UP}:pcie002/driver"] = "../aer"


def another_port_served(server: Server) -> Server:
    other = (
        Image("0000:00:04.0", "Port").header(0x111D, 0x8004, 0x060400, header_type=1).buses(0, 9, 9, control=2).express(EXPRESS, 4).aer()
    )
    server.images["0000:00:04.0"] = other
    server.host.links[SERVICE.replace(PORT, "0000:00:04.0")] = server.host.links.pop(SERVICE)
    return server


def two_kinds(server: Server) -> None:
    server.images[PORT].capability(0x90, 0x11).put(0x92, 0x8000, 2)


def conventional(server: Server) -> Server:
    server.images[DOWN] = (
        Image(DOWN, "Bridge").header(0x104C, 0x8231, 0x060400, header_type=1).buses(2, 4, 4, control=2).express(0x40, PCIE_TO_PCI)
    )
    server.images[CARD] = Image(CARD, "Sound").header(0x1102, 0x2, 0x040100)
    return server


def passed_through(server: Server) -> None:
    server.host.facts["/proc/cpuinfo"] = b"flags : hypervisor\n"
    server.host.facts["/sys/class/dmi/id/sys_vendor"] = b"VMware, Inc.\n"


def emulated(server: Server) -> Server:
    server.host.facts["/proc/cpuinfo"] = b"flags : hypervisor\n"
    server.host.facts["/sys/class/dmi/id/sys_vendor"] = b"QEMU\n"
    server.images[CARD].put(0x2C, 0x11001AF4, 4)
    return server


def orphan(server: Server) -> None:
    del server.images[DOWN]


CAUSES = [
    Cause(
        "device-control", lambda s: s.put(CARD, DEVICE_CONTROL, 0).put(CARD, COMMAND, 0x0006), text=f"{CARD}: Device Control: reporting off"
    ),
    Cause("device-control", lambda s: s.put(CARD, DEVICE_CONTROL, 0xE), (False, True, True), text="(correctable)"),
    Cause("aer-mask", lambda s: s.put(CARD, CORRECTABLE_MASK, 0xFFFF, 4), (False, True, True), text="masks every correctable"),
    Cause("aer-mask", lambda s: s.put(CARD, UNCORRECTABLE_MASK, 0x00111000, 4), (True, False, True)),
    Cause("aer-mask", lambda s: s.put(CARD, UNCORRECTABLE_MASK, 0x00062030, 4), (True, True, False), text="masks every fatal"),
    Cause("bridge-control", lambda s: s.put(UP, BRIDGE_CONTROL, 0), text=f"bridge {UP}: SERR# forwarding off"),
    Cause("bridge-control", lambda s: s.put(PORT, BRIDGE_CONTROL, 0), text=f"bridge {PORT}: SERR# forwarding off"),
    Cause("bridge-serr", lambda s: s.put(UP, COMMAND, 0x0006).put(UP, DEVICE_CONTROL, 0), (True, False, False)),
    Cause("root-error-command", lambda s: s.put(PORT, ROOT_ERROR_COMMAND, 6, 4), (False, True, True)),
    Cause("msi-off", msi_off, text=f"{PORT}: MSI off"),
    Cause("msi-masked", lambda s: s.put(PORT, MSI_MASK - 4, 1, 4), text="MSI vector 0 masked"),
    Cause("msi-twice", two_kinds),
    Cause("bus-master", lambda s: s.put(PORT, COMMAND, 0x0102), text="Bus Master off"),
    Cause("standing", lambda s: s.put(PORT, ROOT_ERROR_STATUS, 1, 4), (False, True, True)),
    Cause("service", another_port_served, text="no AER service bound"),
    Cause("no-aer", lambda s: another_port_served(s).put(PORT, AER, 0, 4), curable=False),
    Cause("owner", lambda s: s.option("pci=noaer"), text="nobody owns AER: pci=noaer"),
    Cause("owner", lambda s: s.option("pci=noacpi,nomsi")),
    Cause("owner", lambda s: s.option("pcie_aspm=off")),
    Cause("owner", lambda s: s.option("pcie_ports=compat")),
    Cause("owner", lambda s: s.unserved(), text="nobody owns AER: no AER service"),
    Cause("owner", no_hest, (None, None, None), text="owner of AER unknown", curable=False),
    Cause("firmware", ghes, (None, None, None), text="firmware owns AER", curable=False),
    Cause("firmware", lambda s: s.unserved().put(PORT, ROOT_CONTROL, 0x6), (None, True, True), curable=False),
    Cause("asleep", asleep, (None, None, None), text="asleep (D3cold), not woken", curable=False),
    Cause("conventional", conventional, (False, True, True), curable=False),
    Cause("serr", lambda s: conventional(s).put(CARD, COMMAND, 0x0006), curable=False),
    Cause("emulated-port", passed_through, (None, None, None), curable=False),
    Cause("emulated", emulated, (False, True, True), text="sends no ERR_COR", curable=False),
    Cause("emulated", lambda s: emulated(s).put(UP, DEVICE_CONTROL, 0), curable=False),
    Cause("emulated", lambda s: emulated(s).put(CARD, COMMAND, 0x0006), curable=False),
    Cause("no-port", orphan, (None, None, None), text="the bridge to bus 04 is not visible", curable=False),
]


def name(cause: Cause) -> str:
    return cause.kind


def test_open_path_is_heard_by_linux() -> None:
    for bdf in (PORT, UP, DOWN, CARD):
        line = Server().line(bdf)
        assert (line.coverage.why, line.heard, line.coverage.owner) == ([], True, "native")


@pytest.mark.parametrize("cause", CAUSES, ids=name)
def test_cause_silences_and_is_named(cause: Cause) -> None:
    server = Server()
    cause.close(server)
    line = server.line()
    assert server.heard() == cause.verdict
    assert cause.kind in {r.kind for r in line.why}
    assert any(cause.text in why for why in line.coverage.why)
    assert "poll" in line.coverage.plan or line.function.unread == "asleep"


@pytest.mark.parametrize("cause", [c for c in CAUSES if c.curable], ids=name)
def test_remedy_of_the_cause_opens_the_path_again(cause: Cause) -> None:
    server = Server()
    cause.close(server)
    machine = server.machine()
    case = situation(machine, build(machine))
    card = case.fabric[Bdf.parse(CARD)]
    before = reasons(case, card)
    for remedy in {r.remedy.text: r.remedy for r in before if r.remedy is not None}.values():
        case = case.assuming(remedy.changes)
    assert tuple(heard(before).values()) == cause.verdict
    assert tuple(heard(reasons(case, card)).values()) == ALL


def test_every_kind_of_reason_has_a_case_and_an_entry() -> None:
    root = Path(__file__).parents[2]
    documented = {line.split("`")[1] for line in (root / "docs/coverage.md").read_text().splitlines() if line.startswith("| `")}
    elsewhere = {"hidden", "no-collector", "short", "gone", "busy", "unread"}
    assert {c.kind for c in CAUSES} | elsewhere == documented


def test_one_masked_error_leaves_its_severity_heard_but_polled() -> None:
    line = Server().put(CARD, CORRECTABLE_MASK, 0x2040, 4).line()
    assert line.heard
    assert line.coverage.why == ["masked: Bad TLP (correctable)"]
    assert line.coverage.plan == ["listen", "poll"]


def test_vf_reports_by_its_pf() -> None:
    server = Server()
    server.images[CARD].extended(0x160, 0x0010)
    server.images[CARD].put(0x168, 1, 2).put(0x170, 1, 2).put(0x174, 1, 2).put(0x176, 1, 2).put(0x17A, 0x1018, 2)
    server.images["vf"] = (
        Image("0000:04:00.1", "VF").header(0xFFFF, 0xFFFF, 0x020000).express(EXPRESS, 0, device_control=0).put(COMMAND, 0, 2)
    )
    assert server.heard("0000:04:00.1") == ALL
    server.put(CARD, DEVICE_CONTROL, 0xE)
    assert server.heard("0000:04:00.1") == (False, True, True)


def test_rciep_is_served_by_its_event_collector_or_by_nobody() -> None:
    server = Server()
    server.images["rciep"] = Image("0000:00:14.0", "RCiEP").header(0x8086, 0x1, 0x0C0330).express(EXPRESS, RCIEP)
    assert server.heard("0000:00:14.0") == (False, False, False)
    rcec = Image("0000:00:1e.0", "RCEC").header(0x8086, 0x2, 0x080700).express(EXPRESS, RCEC).capability(0x80, 5).put(0x82, 1, 2).aer()
    rcec.extended(0x160, 0x0007, 1).put(0x164, 1 << 0x14, 4).put(ROOT_ERROR_COMMAND, 7, 4)
    server.images["rcec"] = rcec
    server.host.links["/sys/bus/pci_express/devices/0000:00:1e.0:pcie602/driver"] = "../../drivers/aer"
    line = server.line("0000:00:14.0")
    assert (line.heard, line.coverage.served_by) == (True, "0000:00:1e.0")


def test_capture_tells_what_registers_tell() -> None:
    server = Server()
    server.host.facts.clear()
    server.host.links.clear()
    assert server.heard() == (None, None, None)
    assert server.put(CARD, DEVICE_CONTROL, 0).put(CARD, COMMAND, 6).heard() == (False, False, False)


def test_intx_carries_where_the_service_listens_on_it() -> None:
    server = Server().put(PORT, MSI_CONTROL, 0x0100)
    assert (server.line().coverage.msi, server.heard()) == ("intx", ALL)
    server.host.facts["/proc/interrupts"] = b"   CPU0\n 26:  3  IO-APIC 16-fasteoi  ahci\n"
    assert (server.line().coverage.msi, server.heard()) == ("off", (False, False, False))
