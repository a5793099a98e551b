"""Any SOURCE of contract 3 becomes a Machine here: the one place that knows all forms."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path

from pcifma.access import xenstore
from pcifma.access.archive import is_archive, read_archive, unpack
from pcifma.access.capture import REMEDY, parse_capture
from pcifma.access.clock import SimulatedClock, SystemClock
from pcifma.access.fixture import CASE, CONFIG, EXPECT, HOST, Fixture, make_fixture, parts_of_files
from pcifma.access.host import NoHost, TreeHost
from pcifma.access.live import LiveHost
from pcifma.access.seam import Host, Machine
from pcifma.access.sysfs import DEVICES, SysfsConfigs
from pcifma.errors import FormatError, SourceError
from pcifma.regs.bdf import Bdf

_TAR_ENDS = re.compile(r"\.(tar|tgz|tar\.gz)$")
FORMS = "give nothing, -, a sysfs root, a file of `lspci -xxxx` text, a fixture directory, or a tar of one"
FILE_LIMIT = 64 << 20  # 4,600 Functions with 4,096 bytes each


def open_source(arg: str | None, *, host_root: Path | None = None) -> Machine:
    """The Machine that *arg* names; None is this machine. *host_root*: where the host's `/` is seen from here.

    SourceError, FormatError.
    """
    if arg is None:
        return open_live(host_root)
    if arg == "-":
        return open_data(_limited(sys.stdin.buffer.read(FILE_LIMIT + 1), "stdin"), "stdin", host_root)
    path = Path(arg)
    if not path.is_dir():
        return open_data(_content(path), arg, host_root)
    if (path / DEVICES).is_dir():
        return _open_sysfs(path, host_root)
    if (path / CASE).is_file():
        return open_fixture(path)
    raise SourceError(f"{arg}: neither a sysfs root (no {DEVICES} in it) nor a fixture (no {CASE}): {FORMS}")


def open_fixture(path: Path) -> Fixture:
    """The fixture in the directory *path*, or in the tar of one. SourceError, FormatError."""
    if not path.is_dir():
        return _open_archive(unpack(_content(path), str(path)), str(path), path.name)
    files = {name: _content(path / name) for name in (CASE, CONFIG, EXPECT) if (path / name).is_file()}
    parts = parts_of_files(files, {}, f"{path}/", path.resolve().name)
    return make_fixture(replace(parts, host=TreeHost(path / HOST, recorded=True)), boot_of(parts.case + parts.config))


def open_live(host_root: Path | None = None) -> Machine:
    """This machine, or the one whose `/` is at *host_root*; a machine without PCI has no Functions."""
    root = host_root or Path("/")
    host = LiveHost() if host_root is None else TreeHost(xenstore.machine_tree(root))
    configs = SysfsConfigs(root / "sys", _enumerate() if host_root is None else None)
    return Machine("live", _host_name(host), _boot_id(host), configs, host, SystemClock())


def open_data(data: bytes, file: str, host_root: Path | None = None) -> Machine:
    """The Machine of a file's *data*: a capture or the tar of a fixture, either perhaps a gzip file. SourceError, FormatError."""
    plain = unpack(data, file)
    return _open_archive(plain, file, Path(file).name) if is_archive(plain) else open_capture(plain, file, host_root)


def open_capture(data: bytes, file: str, host_root: Path | None = None) -> Machine:
    """A capture's Machine: no host facts but those below *host_root*; boot is a version 5 uuid of its bytes. Its time is when the
    file was written, since what it shows was so then; now, if there is no file. FormatError.
    """
    capture = parse_capture(data, file)
    return Machine(
        kind="capture",
        name=Path(file).name,
        boot=boot_of(data),
        configs=dict(sorted(capture.configs.items())),
        host=NoHost() if host_root is None else TreeHost(host_root),
        clock=SimulatedClock(_written_ns(file)),
        unread=dict.fromkeys(capture.named, "short"),
        complaints=capture.complaints,
    )


def _written_ns(file: str) -> int:
    try:
        return os.stat(file).st_mtime_ns  # noqa: PTH116 - a name such as stdin is no path
    except OSError:
        return time.time_ns()


def boot_of(data: bytes) -> str:
    """The boot id of a recording: a version 5 uuid of its bytes."""
    return str(uuid.UUID(bytes=hashlib.sha1(uuid.NAMESPACE_OID.bytes + data).digest()[:16], version=5))


def _open_archive(data: bytes, file: str, name: str) -> Fixture:
    archive = read_archive(data, file)
    case = min((path for path in archive.files if path.rpartition("/")[2] == CASE), key=lambda path: path.count("/"), default=None)
    if case is None:
        raise SourceError(f"{file}: there is no {CASE} in this tar: {FORMS}")
    root = case.removesuffix(CASE)
    files = {path.removeprefix(root): data for path, data in archive.files.items() if path.startswith(root)}
    links = {path.removeprefix(root): text for path, text in archive.links.items() if path.startswith(root)}
    parts = parts_of_files(files, links, f"{file}:{root}", root.rstrip("/").rpartition("/")[2] or _TAR_ENDS.sub("", name))
    return make_fixture(parts, boot_of(parts.case + parts.config))


def _open_sysfs(path: Path, host_root: Path | None) -> Machine:
    real = path.resolve()
    host = TreeHost(path, mount="/sys") if host_root is None else TreeHost(host_root)
    return Machine("sysfs", real.name, boot_of(os.fsencode(real)), SysfsConfigs(path), host, SystemClock())


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
            return _limited(file.read(FILE_LIMIT + 1), str(path))
    except OSError as err:
        raise SourceError(f"{path}: {err.strerror}: {FORMS}") from None


def _limited(data: bytes, name: str) -> bytes:
    if len(data) > FILE_LIMIT:
        raise FormatError(f"{name}:1: larger than {FILE_LIMIT >> 20} MiB: {REMEDY}, of one machine")
    return data
