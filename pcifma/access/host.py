"""Host facts from a tree of files: a live machine (`/`), `--host-root DIR`, a recording's `host/`; or none at all.

Below a root other than `/`, absolute links and `..` stay inside that root, as in a chroot. Reads are bounded and never block.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from pcifma.access.seam import Record
from pcifma.access.tree import Tree, resolve_path

# The largest honest files are /proc/interrupts of a machine with hundreds of CPUs and /proc/config.gz.
SIZE_LIMIT = 8 << 20

# In a recording: why facts are missing from it, lines of reason, tab, path (`*` in it stands for anything).
REASONS = "/.why"

_RESOLVED_LIMIT = 8192  # directories
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC

_REASONS = {
    errno.ENOENT: "absent",
    errno.ENOTDIR: "absent",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ELOOP: "too many symbolic links",
    errno.EISDIR: "a directory",
    errno.EFBIG: f"larger than {SIZE_LIMIT} bytes",
    errno.ENXIO: "masked by the container",  # not a regular file; containers put /dev/null over what they hide
}


class DiskTree:
    """The tree below the directory *root*."""

    def __init__(self, root: Path) -> None:
        real = os.path.realpath(root)
        self._root = "" if real == "/" else real
        self._resolved: dict[str, str] = {}

    def content(self, path: str) -> bytes:
        """The file's bytes; only regular files, and no more than SIZE_LIMIT. OSError."""
        fd = self._open(path)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.ENXIO, "not a regular file")
            return _read_whole(fd, status.st_size)
        finally:
            os.close(fd)

    def names(self, path: str) -> list[str]:
        """Names in the directory; OSError."""
        return os.listdir(self._place(path))  # noqa: PTH208 - names are wanted, not Path objects

    def link(self, path: str) -> str:
        """The link's text; OSError."""
        if self._resolved.get(path) == path:
            raise OSError(errno.EINVAL, "a directory")  # as was seen on the way to what is in it
        return os.readlink(self._place(path, last=False))  # noqa: PTH115 - Path would normalise the text

    def _open(self, path: str) -> int:
        if not self._root:
            return os.open(path, _READ)
        try:
            return os.open(self._place(path, last=False), _READ | os.O_NOFOLLOW)
        except OSError as err:
            if err.errno != errno.ELOOP:
                raise
        return os.open(self._place(path), _READ)  # a link, which leads where _place says and not where it says itself

    def _place(self, path: str, *, last: bool = True) -> str:
        # The live root needs no guard: its links lead where the kernel says.
        return self._root + self._resolve(path, last=last) if self._root else path

    def _resolve(self, path: str, *, last: bool) -> str:
        above, _, name = path.rstrip("/").rpartition("/")
        if name in ("", ".", ".."):
            return resolve_path(path, self._readlink, last=last)
        return self._entry(self._directory(above), name) if last else f"{self._directory(above)}/{name}"

    def _directory(self, path: str) -> str:
        # Facts come many to a directory: each directory is resolved once. A Function that was plugged elsewhere is another path.
        known = self._resolved.get(path)
        if known is None:
            above, _, name = path.rpartition("/")
            plain = name not in ("", ".", "..") and above.startswith("/")
            known = self._entry(self._directory(above), name) if plain else resolve_path(path, self._readlink).rstrip("/")
            if len(self._resolved) >= _RESOLVED_LIMIT:
                self._resolved.clear()
            self._resolved[path] = known
        return known

    def _entry(self, directory: str, name: str) -> str:
        place = f"{directory}/{name}"
        return place if self._readlink(place) is None else resolve_path(place, self._readlink).rstrip("/")

    def _readlink(self, path: str) -> str | None:
        try:
            return os.readlink(self._root + path)  # noqa: PTH115 - Path would normalise the text
        except OSError as err:
            if err.errno in (errno.EINVAL, errno.ENOENT):
                return None
            raise


