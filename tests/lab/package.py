"""Debian packages: fetched, cached, and unpacked into one tree. Kernels and Xen are never installed.

The tree is laid over the guest's root directory, so what it holds appears in the guest at its own place.
It is kept under a name made from its list of packages; remove the cache directory to have newer versions.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from .error import LabError, Unavailable

# Programs that the harness starts on this computer, and the package of each.
PROGRAM = {"qemu-system-x86_64": "qemu-system-x86", "cpio": "cpio", "modprobe": "kmod", "depmod": "kmod"}
# Firmware files that QEMU opens; Debian only recommends these packages to it.
FIRMWARE = {"/usr/share/seabios/bios-256k.bin": "seabios", "/usr/lib/ipxe/qemu/efi-e1000e.rom": "ipxe-qemu"}
# Meta packages that depend on the newest kernel: Debian's, then Ubuntu's.
KERNEL = ("linux-image-amd64", "linux-image-generic")
XEN = ("xen-system-amd64", "xenstore-utils", "libxencall1")
# A Xen that reads the banks of machine checks, which Debian 12's does not; of Debian's next release. Only its image is used.
NEWER_SUITE, NEWER_XEN = "trixie", "xen-hypervisor-4.20-amd64"
GUEST = ("busybox-static", "pciutils", "kmod", "rasdaemon")
KERNEL_FILES = re.compile(r"linux-(image|modules|modules-extra)-[0-9]")
# Depended upon by the above, of no use in a guest without an init system, a boot loader or a real processor.
UNWANTED = re.compile(r"linux-base|initramfs-tools.*|.*klibc.*|usrmerge|linux-firmware|.*-microcode|thermald|grub.*")
T = TypeVar("T")
SECONDS = 900  # for one run of apt-get: the kernel is 70 MB


def cache() -> Path:
    """Return the cache directory, made if missing: $XDG_CACHE_HOME/pcifma-lab, or ~/.cache/pcifma-lab."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    path = Path(base) / "pcifma-lab"
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on *path*, made if missing, for the body; another run of the suite waits here."""
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def search_path() -> str:
    """Return PATH with the system directories, which an unprivileged user may lack."""
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def program(name: str) -> str:
    """Return the path of *name*; Unavailable if it is not installed."""
    found = shutil.which(name, path=search_path())
    if found is None:
        raise Unavailable(f"{name} is not installed (package {PROGRAM.get(name, name)})")
    return found


def missing() -> list[str]:
    """Return the packages that must be installed on this computer before a machine can boot, sorted."""
    wanted = {package for name, package in PROGRAM.items() if shutil.which(name, path=search_path()) is None}
    return sorted(wanted | {package for file, package in FIRMWARE.items() if not Path(file).exists()})


def prepare() -> None:
    """Install what is missing on this computer. Unavailable, with the reason, where that is not possible."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise Unavailable(f"needs Linux on x86-64, this is {platform.system()} on {platform.machine()}")
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise Unavailable("needs Debian or Ubuntu: kernels and Xen come from their packages, and there is no apt-get here")
    wanted = missing()
    if wanted and os.geteuid() != 0:
        raise Unavailable(f"not root, and not installed: {' '.join(wanted)}")
    if wanted:
        with lock(cache() / "lock"):
            _retry(lambda: _apt("install", "-y", "-q", "--no-install-recommends", *wanted))


def tree(names: Sequence[str] = ()) -> Path:
    """Return a directory with the kernel, Xen, GUEST and *names* unpacked, fetched if not yet in the cache.

    The tree has lib, bin and sbin as links into usr. A package that this distribution lacks is left out: see
    kernel() and hypervisor() for what the tree must hold. Unavailable if nothing can be fetched.
    """
    wanted = (*KERNEL, *XEN, *GUEST, *names)
    path = cache() / ("tree-" + hashlib.sha256(" ".join(wanted).encode()).hexdigest()[:12])
    with lock(cache() / "lock"):
        if not (path / ".complete").exists():
            shutil.rmtree(path, ignore_errors=True)
            _fill(path, wanted)
            (path / ".complete").touch()
    return path


def kernel(tree: Path) -> tuple[Path, str]:
    """Return the kernel image in *tree* and its release, as `uname -r` prints it; Unavailable if there is none."""
    images = sorted((tree / "boot").glob("vmlinuz-*"))
    if not images:
        raise Unavailable(f"no kernel package could be had ({' or '.join(KERNEL)})")
    return images[-1], images[-1].name.removeprefix("vmlinuz-")


def hypervisor(tree: Path) -> Path:
    """Return the Xen image in *tree*, uncompressed: a multiboot ELF file; Unavailable if there is none."""
    images = sorted((tree / "boot").glob("xen-*.elf"))
    if not images:
        raise Unavailable(f"no Xen package could be had ({' '.join(XEN)})")
    return images[-1]


