"""Any SOURCE of contract 3 becomes a Machine here: the one place that knows all forms. Each form's own code is imported with it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from pcifma.access.clock import SimulatedClock, SystemClock
from pcifma.access.host import NoHost, TreeHost
from pcifma.access.seam import Host, Machine
from pcifma.access.sysfs import DEVICES, SysfsConfigs
from pcifma.errors import SourceError
from pcifma.regs.bdf import Bdf

CASE = "case.yaml"  # what makes a directory a fixture
_NO_BOOT = "00000000-0000-0000-0000-000000000000"


def open_source(arg: str | None, *, host_root: Path | None = None) -> Machine:
    """The Machine that *arg* names; None is this machine. *host_root*: where the host's `/` is seen from here.

    SourceError, FormatError.
    """
    if host_root is not None and not host_root.is_dir():
        raise SourceError(f"{host_root}: no such directory: --host-root names where the host's / is seen from here")
    if arg is None:
        return open_live(host_root)
    if arg == "-":
        from pcifma.access.content import FILE_LIMIT, limited  # noqa: PLC0415

        return open_data(limited(sys.stdin.buffer.read(FILE_LIMIT + 1), "stdin"), "stdin", host_root)
    path = Path(arg)
    if not arg:
        from pcifma.access.content import FORMS  # noqa: PLC0415

        raise SourceError(f"SOURCE is empty: {FORMS}")
    if (path / DEVICES).is_dir():
        return _open_sysfs(path, host_root)
    from pcifma.access.content import FORMS, read_file  # noqa: PLC0415

    if not path.is_dir():
        return open_data(read_file(path), arg, host_root)
    if (path / CASE).is_file():
        from pcifma.access.playback import open_fixture  # noqa: PLC0415 - see there

        return open_fixture(path)
    raise SourceError(f"{arg}: neither a sysfs root (no {DEVICES} in it) nor a fixture (no {CASE}): {FORMS}")


def open_live(host_root: Path | None = None, *, udev: bool = True) -> Machine:
    """This machine, or the one whose `/` is at *host_root*; a machine without PCI has no Functions. Without *udev* its library,
    which weighs 4 MiB, is not loaded, and the directory is listed.
    """
    from pcifma.access import xenstore  # noqa: PLC0415
    from pcifma.access.live import LiveHost  # noqa: PLC0415

    root = host_root or Path("/")
    host = LiveHost() if host_root is None else TreeHost(xenstore.machine_tree(root))
    configs = SysfsConfigs(root / "sys", _enumerate() if host_root is None and udev else None)
    return Machine("live", _host_name(host), _boot_id(host), configs=configs, host=host, clock=SystemClock())


def open_data(data: bytes, file: str, host_root: Path | None = None) -> Machine:
    """The Machine of a file's *data*: a capture or the tar of a fixture, either perhaps a gzip file. SourceError, FormatError."""
    from pcifma.access.archive import is_archive, unpack  # noqa: PLC0415 - only files can be tars

    plain = unpack(data, file)
    if not is_archive(plain):
        return open_capture(plain, file, host_root)
    from pcifma.access.playback import open_archive  # noqa: PLC0415 - see there

    return open_archive(plain, file, Path(file).name)


def open_capture(data: bytes, file: str, host_root: Path | None = None) -> Machine:
    """A capture's Machine: no host facts but those below *host_root*; boot is a version 5 uuid of its bytes. Its time is when the
    file was written, since what it shows was so then; now, if there is no file. FormatError.
    """
    from pcifma.access.capture import parse_capture  # noqa: PLC0415
    from pcifma.access.content import boot_of  # noqa: PLC0415

    capture = parse_capture(data, file)
    return Machine(
        kind="capture",
        name=Path(file).name,
        boot=lambda: boot_of(data),
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


def _open_sysfs(path: Path, host_root: Path | None) -> Machine:
    real = path.resolve()

    def boot() -> str:
        from pcifma.access.content import boot_of  # noqa: PLC0415

        return boot_of(os.fsencode(real))

    host = TreeHost(path, mount="/sys") if host_root is None else TreeHost(host_root)
    return Machine("sysfs", real.name, boot, configs=SysfsConfigs(path), host=host, clock=SystemClock())


def _host_name(host: Host) -> str:
    return (host.read("/proc/sys/kernel/hostname") or b"").decode("utf-8", "replace").strip() or "localhost"


def _boot_id(host: Host) -> str:
    text = (host.read("/proc/sys/kernel/random/boot_id") or b"").decode("utf-8", "replace").strip()
    return text or _NO_BOOT


def _enumerate() -> list[Bdf] | None:
    # udev's list where its library is there; None: list the directory.
    try:
        import pyudev  # noqa: PLC0415 - needs libudev, which a container may lack

        names = [device.sys_name for device in pyudev.Context().list_devices(subsystem="pci")]
    except (ImportError, OSError):
        return None
    return [Bdf.parse(name) for name in names]
