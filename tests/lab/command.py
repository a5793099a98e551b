"""QEMU's command line for one boot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from . import package
from .topology import Topology

# A PV dom0 dies early where the virtual processor offers SMAP or SMEP.
PROCESSOR = {False: "max", True: "max,-smap,-smep"}
# On a crowded computer the emulated timer ticks too late for the kernel's check of it, which then panics.
LINUX = "console=ttyS0 panic=-1 no_timer_check"
DOM0 = "console=hvc0 panic=-1"
XEN = "console=com1 com1=115200,8n1 dom0_mem=1024M,max:1024M"
# Where the harness's own devices stand, out of the way of a topology's Root Ports.
SLOT = "0x1e"


class Options(TypedDict, total=False):
    """What runs on a machine: Linux, or Xen with Linux as dom0 (*xen*).

    *cmdline* is added to the kernel's command line, *hypervisor* to Xen's. *memory* is in MiB (Xen: at least 2048, of which
    dom0 has 1024). *processor* is QEMU's model instead of the usual one; *newer*: with the Xen of Debian's next release, which reads
    the banks of machine checks. *packages* are further Debian packages that the guest sees unpacked, *extra* further arguments for QEMU.
    """

    cmdline: str
    xen: bool
    hypervisor: str
    memory: int
    processors: int
    processor: str
    newer: bool
    packages: tuple[str, ...]
    extra: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Boot:
    """One boot: what stands in the machine, and Options with their defaults."""

    topology: Topology
    cmdline: str = ""
    xen: bool = False
    hypervisor: str = ""
    memory: int = 1024
    processors: int = 1
    processor: str = ""
    newer: bool = False
    packages: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()


def machine(accelerator: str, boot: Boot, memory: int) -> list[str]:
    """Return QEMU with the arguments that every boot has: a q35 without display, network or defaults."""
    accel = "tcg,thread=multi" if accelerator == "tcg" else accelerator
    words = [package.program("qemu-system-x86_64"), "-M", "q35", "-accel", accel, "-cpu", boot.processor or PROCESSOR[boot.xen]]
    return [*words, "-smp", str(boot.processors), "-m", str(memory), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]


def image(tree: Path, boot: Boot, initramfs: Path | None) -> list[str]:
    """Return the arguments that load Linux, or Xen with Linux as dom0, from *tree*. Unavailable if it is not there."""
    vmlinuz, _ = package.kernel(tree)
    initrd = [str(initramfs)] if initramfs else []
    if not boot.xen:
        words = ["-kernel", str(vmlinuz), "-append", f"{LINUX} {boot.cmdline}"]
        return words + (["-initrd", *initrd] if initrd else [])
    # A comma separates modules; inside a command line it is written twice.
    dom0 = f"{vmlinuz} {DOM0} {boot.cmdline}".replace(",", ",,")
    xen = package.newer_hypervisor() if boot.newer else package.hypervisor(tree)
    return ["-kernel", str(xen), "-append", f"{XEN} {boot.hypervisor}", "-initrd", ",".join([dom0, *initrd])]


def exports(tree: Path, share: Path) -> list[str]:
    """Return the arguments that show the guest this computer's root and *tree*, both read-only, and *share*."""
    words: list[str] = []
    places = (("host", "/", "readonly=on"), ("tree", str(tree), "readonly=on"), ("lab", str(share), "readonly=off"))
    for number, (tag, path, mode) in enumerate(places):
        words += ["-fsdev", f"local,id={tag},path={path},security_model=none,multidevs=remap,{mode}"]
        words += ["-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag},addr={SLOT}.{number},multifunction=on"]
    return words


def connections(console: Path, serial: int, monitor: int) -> list[str]:
    """Return the arguments for the console log, the command channel and the monitor; the last two are open descriptors."""
    words = ["-chardev", f"file,id=console,path={console}", "-serial", "chardev:console"]
    words += ["-chardev", f"socket,id=agent,fd={serial}", "-serial", "chardev:agent"]
    return [*words, "-chardev", f"socket,id=monitor,fd={monitor}", "-mon", "chardev=monitor,mode=control"]


def full(boot: Boot, accelerator: str, *parts: Sequence[str]) -> list[str]:
    """Return the whole command line: the machine, *parts*, the topology and what the boot adds."""
    memory = max(boot.memory, 2048) if boot.xen else boot.memory
    words = machine(accelerator, boot, memory)
    return [*words, *(word for part in parts for word in part), *boot.topology.arguments(), *boot.extra]
