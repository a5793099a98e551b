"""Whether machine checks get here: by Xen's version and processor, in guests, on hardware, and where nothing is known."""

from __future__ import annotations

import pytest
from support.host import FactHost

from pcifma.platform.coverage import MachineChecks
from pcifma.platform.hypervisor import Platform
from pcifma.platform.telemetry import is_blind, telemetry

DOM0 = Platform("xen", "dom0", flavour="PV")
HOST = Platform("none", "host")
INTEL = b"vendor_id\t: GenuineIntel\nflags\t: fpu\n"
AMD = b"vendor_id\t: AuthenticAMD\nflags\t: fpu\n"
TRACED = {"/sys/kernel/tracing/events/mce/mce_record/enable": b"0"}


def xen(minor: int, extra: str, *, cpuinfo: bytes = INTEL, said: str = "", devices: tuple[str, ...] = ("/dev/mcelog",)) -> MachineChecks:
    version = {"major": b"4\n", "minor": f"{minor}\n".encode(), "extra": f"{extra}\n".encode()}
    facts = {f"/sys/hypervisor/version/{name}": text for name, text in version.items()}
    facts |= {"/proc/cmdline": b"quiet", "/proc/cpuinfo": cpuinfo, "/dev/null": b"", **dict.fromkeys(devices, b"")}
    facts |= {"/xen-mca/processor": said.encode()} if said else {}
    return telemetry(FactHost(facts), DOM0)


@pytest.mark.parametrize(
    ("version", "blind"),
    [
        ((4, 12, 4), False), ((4, 13, 0), True), ((4, 17, 7), True), ((4, 18, 6), True), ((4, 19, 3), True), ((4, 19, 4), False),
        ((4, 20, 1), True), ((4, 20, 2), False), ((4, 20, 5), False), ((4, 21, 0), False), ((4, 22, 0), False), ((5, 0, 0), False),
    ],
)  # fmt: skip
def test_which_releases_see_no_banks(version: tuple[int, int, int], blind: bool) -> None:
    assert is_blind(version) is blind


def test_blind_on_amd_and_on_intel_without_cmci() -> None:
    for found in (xen(17, ".7", cpuinfo=AMD), xen(17, ".7", said="vendor=intel mcgcap=0x100010a")):
        assert (found.corrected, found.uncorrected) == (False, False)
        assert any("polls no banks" in why for why in found.why) and any("4.20.2" in what for what in found.help)


def test_an_interrupt_that_announced_nothing_is_told() -> None:
    version = {"major": b"4", "minor": b"17", "extra": b".7"}
    facts = {f"/sys/hypervisor/version/{name}": text for name, text in version.items()}
    facts |= {"/proc/cmdline": b"", "/dev/mcelog": b"", "/proc/interrupts": b"      CPU0\n 31:   2   xen-dyn    -virq      mce\n"}
    assert any("has come 2 times" in why for why in telemetry(FactHost(facts), DOM0).why)


def test_cmci_still_tells_of_corrected_errors() -> None:
    found = xen(17, ".7", said="vendor=intel mcgcap=0xf000c14")
    assert (found.corrected, found.uncorrected, found.by) == (True, False, "mcelog")


def test_whether_there_is_cmci_may_be_unknown() -> None:
    found = xen(17, ".7")
    assert (found.corrected, found.uncorrected) == (None, False)
    assert "modprobe xen-privcmd" in found.help


def test_a_repaired_xen_hears_both_on_intel_and_corrected_ones_on_amd() -> None:
    intel, amd = xen(20, ".5-pre"), xen(20, ".5-pre", cpuinfo=AMD)
    assert (intel.corrected, intel.uncorrected, intel.why, intel.help) == (True, True, [], [])
    assert (amd.corrected, amd.uncorrected) == (True, False)


def test_without_anybody_who_fetches_nothing_is_heard() -> None:
    found = xen(20, ".4", devices=("/dev/xen/privcmd",))
    assert (found.corrected, found.uncorrected, found.by) == (False, False, "none")
    assert xen(20, ".4", devices=("/dev/xen/privcmd", "/dev/xen/evtchn")).by == "hypercall"


@pytest.mark.parametrize("platform", [Platform("kvm", "guest"), Platform("xen", "domU"), Platform("vmware", "guest")])
def test_a_guest_hears_nothing(platform: Platform) -> None:
    found = telemetry(FactHost({"/proc/cmdline": b"", **TRACED}), platform)
    assert (found.corrected, found.uncorrected, found.help) == (False, False, ["run pcifma on the host"])


def test_hardware_is_heard_by_the_tracepoint() -> None:
    found = telemetry(FactHost({"/proc/cmdline": b"quiet", **TRACED}), HOST)
    assert (found.corrected, found.uncorrected, found.by, found.why) == (True, True, "tracepoint", [])


def test_banks_left_alone_are_read_or_asked_for() -> None:
    off = {"/proc/cmdline": b"mce=off", **TRACED}
    alone, read = telemetry(FactHost(off), HOST), telemetry(FactHost({**off, "/msr/cpu0": b""}), HOST)
    assert (alone.corrected, alone.uncorrected, alone.by) == (False, False, "none") and any("modprobe msr" in what for what in alone.help)
    assert (read.corrected, read.uncorrected, read.by) == (True, False, "msr")
    partly = telemetry(FactHost({"/proc/cmdline": b"mce=ignore_ce", "/msr/cpu0": b"", **TRACED}), HOST)
    assert (partly.corrected, partly.uncorrected) == (True, True)


def test_what_cannot_be_seen_is_unknown_and_says_why() -> None:
    unprivileged = {"/proc/cmdline": b"quiet", "/sys/devices/system/machinecheck/machinecheck0/check_interval": b"300"}
    for found in (telemetry(FactHost(unprivileged), HOST), telemetry(FactHost({}), HOST)):
        assert (found.corrected, found.uncorrected) == (None, None) and found.why


def test_firmware_first_leaves_corrected_ones_open() -> None:
    entry = (1).to_bytes(2, "little") + bytes(4) + bytes([1, 1]) + bytes(40)
    table = b"HEST" + bytes(32) + (1).to_bytes(4, "little") + entry
    found = telemetry(FactHost({"/proc/cmdline": b"", "/sys/firmware/acpi/tables/HEST": table, **TRACED}), HOST)
    assert (found.corrected, found.uncorrected) == (None, True)
