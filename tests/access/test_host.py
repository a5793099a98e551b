from __future__ import annotations

import os
from pathlib import Path

import pytest

from pcifma.access.host import SIZE_LIMIT, NoHost, TreeHost
from pcifma.access.tree import MemoryTree


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "outside").write_text("secret")
    root = tmp_path / "root"
    (root / "proc").mkdir(parents=True)
    (root / "proc/cmdline").write_text("quiet\n")
    devices = root / "sys/devices/pci0000:00/0000:00:1c.0"
    devices.mkdir(parents=True)
    (devices / "power_state").write_text("D0\n")
    bus = root / "sys/bus/pci/devices"
    bus.mkdir(parents=True)
    (bus / "0000:00:1c.0").symlink_to("../../../devices/pci0000:00/0000:00:1c.0")
    return root


def test_host_reads_files_names_and_links(root: Path) -> None:
    host = TreeHost(root)

    assert host.read("/proc/cmdline") == b"quiet\n"
    assert host.entries("/sys/bus/pci/devices") == ("0000:00:1c.0",)
    assert host.link("/sys/bus/pci/devices/0000:00:1c.0") == "../../../devices/pci0000:00/0000:00:1c.0"
    assert host.read("/sys/bus/pci/devices/0000:00:1c.0/power_state") == b"D0\n"
    assert host.why("/proc/cmdline") == "readable"
    assert list(host.stream("uevent")) == []


def test_host_of_the_live_root_reads_as_the_kernel_does() -> None:
    assert (TreeHost(Path("/")).read("/proc/self/cmdline") or b"")[:1] != b""


@pytest.mark.parametrize("target", ["{tmp}/outside", "../../outside", "/../outside", "/proc/../../outside"])
def test_host_links_and_dots_never_leave_the_root(root: Path, target: str) -> None:
    (root / "proc/evil").symlink_to(target.format(tmp=root.parent))
    host = TreeHost(root)

    assert host.read("/proc/evil") is None
    assert host.read("/../outside") is None
    assert host.read("/proc/../../outside") is None


def test_host_absolute_links_start_at_the_root(root: Path) -> None:
    (root / "proc/again").symlink_to("/proc/cmdline")

    assert TreeHost(root).read("/proc/again") == b"quiet\n"


def test_host_link_loop_is_an_answer_not_a_hang(root: Path) -> None:
    (root / "proc/a").symlink_to("b")
    (root / "proc/b").symlink_to("a")
    host = TreeHost(root)

    assert host.read("/proc/a") is None
    assert host.why("/proc/a") == "too many symbolic links"


def test_host_says_why_a_fact_is_missing(root: Path) -> None:
    assert TreeHost(root).why("/proc/nothing") == "absent"
    assert TreeHost(root, recorded=True).why("/proc/nothing") == "not recorded"
    assert TreeHost(root).why("/proc") == "a directory"
    assert TreeHost(root).why("/proc/a\0b") == "not a path"
    assert TreeHost(root).read("/proc/a\0b") is None


def test_host_never_blocks_on_a_pipe_and_calls_devices_masked(root: Path) -> None:
    os.mkfifo(root / "proc/pipe")
    (root / "proc/keys").mkdir()
    host = TreeHost(root)

    assert host.read("/proc/pipe") is None
    assert host.why("/proc/pipe") == "masked by the container"


def test_host_says_when_a_container_hides_a_tree(root: Path) -> None:
    (root / "proc/self").mkdir()
    mount = "31 23 0:27 / /sys/firmware ro,relatime - tmpfs tmpfs ro\n32 23 0:28 / /tmp rw - tmpfs tmpfs rw\n"
    (root / "proc/self/mountinfo").write_text(mount)
    host = TreeHost(root)

    assert host.why("/sys/firmware/acpi/tables/HEST") == "masked by the container"
    assert host.why("/sys/nothing") == "absent"
    assert host.why("/tmp/nothing") == "absent"


def test_host_file_that_is_too_large_is_not_read(root: Path) -> None:
    with (root / "proc/big").open("wb") as file:
        file.truncate(SIZE_LIMIT + 1)

    assert TreeHost(root).read("/proc/big") is None
    assert TreeHost(root).why("/proc/big") == f"larger than {SIZE_LIMIT} bytes"


def test_host_of_a_sysfs_root_has_nothing_outside_sys(root: Path) -> None:
    host = TreeHost(root / "sys", mount="/sys")

    assert host.read("/sys/bus/pci/devices/0000:00:1c.0/power_state") == b"D0\n"
    assert host.read("/proc/cmdline") is None
    assert host.why("/proc/cmdline") == "not recorded"
    assert host.entries("/proc") == ()
    assert host.link("/proc/cmdline") is None


def test_host_in_memory_answers_as_one_on_disk() -> None:
    tree = MemoryTree({"/a/b/c": b"x"}, {"/l": "a/b", "/a/up": "../../..", "/loop": "loop"})
    host = TreeHost(tree, recorded=True)

    assert host.read("/l/c") == b"x"
    assert host.read("/a/up/l/c") == b"x"
    assert host.entries("/") == ("a", "l", "loop")
    assert host.entries("/l") == ("c",)
    assert host.link("/l") == "a/b"
    assert [host.read("/loop"), host.read("/l"), host.read("/nothing")] == [None, None, None]
    assert [host.why("/loop"), host.why("/l"), host.why("/nothing")] == ["too many symbolic links", "a directory", "not recorded"]
    assert [host.link("/a"), host.entries("/a/b/c")] == [None, ()]


def test_host_of_a_capture_knows_nothing() -> None:
    host = NoHost()

    assert [host.read("/proc/cmdline"), host.link("/x"), host.entries("/")] == [None, None, ()]
    assert host.why("/proc/cmdline") == "not recorded"
    assert list(host.stream("uevent")) == []