def newer_hypervisor() -> Path:
    """Return the image of NEWER_XEN, fetched by package lists of its own if not yet in the cache. Unavailable if it cannot be had."""
    place = cache() / NEWER_XEN
    with lock(cache() / "lock"):
        if not (place / ".complete").exists():
            shutil.rmtree(place, ignore_errors=True)
            _fetch_newer(place)
            (place / ".complete").touch()
    return sorted((place / "boot").glob("xen-*.elf"))[-1]


def _fetch_newer(place: Path) -> None:
    sites = dict.fromkeys(_query("apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages").split())
    site = next((site for site in sites if site.rstrip("/").endswith("/debian")), None)
    if site is None:
        raise Unavailable("apt has no mirror of Debian, whose next release has a newer Xen")
    lists = place / "lists"
    (lists / "partial").mkdir(parents=True)
    (place / "sources.list").write_text(f"deb {site} {NEWER_SUITE} main\n")
    options = [f"Dir::Etc::sourcelist={place / 'sources.list'}", "Dir::Etc::sourceparts=-", f"Dir::State::lists={lists}"]
    options += [f"Dir::Cache::pkgcache={place / 'pkgcache.bin'}", f"Dir::Cache::srcpkgcache={place / 'srcpkgcache.bin'}"]
    words = [word for option in options for word in ("-o", option)]
    _apt("update", "-q", *words)
    _apt("download", "-q", *words, NEWER_XEN, cwd=place)
    _unpack(sorted(place.glob("*.deb"))[-1], place)
    for image in (place / "boot").glob("xen-*.gz"):
        image.with_suffix(".elf").write_bytes(subprocess.run(["gzip", "-dc", image], check=True, capture_output=True).stdout)
    shutil.rmtree(lists)


def _fill(path: Path, names: Sequence[str]) -> None:
    wanted = _retry(lambda: _closure(names))
    debs = cache() / "deb"
    debs.mkdir(exist_ok=True)
    _retry(lambda: _apt("download", "-q", *(name for name in wanted if not list(debs.glob(f"{name}_*.deb"))), cwd=debs))
    for place in ("bin", "sbin", "lib"):
        (path / "usr" / place).mkdir(parents=True, exist_ok=True)
        (path / place).symlink_to(f"usr/{place}")
    for name in wanted:
        _unpack(sorted(debs.glob(f"{name}_*.deb"))[-1], path)
    shutil.rmtree(debs)
    for image in (path / "boot").glob("xen-*.gz"):
        image.with_suffix(".elf").write_bytes(subprocess.run(["gzip", "-dc", image], check=True, capture_output=True).stdout)
    subprocess.run([program("depmod"), "-b", path, kernel(path)[1]], check=True)


def _unpack(deb: Path, path: Path) -> None:
    # dpkg -x would replace the links lib, bin and sbin by directories, and so hide the guest's own.
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as source:
        subprocess.run(["tar", "-x", "--keep-directory-symlink", "-C", path], stdin=source.stdout, check=True)
    if source.returncode:
        raise LabError(f"{deb}: cannot be unpacked; remove {cache()} and try again")


def _closure(names: Sequence[str]) -> list[str]:
    # What apt would install on an empty system, less what is installed here: the guest sees this computer's root.
    known = [name for name in names if _query("apt-cache", "show", name)]
    plan = _query("apt-get", "-s", "-o", "Dir::State::status=/dev/null", "--no-install-recommends", "install", *known)
    found = set(re.findall(r"^Inst (\S+) ", plan, re.MULTILINE))
    installed = set(re.findall(r"^ii (\S+)$", _query("dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Package}\n"), re.MULTILINE))
    wanted = {name for name in found if name not in installed or name in known or KERNEL_FILES.match(name)}
    if not any(KERNEL_FILES.match(name) for name in wanted):
        raise Unavailable(f"apt has no package {' or '.join(KERNEL)}")
    return sorted(name for name in wanted if not UNWANTED.fullmatch(name))


def _retry(action: Callable[[], T]) -> T:
    # Package lists that are missing or older than the mirror make the first try fail; root may fetch them.
    try:
        return action()
    except Unavailable:
        if os.geteuid() != 0:
            raise
        _apt("update", "-q")
        return action()


def _query(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS).stdout


def _apt(*arguments: str, cwd: Path | None = None) -> None:
    options = ("-o", "DPkg::Lock::Timeout=120", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["apt-get", *options, *arguments],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"apt-get {arguments[0]} did not end within {SECONDS} s") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("E:")] or done.stderr.splitlines()[-1:]
        raise Unavailable(f"apt-get {arguments[0]}: {'; '.join(lines)}")
