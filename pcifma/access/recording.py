"""What a recording holds, and how it is taken from a machine and written as a fixture.

This is the one place that reads every byte of configuration space: some devices do not bear it, so the user asks for it. What
sleeps, or lies below a port that does, is not touched.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pcifma.access.fixture import CASE, CONFIG, HOST
from pcifma.access.host import REASONS
from pcifma.access.recorded import DIRECTORIES, FILES, LINKS, content, expand, speaks_of
from pcifma.access.rows import format_device, split_rows
from pcifma.access.seam import ConfigSpace, Host, Machine
from pcifma.access.tree import resolve_path
from pcifma.errors import ReadError, UsageError
from pcifma.regs.bdf import Bdf

DEVICES = "/sys/bus/pci/devices"
_SLEEPING = ("suspended", "suspending")
_SMALLEST = 64


@dataclass(frozen=True, slots=True)
class Recording:
    """*images*: rows of bytes by Function, empty where it was not read; *asleep*: why not, as a power state. *files* and *links*
    by their path on the host; *reasons*: why a fact is missing. *steps*: lines of case.yaml.
    """

    about: str
    images: Mapping[Bdf, Mapping[int, bytes]]
    titles: Mapping[Bdf, str]
    asleep: Mapping[Bdf, str]
    files: Mapping[str, bytes]
    links: Mapping[str, str]
    reasons: Mapping[str, str]
    platform: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[str, ...] = ()

    def extended(self, images: Mapping[Bdf, Mapping[int, bytes]], steps: Sequence[str]) -> Recording:
        """This recording with Functions that came later and the steps of what changed."""
        titles = {bdf: title_of(rows.get(0, b"")) for bdf, rows in images.items()}
        return replace(
            self,
            images=dict(sorted({**self.images, **images}.items())),
            titles={**self.titles, **titles},
            steps=(*self.steps, *steps),
        )


def take(machine: Machine) -> Recording:
    """Everything of *machine* as it is now."""
    host = machine.host
    asleep = {bdf: state for bdf in machine.configs if (state := power_state(host, bdf)) is not None}
    images = {bdf: {} if bdf in asleep else whole(config) for bdf, config in machine.configs.items()}
    images |= {bdf: {} for bdf in machine.unread}
    links = {path: text for pattern in LINKS for path in expand(host, pattern) if (text := host.link(path)) is not None}
    links = {resolve_path(path, links.get, last=False): text for path, text in links.items()}
    found = {path: data for pattern in FILES for path in expand(host, pattern) if (data := content(host, path)) is not None}
    return Recording(
        about=f"recorded on {machine.name}",
        images=dict(sorted(images.items())),
        titles={bdf: title_of(rows.get(0, b"")) or _title_of_unread(host, bdf) for bdf, rows in images.items()},
        asleep=asleep,
        files={resolve_path(path, links.get): data for path, data in found.items()},
        links=links,
        reasons=dict(_reasons(host)),
        platform=machine.platform,
    )


def whole(config: ConfigSpace) -> dict[int, bytes]:
    """Every byte of *config* that can be read, as rows of 16; empty where none can."""
    rows = getattr(config, "rows", None)
    if callable(rows):  # a capture, which may have holes
        return dict(rows())
    for size in (_size(config), _SMALLEST):
        try:
            return split_rows(config.read(0, size))
        except ReadError:
            continue
    return {}


def _size(config: ConfigSpace) -> int:
    try:
        return config.size
    except ReadError:
        return _SMALLEST


def power_state(host: Host, bdf: Bdf) -> str | None:
    """The power state (`D3cold` where the kernel does not say) of a Function that sleeps, or lies below a port that does;
    None where it may be read.
    """
    path = posixpath.normpath(posixpath.join(DEVICES, host.link(f"{DEVICES}/{bdf}") or str(bdf)))
    for name in path.split("/")[::-1]:
        place = f"{DEVICES}/{name}"
        power, runtime = (_fact(host, f"{place}/{fact}") for fact in ("power_state", "power/runtime_status"))
        if ":" in name and (power == "D3cold" or runtime in _SLEEPING):
            return power if power.startswith("D3") else "D3cold"
    return None


def _fact(host: Host, path: str) -> str:
    return (host.read(path) or b"").decode("utf-8", "replace").strip()


def title_of(header: bytes) -> str:
    """Class and ids as `lspci -n` prints them, from the first bytes of a header; empty where there are not enough."""
    if len(header) < 12:
        return ""
    return f"{header[11]:02x}{header[10]:02x}: {header[1]:02x}{header[0]:02x}:{header[3]:02x}{header[2]:02x} (rev {header[8]:02x})"


def _title_of_unread(host: Host, bdf: Bdf) -> str:
    kind, vendor, device = (_fact(host, f"{DEVICES}/{bdf}/{name}")[2:] for name in ("class", "vendor", "device"))
    return f"{kind[:4] or 'ffff'}: {vendor or 'ffff'}:{device or 'ffff'}"


def _reasons(host: Host) -> Iterator[tuple[str, str]]:
    # A pattern's own line speaks of all its paths that are not there; what was refused has a line each.
    for pattern in FILES:
        missing = [path for path in expand(host, pattern) if host.read(path) is None]
        reasons = {path: host.why(path) for path in missing}
        if (said := speaks_of(pattern)) != pattern or "*" in pattern:
            if "not recorded" not in reasons.values():
                yield said, "absent"
            reasons = {path: reason for path, reason in reasons.items() if reason not in ("absent", "not recorded")}
        yield from ((path, reason) for path, reason in reasons.items() if reason != "not recorded")
    for directory in DIRECTORIES:
        if not host.entries(directory) and (reason := host.why(directory)) != "not recorded":
            yield directory, reason


def write(recording: Recording, where: Path) -> None:
    """Write *recording* as the fixture *where*, a directory that is not there yet or is empty. UsageError."""
    try:
        where.mkdir(parents=True, exist_ok=True)
        if any(where.iterdir()):
            raise UsageError(f"{where}: not empty: give a new directory")
        (where / CASE).write_text(_case(recording), encoding="utf-8")
        (where / CONFIG).write_text(
            "".join(format_device(bdf, recording.titles[bdf], rows) for bdf, rows in recording.images.items()), encoding="utf-8"
        )
        _write_host(recording, where / HOST)
    except OSError as err:
        raise UsageError(f"{err.filename or where}: {err.strerror}: give a directory that can be written") from None


def _write_host(recording: Recording, root: Path) -> None:
    lines = "".join(f"{reason}\t{path}\n" for path, reason in sorted(recording.reasons.items()))
    for path, data in {**recording.files, REASONS: lines.encode()}.items():
        (root / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (root / path[1:]).write_bytes(data)
    for path, text in recording.links.items():
        (root / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (root / path[1:]).symlink_to(text)


def _case(recording: Recording) -> str:
    head = f"about: {quoted(recording.about)}\n"
    if recording.platform:
        head += f"platform: {flow({key: quoted(value) for key, value in sorted(recording.platform.items())})}\n"
    first = ["at: 0s", *([f"sleep: {flow(recording.asleep)}"] if recording.asleep else [])]
    return f"{head}steps:\n  - {{{', '.join(first)}}}\n{''.join(recording.steps)}"


def flow(items: Mapping[Any, str]) -> str:
    """A mapping on one line of YAML, its keys quoted and its values as they are."""
    return "{" + ", ".join(f"{quoted(key)}: {value}" for key, value in items.items()) + "}"


def quoted(value: object) -> str:
    """*value* as a double-quoted YAML string; what does not print becomes `?`."""
    text = "".join(c if c.isprintable() else "?" for c in str(value))
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
