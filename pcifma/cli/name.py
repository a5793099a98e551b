"""Vendor and device names from the system's pci.ids, read only when somebody looks at them; without it, the numbers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pcifma.fabric.function import Function

# Where distributions put it: Debian, then Fedora and RHEL, then others.
PLACES = ("/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids", "/usr/share/pci.ids")


def names(functions: Iterable[Function], places: Iterable[str] = PLACES) -> dict[tuple[int, int], str]:
    """(vendor, device) of each Function to its name, `Vendor Device`; what pci.ids lacks stays `15b3:1017`."""
    return names_of(((f.vendor, f.device) for f in functions), places)


def names_of(ids: Iterable[tuple[int, int]], places: Iterable[str] = PLACES) -> dict[tuple[int, int], str]:
    """As *names*, of (vendor, device) numbers."""
    wanted = set(ids)
    found = {key: f"{key[0]:04x}:{key[1]:04x}" for key in wanted}
    path = next((Path(p) for p in places if Path(p).is_file()), None)
    if path is not None and wanted:
        with path.open(encoding="utf-8", errors="replace") as lines:
            found |= _search(lines, wanted)
    return found


def _search(lines: Iterable[str], wanted: set[tuple[int, int]]) -> dict[tuple[int, int], str]:
    vendors = {f"{vendor:04x}" for vendor, _ in wanted}
    found: dict[tuple[int, int], str] = {}
    vendor = ""
    for line in lines:
        if line[0] not in "\t#\n":
            vendor = line if line[:4] in vendors else ""
            if line.startswith("C "):
                break  # device classes follow
        elif vendor and line[0] == "\t" and line[1] != "\t":
            key = (int(vendor[:4], 16), int(line[1:5], 16))
            if key in wanted:
                found[key] = f"{vendor[6:].strip()} {line[7:].strip()}"
    return found
