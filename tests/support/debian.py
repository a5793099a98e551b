"""A Debian 12 of its own in a directory, without network, and the package that `.ci/deb` builds."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INCLUDE = "python3,libudev1,adduser,init-system-helpers"
SECONDS = 1800


def cache() -> Path:
    """Where what took long to make is kept."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    path = Path(base) / "pcifma-lab"
    path.mkdir(parents=True, exist_ok=True)
    return path


def bootstrapped() -> Path:
    """A tree of Debian 12, made once; skips where that cannot be."""
    if os.geteuid() != 0:
        pytest.skip("needs root: a Debian is made and entered")
    if shutil.which("debootstrap") is None:
        pytest.skip("debootstrap is not installed (package debootstrap)")
    tree = cache() / "debian-12"
    if not tree.exists():
        fresh = tree.with_name("debian-12.new")
        shutil.rmtree(fresh, ignore_errors=True)
        command = ["debootstrap", "--variant=minbase", f"--include={INCLUDE}", "bookworm", str(fresh)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
        if done.returncode:
            pytest.skip(f"debootstrap made no Debian: {done.stdout.splitlines()[-1:]}")
        fresh.rename(tree)
    return tree


def build(directory: Path) -> Path:
    """The package, built from this checkout into *directory*."""
    subprocess.run([ROOT / ".ci/deb", directory], check=True, capture_output=True, timeout=SECONDS)
    (found,) = directory.glob("*.deb")
    return found


def renumbered(package: Path, version: str) -> Path:
    """The same package under another version."""
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(["dpkg-deb", "-R", package, f"{scratch}/root"], check=True)
        control = Path(scratch, "root/DEBIAN/control")
        old = next(line for line in control.read_text().splitlines() if line.startswith("Version: "))
        control.write_text(control.read_text().replace(old, f"Version: {version}"))
        target = package.with_name(f"pcifma_{version}.deb")
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-b", f"{scratch}/root", target], check=True, capture_output=True)
    return target


class Debian:
    """The tree at *root*, entered by `run`: its own mounts, no network."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, script: str, *, check: bool = True, seconds: float = 300) -> subprocess.CompletedProcess[str]:
        """Run *script* by the tree's sh as its root."""
        inside = f"mount -t proc proc {self.root}/proc && exec chroot {self.root} /bin/sh -c '{script}'"
        assert "'" not in script
        command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", inside]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds, env=environment)
        if check and done.returncode:
            raise AssertionError(f"status {done.returncode}: {script}\n{done.stdout}{done.stderr}")
        return done

    def files(self) -> set[str]:
        """All that is there, but what apt and dpkg keep for themselves, caches and backups."""
        found = (str(path.relative_to(self.root)) for path in self.root.rglob("*"))
        own = ("proc/", "dev/", "var/lib/dpkg/", "var/cache/", "var/log/", "tmp/", "run/")
        return {name for name in found if not name.startswith(own) and not (name.startswith("etc/") and name.endswith("-"))}


@contextmanager
def debian() -> Iterator[Debian]:
    """A fresh copy of the tree, gone in the end."""
    tree = bootstrapped()
    root = Path(tempfile.mkdtemp(prefix="pcifma-debian-"))
    try:
        subprocess.run(["cp", "-a", f"{tree}/.", root], check=True)
        yield Debian(root)
    finally:
        shutil.rmtree(root, ignore_errors=True)
