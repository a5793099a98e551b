"""The ladder of signs: agreement, disagreement, and who wins."""

from __future__ import annotations

import pytest
from support.host import FactHost, machine_of
from support.image import Image

from pcifma.fabric.build import build
from pcifma.platform.hypervisor import Platform, detect

XEN = "/sys/hypervisor/"
DMI = "/sys/class/dmi/id/"
BARE = {"/proc/cpuinfo": b"flags : fpu sse2\n", DMI + "sys_vendor": b"Dell Inc.\n"}
DOM0 = {
    XEN + "type": b"xen\n",
    "/proc/xen/capabilities": b"control_d\n",
    XEN + "properties/features": b"00000705,00000b05\n".replace(b"00000705,", b""),
    XEN + "guest_type": b"PV\n",
    "/proc/cpuinfo": b"flags : fpu hypervisor\n",
    DMI + "sys_vendor": b"Dell Inc.\n",
}
GUEST = {"/proc/cpuinfo": b"flags : fpu hypervisor\n"}


def platform(facts: dict[str, bytes], *images: Image, stated: dict[str, str] | None = None) -> Platform:
    images = images or (Image("0000:00:00.0", "Host bridge").header(0x8086, 0x3400, 0x060000),)
    machine = machine_of(*images, host=FactHost(dict(facts)), kind="sysfs", platform=stated)
    return detect(machine, build(machine))


@pytest.mark.parametrize(
    ("facts", "hypervisor", "role"),
    [
        (BARE, "none", "host"),
        ({**BARE, "/sys/class/misc/kvm/dev": b"10:232\n"}, "kvm", "host"),
        (DOM0, "xen", "dom0"),
        ({**DOM0, DMI + "sys_vendor": b"QEMU\n"}, "xen", "dom0"),
        ({XEN + "type": b"xen\n", "/proc/xen/capabilities": b"\n", **GUEST}, "xen", "domU"),
        ({XEN + "type": b"xen\n", XEN + "guest_type": b"HVM\n", DMI + "sys_vendor": b"Xen\n", **GUEST}, "xen", "domU"),
        ({**GUEST, DMI + "sys_vendor": b"QEMU\n"}, "qemu", "guest"),
        ({**GUEST, DMI + "sys_vendor": b"QEMU\n", "/sys/devices/system/clocksource/clocksource0/available_clocksource": b"tsc kvm-clock\n"},
         "kvm", "guest"),
        ({**GUEST, DMI + "sys_vendor": b"VMware, Inc.\n"}, "vmware", "guest"),
        ({**GUEST, DMI + "sys_vendor": b"Microsoft Corporation\n", DMI + "product_name": b"Virtual Machine\n"}, "hyperv", "guest"),
        ({**BARE, DMI + "sys_vendor": b"Microsoft Corporation\n", DMI + "product_name": b"Surface Laptop\n"}, "none", "host"),
        ({**GUEST, DMI + "sys_vendor": b"Amazon EC2\n", DMI + "product_name": b"m6i.large\n"}, "nitro", "guest"),
        ({**BARE, DMI + "sys_vendor": b"Amazon EC2\n", DMI + "product_name": b"m6i.metal\n"}, "none", "host"),
        ({"/proc/device-tree/hypervisor/compatible": b"linux,kvm\0"}, "kvm", "guest"),
        ({"/proc/device-tree/compatible": b"ibm,powernv\0"}, "none", "host"),
        ({"/proc/device-tree/compatible": b"raspberrypi,5-model-b\0brcm,bcm2712\0"}, "none", "host"),
        ({"/proc/device-tree/compatible": b"qemu,pseries\0"}, "qemu", "guest"),
        (GUEST, "unknown", "guest"),
        ({**GUEST, DMI + "sys_vendor": b"Some Cloud\n"}, "unknown", "guest"),
        ({"/proc/cpuinfo": b"Features : fp asimd\n", DMI + "sys_vendor": b"Ampere\n"}, "none", "host"),
        ({}, "unknown", "unknown"),
    ],
)  # fmt: skip
def test_platform_is_told_by_its_signs(facts: dict[str, bytes], hypervisor: str, role: str) -> None:
    found = platform(facts)
    assert (found.hypervisor, found.role) == (hypervisor, role)


def test_one_sign_against_another_is_unknown() -> None:
    assert platform({"/proc/cpuinfo": b"flags : fpu\n", DMI + "sys_vendor": b"QEMU\n"}).hypervisor == "unknown"


def test_two_signs_outvote_one() -> None:
    card = Image("0000:00:01.0", "Port").header(0x1B36, 0x000C, 0x060400, header_type=1)
    assert platform({"/proc/cpuinfo": b"flags : fpu\n", DMI + "sys_vendor": b"QEMU\n"}, card).hypervisor == "qemu"


def test_dom0_needs_more_than_one_of_disagreeing_signs() -> None:
    facts = {
        XEN + "type": b"xen\n",
        "/proc/xen/capabilities": b"control_d\n",
        XEN + "uuid": b"1f2e3d4c-0000-0000-0000-000000000001\n",
        **GUEST,
    }
    assert platform(facts).role == "unknown"
    facts[XEN + "start_flags/initdomain"] = b"1\n"
    assert platform(facts).role == "dom0"


def test_xen_domain_on_dell_is_not_bare_metal() -> None:
    found = platform(DOM0)
    assert found.text == "Xen dom0 (PV)"
    assert found.invisible and not found.emulated


def test_fixture_may_state_the_platform() -> None:
    found = platform(BARE, stated={"hypervisor": "xen", "role": "dom0"})
    assert (found.hypervisor, found.role) == ("xen", "dom0")


def test_container_is_known_by_its_bind_mounts_not_by_an_image_file() -> None:
    assert not platform({**BARE, "/.dockerenv": b""}).container
    mounts = b"612 600 8:1 /c/hosts /etc/hosts rw - ext4 /dev/sda1 rw\n"
    found = platform({**BARE, "/proc/1/mountinfo": mounts})
    assert (found.container, found.hypervisor, found.role) == (True, "none", "host")
    assert found.text == "bare metal, container"


def test_environment_of_process_1_tells_a_container() -> None:
    assert platform({**BARE, "/proc/1/environ": b"PATH=/bin\0container=lxc\0"}).container


def test_capture_of_a_qemu_machine_is_told_by_its_devices() -> None:
    bridge = Image("0000:00:00.0", "Host bridge").header(0x8086, 0x29C0, 0x060000).put(0x2C, 0x11001AF4, 4)
    found = platform({}, bridge)
    assert (found.hypervisor, found.role, found.emulated) == ("qemu", "guest", True)
