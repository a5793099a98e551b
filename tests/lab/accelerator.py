"""KVM where it truly works, else software emulation (TCG).

A /dev/kvm that opens proves little: some nested ones start firmware and then hang. So KVM is used once it has run this
very kernel up to its first panic, which takes 2 s; what came out is kept until the next boot of this computer.
"""

from __future__ import annotations

import os
import platform
import subprocess
from hashlib import sha256
from pathlib import Path

from . import package
from .command import Boot, full, image

SECONDS = 15  # for the trial; TCG needs 8 s for the same
VARIABLE = "PCIFMA_LAB_ACCEL"


def choose(tree: Path, boot: Boot) -> str:
    """Return "kvm" or "tcg" for *boot*; the environment variable PCIFMA_LAB_ACCEL overrules."""
    forced = os.environ.get(VARIABLE)
    if forced:
        return forced
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text()
    key = f"{boot_id} {platform.release()} {package.kernel(tree)[0]} {boot.xen}"
    memory = package.cache() / f"kvm-{sha256(key.encode()).hexdigest()[:12]}"
    with package.lock(package.cache() / "lock-kvm"):
        if not memory.exists():
            memory.write_text("kvm" if _trial(tree, boot) else "tcg")
    return memory.read_text()


def _trial(tree: Path, boot: Boot) -> bool:
    # Without an initramfs the kernel panics, panic=-1 resets the machine at once, and -no-reboot ends QEMU.
    bare = Boot(type(boot.topology)(), xen=boot.xen)
    command = full(bare, "kvm", image(tree, bare, None), ["-serial", "null"])
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
