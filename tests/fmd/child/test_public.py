"""What a third-party plugin may have the daemon read for it: what anybody may read, and nothing of the daemon's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pcifma.access.host import TreeHost
from pcifma.fmd.child.public import WHY, Public, PublicHost
from pcifma.fmd.keeper.message import FACTS
from pcifma.fmd.path import Paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path / "root")
    for directory in (paths.state, paths.runtime, paths.config_dir):
        directory.mkdir(parents=True)
    for file in (paths.log, paths.config, paths.socket):
        file.write_text("own")
        file.chmod(0o644)
    return paths


@pytest.fixture
def host(paths: Paths) -> PublicHost:
    return PublicHost(TreeHost(Path("/")), Public.beside(paths.own, FACTS))


def test_files_of_this_host_that_anybody_may_read_are_read(host: PublicHost) -> None:
    assert host.read("/proc/cpuinfo")
    assert "devices" in host.entries("/sys/bus/pci") or not Path("/sys/bus/pci").exists()
    assert (host.read("/sys/no/such/file"), host.why("/sys/no/such/file")) == (None, "absent")


def test_nothing_of_the_daemons_own_is_read_whatever_its_mode_and_way(host: PublicHost, paths: Paths, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(paths.state)
    descriptor = os.open(paths.log, os.O_RDONLY)
    own = [
        str(paths.log),
        str(paths.config),
        str(paths.socket),
        f"{paths.state}/../pcifma/log.db",
        f"{tmp_path}/link/log.db",
        f"/proc/self/fd/{descriptor}",
        f"/proc/{os.getpid()}/fd/{descriptor}",
        f"/proc/{os.getpid()}/environ",
        "/proc/thread-self/environ",
        "/proc/self/maps",
        "/msr/0",
        "etc/passwd",
    ]
    for path in own:
        assert (host.read(path), host.why(path)) == (None, WHY), path
    assert (host.entries(str(paths.state)), host.entries("/proc/self/fd")) == ((), ())
    assert host.link(f"/proc/self/fd/{descriptor}") is None
    os.close(descriptor)


def test_file_that_not_everybody_may_read_is_not_read(host: PublicHost, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o640)
    assert host.read(str(secret)) is None
    secret.chmod(0o644)
    assert host.read(str(secret)) == b"x"


def test_facts_of_watches_follow_the_same_rule(paths: Paths) -> None:
    public = Public.beside(paths.own, FACTS)
    for fact in ("/proc/interrupts", "/sys/bus/pci/devices/", "{sysfs}/aer_dev_fatal", "{sysfs}/driver@", "/run/maintenance"):
        assert public.allows_fact(fact), fact
    for fact in (str(paths.log), f"{paths.state}/", "{sysfs}/../../../../../etc/shadow", "/proc/self/fd/", "/proc/self/fd/3@"):
        assert not public.allows_fact(fact), fact


def test_facts_that_the_keeper_hands_out_are_public(paths: Paths) -> None:
    assert Public.beside(paths.own, FACTS).allows("/sys/firmware/acpi/tables/HEST")
