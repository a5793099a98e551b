"""Any SOURCE of contract 3 becomes a Machine here: the one place that knows all forms."""

from __future__ import annotations

import hashlib
import os
import sys
import uuid
from pathlib import Path

from pcifma.access.capture import REMEDY, parse_capture
from pcifma.access.clock import SimulatedClock, SystemClock
from pcifma.access.host import NoHost, SysfsHost, TreeHost
from pcifma.access.seam import Host, Machine
from pcifma.access.sysfs import DEVICES, SysfsConfigs
from pcifma.errors import FormatError, SourceError
from pcifma.regs.bdf import Bdf

FORMS = "give nothing, -, a sysfs root, a file of `lspci -xxxx` text, a fixture directory, or a tar of one"
CAPTURE_LIMIT = 64 << 20  # 4,600 Functions with 4,096 bytes each


def open_source(arg: str | None, *, host_root: Path | None = None) -> Machine:
    """The Machine that *arg* names; None is this machine. *host_root*: where the host's `/` is seen from here.

    SourceError, FormatError.
    """
    if arg is None:
        return open_live(host_root)
    if arg == "-":
        return open_capture(_limited(sys.stdin.buffer.read(CAPTURE_LIMIT + 1), "-"), "stdin", host_root)
    path = Path(arg)
    if path.is_dir():
        return _open_directory(path, host_root)
    if not path.exists():
        raise SourceError(f"{arg}: no such file or directory: {FORMS}")
    return open_capture(_content(path), path.name, host_root)


def open_live(host_root: Path | None = None) -> Machine:
    """This machine, or the one whose `/` is at *host_root*; a machine without PCI has no Functions."""
    root = host_root or Path("/")
    host = TreeHost(root)
    configs = SysfsConfigs(root / "sys", _enumerate() if host_root is None else None)
    return Machine("live", _host_name(host), _boot_id(host), configs, host, SystemClock())


def open_capture(data: bytes, name: str, host_root: Path | None = None) -> Machine:
    """A capture's Machine: no host facts but those below *host_root*; boot is a version 5 uuid of its bytes."""
    capture = parse_capture(data, name)
    return Machine(
        kind="capture",
        name=name,
        boot=boot_of(data),
        configs=capture.configs,
        host=_host(host_root),
        clock=SimulatedClock(),
        unread=dict.fromkeys(capture.named, "short"),
        complaints=capture.complaints,
    )


def boot_of(data: bytes) -> str:
    """The boot id of a recording: a version 5 uuid of its bytes."""
    return str(uuid.UUID(bytes=hashlib.sha1(uuid.NAMESPACE_OID.bytes + data).digest()[:16], version=5))


def _open_directory(path: Path, host_root: Path | None) -> Machine:
    if (path / DEVICES).is_dir():
        host = SysfsHost(path) if host_root is None else TreeHost(host_root)
        return Machine("sysfs", path.resolve().name, boot_of(os.fsencode(path.resolve())), SysfsConfigs(path), host, SystemClock())
    raise SourceError(f"{path}: neither a sysfs root (no {DEVICES} in it) nor a fixture (no case.yaml): {FORMS}")


def _host(host_root: Path | None) -> Host:
    return NoHost() if host_root is None else TreeHost(host_root)


def _host_name(host: Host) -> str:
    return (host.read("/proc/sys/kernel/hostname") or b"").decode("utf-8", "replace").strip() or "localhost"


def _boot_id(host: Host) -> str:
    text = (host.read("/proc/sys/kernel/random/boot_id") or b"").decode("utf-8", "replace").strip()
    return text or str(uuid.UUID(int=0))


def _enumerate() -> list[Bdf] | None:
    # udev's list where its library is there; None: list the directory.
    try:
        import pyudev  # noqa: PLC0415 - needs libudev, which a container may lack

        names = [device.sys_name for device in pyudev.Context().list_devices(subsystem="pci")]
    except (ImportError, OSError):
        return None
    return [Bdf.parse(name) for name in names]


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return _limited(file.read(CAPTURE_LIMIT + 1), str(path))
    except OSError as err:
        raise SourceError(f"{path}: {err.strerror}: {FORMS}") from None


def _limited(data: bytes, name: str) -> bytes:
    if len(data) > CAPTURE_LIMIT:
        raise FormatError(f"{name}:1: larger than {CAPTURE_LIMIT >> 20} MiB: {REMEDY}, of one machine")
    return data
