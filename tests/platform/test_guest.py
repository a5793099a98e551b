"""Whose guest: vfio through processes, pciback through xenstore; names are hostile."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from support.server import CARD, Server

SYSFS = f"/sys/bus/pci/devices/{CARD}"
XENSTORE = "/xenstore/local/domain"


def passed(words: Sequence[str], *, node: str = "/dev/vfio/12", comm: str = "qemu-system-x86") -> Server:
    server = Server()
    server.host.links |= {
        f"{SYSFS}/driver": "../../../../bus/pci/drivers/vfio-pci",
        f"{SYSFS}/iommu_group": "../../../../kernel/iommu_groups/12",
        "/proc/4711/fd/9": node,
        "/proc/42/fd/1": "/dev/null",
    }
    server.host.facts |= {"/proc/4711/cmdline": "\0".join([*words, ""]).encode(), "/proc/4711/comm": comm.encode(), "/proc/42/comm": b"sh"}
    return server


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("qemu", "-name", "guest=web-12,debug-threads=on"), "web-12"),
        (("kvm", "-id", "204", "-name", "db-3,debug-threads=on"), "db-3 (VM 204)"),
        (("qemu", "-name", '{"guest":"ml","debug-threads":true}'), "ml"),
        (("qemu", "-m", "4G"), "qemu-system-x86 (pid 4711)"),
        (("qemu", "-name", "guest=evil\x1b[31m\n,x=y"), "evil [31m"),
        (("qemu", "-name", "{broken"), "qemu-system-x86 (pid 4711)"),
    ],
)
def test_vfio_guest_is_named_by_its_process(words: tuple[str, ...], name: str) -> None:
    assert passed(words).line().coverage.guest == name


def test_device_node_of_newer_kernels_is_followed_too() -> None:
    server = passed(("qemu", "-name", "new"), node="/dev/vfio/devices/vfio3")
    server.host.facts[f"{SYSFS}/vfio-dev/vfio3/dev"] = b"511:3\n"
    assert server.line().coverage.guest == "new"


def test_unopened_group_has_no_name() -> None:
    server = passed(("qemu", "-name", "other"), node="/dev/vfio/99")
    line = server.line()
    assert line.coverage.owner == "guest"
    assert not line.coverage.guest


def test_pciback_guest_is_named_by_xenstore() -> None:
    server = Server()
    server.host.links[f"{SYSFS}/driver"] = "../../../../bus/pci/drivers/pciback"
    server.host.facts |= {
        f"{XENSTORE}/0/backend/pci/7/0/dev-0": CARD.encode(),
        f"{XENSTORE}/0/backend/pci/7/0/num_devs": b"1",
        f"{XENSTORE}/7/name": b"web-12",
    }
    assert server.line().coverage.guest == "web-12 (dom 7)"
    del server.host.facts[f"{XENSTORE}/7/name"]
    assert server.line().coverage.guest == "dom 7"
    assert "guest dom 7" in server.line().coverage.rivals