class TreeHost:
    """Facts from *tree*. *recorded*: it is a recording, which has only what was recorded. *mount*: the path on the host that
    the tree's root stands for, `/sys` for a sysfs root alone.
    """

    def __init__(self, tree: Tree | Path, *, recorded: bool = False, mount: str = "") -> None:
        self._tree = DiskTree(tree) if isinstance(tree, Path) else tree
        self._recorded = recorded
        self._mount = mount

    def read(self, path: str) -> bytes | None:
        """The file's content; None where it cannot be had (see *why*)."""
        try:
            return self._tree.content(self._inside(path))
        except (OSError, ValueError):
            return None

    def entries(self, path: str) -> tuple[str, ...]:
        """Sorted names in the directory; empty where it does not exist."""
        try:
            return tuple(sorted(self._tree.names(self._inside(path))))
        except (OSError, ValueError):
            return ()

    def link(self, path: str) -> str | None:
        """The text of the symbolic link, or None."""
        try:
            return self._tree.link(self._inside(path))
        except (OSError, ValueError):
            return None

    def why(self, path: str) -> str:
        """Why *read* gives None; `readable` where it does not."""
        try:
            self._tree.content(self._inside(path))
        except OSError as err:
            return self._reason(path, err)
        except ValueError:
            return "not a path"
        return "readable"

    def stream(self, name: str) -> Iterator[Record]:
        """A tree of files has no records."""
        return iter(())

    def _inside(self, path: str) -> str:
        if not path.startswith(f"{self._mount}/"):
            raise OSError(errno.ENOENT, "outside")
        return path[len(self._mount) :]

    def _reason(self, path: str, err: OSError) -> str:
        if err.errno in (errno.ENOENT, errno.ENOTDIR):
            if self._recorded or not path.startswith(f"{self._mount}/"):
                return self._recorded_reason(path)
            return "masked by the container" if self._masked(path) else "absent"
        return _REASONS.get(err.errno or 0, err.strerror or "unreadable")

    def _recorded_reason(self, path: str) -> str:
        exact, patterns = self._recorded_reasons
        return exact.get(path) or next((reason for reason, pattern in patterns if fnmatchcase(path, pattern)), "not recorded")

    @cached_property
    def _recorded_reasons(self) -> tuple[dict[str, str], list[tuple[str, str]]]:
        lines = (self.read(REASONS) or b"").decode("utf-8", "replace").splitlines() if self._recorded else []
        pairs = [(reason, path) for reason, _, path in (line.partition("\t") for line in lines) if path.startswith("/")]
        return {path: reason for reason, path in pairs if "*" not in path}, [pair for pair in pairs if "*" in pair[1]]

    def _masked(self, path: str) -> bool:
        # A container hides /sys/firmware and parts of /proc under an empty tmpfs.
        mounts = (self.read("/proc/self/mountinfo") or b"").decode("utf-8", "replace")
        return any(path.startswith(f"{point}/") for point in _tmpfs_mounts(mounts) if point.startswith(("/sys/", "/proc/")))


class NoHost:
    """The host of a capture: nothing was recorded beside the registers."""

    def read(self, path: str) -> bytes | None:
        """None."""
        return None

    def entries(self, path: str) -> tuple[str, ...]:
        """No names."""
        return ()

    def link(self, path: str) -> str | None:
        """None."""
        return None

    def why(self, path: str) -> str:
        """Always `not recorded`."""
        return "not recorded"

    def stream(self, name: str) -> Iterator[Record]:
        """No records."""
        return iter(())


def _tmpfs_mounts(mountinfo: str) -> Iterator[str]:
    # proc_pid_mountinfo(5): the mount point is field 5, the file system's type follows a lone dash.
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("tmpfs ") and before.count(" ") >= 4:
            yield before.split(" ")[4]


def _read_whole(fd: int, size: int) -> bytes:
    # Files of sysfs and /proc have no honest *size*: read until the end, or until there is what was said.
    parts: list[bytes] = []
    total = 0
    chunk = size + 1 if 0 < size < 1 << 16 else 1 << 16
    while part := os.read(fd, chunk):
        parts.append(part)
        if (total := total + len(part)) > SIZE_LIMIT:
            raise OSError(errno.EFBIG, "too large")
        if total == size:
            break
    return b"".join(parts)
