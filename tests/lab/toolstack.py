"""Xen's toolstack in a dom0, and small domains to create with it.

with Machine(standard(), xen=True) as machine:
    toolstack.start(machine)
    toolstack.create(machine, "web")          # a PV domain of 128 MiB that sleeps; some 20 s under TCG
    machine.check("xl list")
    toolstack.destroy(machine, "web")
"""

from __future__ import annotations

import shutil
import subprocess

from .initramfs import GUEST
from .machine import Machine
from .package import program

INIT = "#!/bin/busybox sh\n/bin/busybox mount -t devtmpfs dev /dev\necho guest ready\nwhile :; do /bin/busybox sleep 1000; done\n"


def start(machine: Machine) -> None:
    """Start xenstored and xenconsoled in *machine*'s dom0, once; LabError if they do not come up."""
    shutil.copy(GUEST / "toolstack.sh", machine.share)
    machine.check("sh /lab/toolstack.sh", seconds=90)


def create(machine: Machine, name: str, *settings: str, memory: int = 128) -> None:
    """Create the PV domain *name*, of *memory* MiB; *settings* are further lines of its configuration (`pci=["01:00.0"]`)."""
    _stage(machine)
    lines = (
        f'name="{name}"',
        f"memory={memory}",
        "vcpus=1",
        'kernel="/lab/domain/vmlinuz"',
        'ramdisk="/lab/domain/initrd"',
        'extra="console=hvc0"',
    )
    (machine.share / f"{name}.cfg").write_text("\n".join([*lines, *settings, ""]))
    machine.check(f"xl create /lab/{name}.cfg", seconds=180)


def destroy(machine: Machine, name: str) -> None:
    """Destroy the domain *name*."""
    machine.check(f"xl destroy {name}")


def _stage(machine: Machine) -> None:
    place = machine.share / "domain"
    if place.exists():
        return
    root = place / "root"
    for directory in ("bin", "dev"):
        (root / directory).mkdir(parents=True)
    shutil.copy(machine.tree / "bin" / "busybox", root / "bin")
    (root / "init").write_text(INIT)
    (root / "init").chmod(0o755)
    shutil.copy(machine.kernel, place / "vmlinuz")
    with (place / "initrd").open("wb") as stream:
        subprocess.run(
            [program("cpio"), "-o", "-H", "newc", "--quiet"], input=b"init\nbin\nbin/busybox\ndev", cwd=root, check=True, stdout=stream
        )
