"""Functions that the machine needs as it runs: the disks in use, the console, the way out. Any of them, and all above it.

Found from where the kernel says a thing lies in /sys; a disk on top of others (dm, md, bcache) needs all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_BDF = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]\Z")
_SHARED = frozenset({"9p", "virtiofs"})  # file systems whose device is named by a tag, not by a number
_DEPTH = 8


def vital(sys: Path, proc: Path) -> dict[str, str]:
    """Addresses of Functions, each with what needs it."""
    found: dict[str, str] = {}
    for path, why in (*_disks(sys, proc), *_shares(sys, proc), *_consoles(sys, proc), *_routes(sys, proc)):
        for part in path.resolve().parts:
            if _BDF.match(part):
                found.setdefault(part, why)
    return found


def _disks(sys: Path, proc: Path) -> Iterator[tuple[Path, str]]:
    numbers = {}
    for line in _lines(proc / "self/mountinfo"):
        words = line.split()
        if len(words) > 4:
            numbers[words[2]] = f"{words[4]} is mounted from it"
    for number, why in numbers.items():
        yield from _below(sys / "dev/block" / number, why)
    for line in _lines(proc / "swaps")[1:]:
        name = line.split()[0] if line.split() else ""
        yield from _below(sys / "class/block" / name.rpartition("/")[2], "it has swap")


def _below(disk: Path, why: str, depth: int = 0) -> Iterator[tuple[Path, str]]:
    if not disk.exists() or depth > _DEPTH:
        return
    yield disk, why
    whole = disk.resolve()
    for place in (whole, whole.parent):  # a partition's slaves are its disk's
        for slave in sorted(place.glob("slaves/*")):
            yield from _below(slave, why, depth + 1)


def _shares(sys: Path, proc: Path) -> Iterator[tuple[Path, str]]:
    shared = {line.split(" - ", 1)[-1].split()[0] for line in _lines(proc / "self/mountinfo") if " - " in line}
    if shared & _SHARED:
        for driver in ("9pnet_virtio", "virtiofs"):
            for device in sorted((sys / "bus/virtio/drivers" / driver).glob("virtio*")):
                yield device, "a file system is shared through it"


def _consoles(sys: Path, proc: Path) -> Iterator[tuple[Path, str]]:
    for line in _lines(proc / "consoles"):
        name = line.split()[0] if line.split() else ""
        yield sys / "class/tty" / name / "device", f"{name} is a console"
    for flag in sorted((sys / "bus/pci/devices").glob("*/boot_vga")):
        if flag.read_text(errors="replace").strip() == "1":
            yield flag.parent, "the screen is on it"


def _routes(sys: Path, proc: Path) -> Iterator[tuple[Path, str]]:
    names = {words[0] for line in _lines(proc / "net/route")[1:] if len(words := line.split()) > 1 and words[1] == "00000000"}
    names |= {words[-1] for line in _lines(proc / "net/ipv6_route") if (words := line.split())[:2] == ["0" * 32, "00"]}
    for name in sorted(names):
        yield from _interface(sys / "class/net" / name, f"the way out is {name}")


def _interface(place: Path, why: str, depth: int = 0) -> Iterator[tuple[Path, str]]:
    if not place.exists() or depth > _DEPTH:
        return
    yield place, why
    for lower in sorted(place.glob("lower_*")):
        yield from _interface(lower, why, depth + 1)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
