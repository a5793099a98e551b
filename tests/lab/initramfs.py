"""The initramfs: a static busybox, the modules that mount the host's root, and guest/init.sh. A few MB, made in under a second."""

from __future__ import annotations

import lzma
import shutil
import subprocess
from pathlib import Path

from .error import LabError
from .package import program

GUEST = Path(__file__).parent / "guest"
MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")


def build(tree: Path, release: str, scratch: Path) -> Path:
    """Write the initramfs for kernel *release* of *tree* below *scratch* and return its path. LabError if a part is missing."""
    root = scratch / "initramfs"
    (root / "modules").mkdir(parents=True)
    (root / "bin").mkdir()
    shutil.copy(tree / "bin" / "busybox", root / "bin" / "busybox")
    shutil.copy(GUEST / "init.sh", root / "init")
    (root / "init").chmod(0o755)
    order = [_copy(module, root / "modules") for module in load_order(tree, release)]
    (root / "order").write_text("".join(f"{name}\n" for name in order))
    names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    image = scratch / "initramfs.cpio"
    with image.open("wb") as stream:
        subprocess.run([program("cpio"), "-o", "-H", "newc", "--quiet"], input=names.encode(), cwd=root, check=True, stdout=stream)
    shutil.rmtree(root)
    return image


def load_order(tree: Path, release: str) -> list[Path]:
    """Return the module files that MODULES need, each once and after what it depends on; built-in ones need none."""
    done = subprocess.run(
        [program("modprobe"), "-d", tree, "-S", release, "--show-depends", "-a", *MODULES], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise LabError(f"kernel {release} in {tree}: {done.stderr.strip()}")
    lines = (line.split() for line in done.stdout.splitlines())
    return [Path(words[1]) for words in dict.fromkeys(tuple(words[:2]) for words in lines) if words[0] == "insmod"]


def _copy(module: Path, place: Path) -> str:
    # busybox's insmod takes plain modules only; Debian 13 ships .ko.xz, Ubuntu .ko.zst.
    data = module.read_bytes()
    if module.suffix == ".xz":
        data = lzma.decompress(data)
    elif module.suffix == ".zst":
        data = subprocess.run([program("zstd"), "-dcq", module], check=True, capture_output=True).stdout
    name = module.name.split(".ko")[0] + ".ko"
    (place / name).write_bytes(data)
    return name
