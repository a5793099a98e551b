"""Who owns AER: durable signs, what is missing, and who else clears."""

from __future__ import annotations

import pytest
from support.server import CARD, PORT, ROOT_CONTROL, SERVICE, UP, Server

from pcifma.platform.owner import blocking

HEST = "/sys/firmware/acpi/tables/HEST"


def test_service_is_known_by_its_driver_not_by_its_number() -> None:
    server = Server()
    server.host.links = {SERVICE: "../../bus/pci_express/drivers/pcie_pme"}
    assert server.line().coverage.owner == "none"
    server.host.links = {SERVICE.replace("pcie002", "pcie010"): "../../bus/pci_express/drivers/aer"}
    assert server.line().coverage.owner == "native"


@pytest.mark.parametrize("driver", ["vfio-pci", "pciback", "xen-pciback"])
def test_function_that_is_given_away_is_the_guests(driver: str) -> None:
    server = Server()
    server.host.links[f"/sys/bus/pci/devices/{CARD}/driver"] = f"../../../bus/pci/drivers/{driver}"
    assert (server.line().coverage.owner, server.line(UP).coverage.owner) == ("guest", "native")


def test_firmware_first_needs_a_sign_of_firmware() -> None:
    server = Server().unserved()
    assert server.line().coverage.owner == "none"
    server.put(PORT, ROOT_CONTROL, 7)
    assert server.line().coverage.owner == "firmware"


def test_power_s_isolation_is_a_sign_of_firmware() -> None:
    server = Server().unserved()
    server.host.facts["/proc/powerpc/eeh"] = b"EEH Subsystem is globally disabled\neeh_total_mmio_ffs=0\n"
    assert server.line().coverage.owner == "none"
    server.host.facts["/proc/powerpc/eeh"] = b"EEH Subsystem is enabled\nno device              =0\n"
    assert server.line(may_clear=True).coverage.owner == "firmware"
    assert server.line(may_clear=True).coverage.plan == ["poll"]


def test_damaged_hest_leaves_the_owner_unknown() -> None:
    server = Server().unserved()
    server.host.facts[HEST] = b"HEST".ljust(36, b"\0") + b"\x01\0\0\0" + b"\x63\0"
    assert server.line().coverage.owner == "unknown"


def test_device_tree_machine_without_tables_has_no_firmware() -> None:
    server = Server().unserved()
    del server.host.facts["/sys/firmware/acpi/tables/FACP"]
    assert server.line().coverage.owner == "none"


@pytest.mark.parametrize("why", ["masked by the container", "permission denied", "not recorded"])
def test_table_that_cannot_be_seen_is_not_absent(why: str) -> None:
    server = Server().unserved()
    del server.host.facts["/sys/firmware/acpi/tables/FACP"]
    server.host.reasons[HEST] = why
    line = server.line()
    assert (line.coverage.owner, server.heard()) == ("unknown", (None, None, None))


def test_none_alone_may_be_cleared_and_only_with_consent() -> None:
    server = Server().unserved()
    assert server.line().coverage.plan == ["poll"]
    assert server.line(may_clear=True).coverage.plan == ["poll", "clear"]
    assert Server().line(may_clear=True).coverage.plan == ["listen"]


def test_guest_without_ports_has_its_root_complex_hidden() -> None:
    server = Server()
    server.images = {CARD: server.images[CARD]}
    server.host.facts["/proc/cpuinfo"] = b"flags : hypervisor\n"
    line = server.line()
    assert (line.coverage.owner, [r.kind for r in line.why]) == ("hidden", ["hidden"])


def test_rivals_are_named() -> None:
    server = Server()
    server.host.links[f"/sys/bus/pci_express/devices/{PORT}:pcie008/driver"] = "../drivers/dpc"
    server.host.links[f"/sys/bus/pci_express/devices/{PORT}:pcie010/driver"] = "../drivers/pcie_bwctrl"
    server.host.facts["/sys/devices/system/edac/pci/check_pci_errors"] = b"1\n"
    found = server.line(UP).coverage
    assert [r.partition(" (")[0] for r in found.rivals] == [
        f"AER service at {PORT}", f"DPC service at {PORT}", f"bandwidth control at {PORT}", "EDAC PCI polling",
    ]  # fmt: skip
    assert found.dpc == "native"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("quiet", "pci=nomsi"), ("pci=nomsi",)),
        (("pci=realloc,noaer",), ("pci=realloc,noaer",)),
        (("pcie_ports=native", "pci=nocrs"), ()),
        (("pcie_aspm=off", "pci=nomsi"), ("pcie_aspm=off", "pci=nomsi")),
    ],
)
def test_blocking_options_are_found_in_lists(words: tuple[str, ...], found: tuple[str, ...]) -> None:
    assert blocking(words) == found
