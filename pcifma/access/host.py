"""Host facts from a directory tree: a live machine (`/`), `--host-root DIR`, and a recording's `host/`; or none at all.

Below a root other than `/`, absolute links and `..` stay inside that root, as in a chroot. Reads are bounded and never block.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pcifma.access.seam import Record

# The largest honest files are /proc/interrupts of a machine with hundreds of CPUs and /proc/config.gz.
SIZE_LIMIT = 8 << 20
_LINK_LIMIT = 40  # as in Linux (MAXSYMLINKS)

_REASONS = {
    errno.ENOENT: "absent",
    errno.ENOTDIR: "absent",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ELOOP: "too many symbolic links",
    errno.EISDIR: "a directory",
    errno.EFBIG: f"larger than {SIZE_LIMIT} bytes",
}


class TreeHost:
    """Facts read from the tree at *root*. *recorded*: the tree is a recording, which has only what was recorded."""

    def __init__(self, root: Path, *, recorded: bool = False) -> None:
        self._root = os.path.realpath(root)
        self._recorded = recorded

    def read(self, path: str) -> bytes | None:
        """The file's content; None where it cannot be had (see *why*)."""
        try:
            return self._content(path)
        except (OSError, ValueError):
            return None

    def entries(self, path: str) -> tuple[str, ...]:
        """Sorted names in the directory; empty where it does not exist."""
        try:
            return tuple(sorted(os.listdir(self._resolve(path))))  # noqa: PTH208 - names are wanted, not Path objects
        except (OSError, ValueError):
            return ()

    def link(self, path: str) -> str | None:
        """The text of the symbolic link, or None."""
        try:
            return os.readlink(self._resolve(path, last=False))  # noqa: PTH115 - Path would normalise the text
        except (OSError, ValueError):
            return None

    def why(self, path: str) -> str:
        """Why *read* gives None; `readable` where it does not."""
        try:
            self._content(path)
        except OSError as err:
            return self._reason(path, err)
        except ValueError:
            return "not a path"
        return "readable"

    def stream(self, name: str) -> Iterator[Record]:
        """A tree of files has no records."""
        return iter(())

    def _reason(self, path: str, err: OSError) -> str:
        if err.errno in (errno.ENOENT, errno.ENOTDIR):
            if self._recorded:
                return "not recorded"
            return "masked by the container" if self._masked(path) else "absent"
        if err.errno == errno.ENXIO:  # not a regular file; containers put /dev/null over what they hide
            return "masked by the container"
        return _REASONS.get(err.errno or 0, err.strerror or "unreadable")

    def _content(self, path: str) -> bytes:
        fd = os.open(self._resolve(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            mode = os.fstat(fd).st_mode
            if not stat.S_ISREG(mode):
                raise OSError(errno.EISDIR if stat.S_ISDIR(mode) else errno.ENXIO, "not a regular file")
            return _read_whole(fd)
        finally:
            os.close(fd)

    def _resolve(self, path: str, *, last: bool = True) -> str:
        # The live root needs no guard: its links lead where the kernel says.
        if self._root == "/":
            return path
        todo = [p for p in reversed(path.split("/")) if p]
        here: list[str] = []
        links = 0
        while todo:
            part = todo.pop()
            if part in (".", ".."):
                del here[len(here) - (part == "..") :]
                continue
            target = _link_text("/".join([self._root, *here, part])) if last or todo else None
            if target is None:
                here.append(part)
                continue
            if (links := links + 1) > _LINK_LIMIT:
                raise OSError(errno.ELOOP, "too many symbolic links")
            if target.startswith("/"):
                here = []
            todo.extend(p for p in reversed(target.split("/")) if p)
        return "/".join([self._root, *here])

    def _masked(self, path: str) -> bool:
        # A container hides /sys/firmware and parts of /proc under an empty tmpfs.
        mounts = self.read("/proc/self/mountinfo") or b""
        over = (line.split() for line in mounts.decode("utf-8", "replace").splitlines())
        hidden = {f[4] for f in over if "tmpfs" in f[f.index("-") + 1 : f.index("-") + 2]}
        return any(path.startswith(f"{point}/") for point in hidden if point.startswith(("/sys/", "/proc/")))


class SysfsHost:
    """The host of a sysfs root that stands alone: its `/sys` is the tree, and there is nothing else."""

    def __init__(self, root: Path) -> None:
        self._tree = TreeHost(root)

    def read(self, path: str) -> bytes | None:
        """The file's content, for a path below /sys."""
        return self._tree.read(path[4:]) if path.startswith("/sys/") else None

    def entries(self, path: str) -> tuple[str, ...]:
        """Sorted names, for a directory below /sys."""
        return self._tree.entries(path[4:]) if path.startswith("/sys/") else ()

    def link(self, path: str) -> str | None:
        """The text of the symbolic link, for a path below /sys."""
        return self._tree.link(path[4:]) if path.startswith("/sys/") else None

    def why(self, path: str) -> str:
        """As TreeHost; `not recorded` outside /sys."""
        return self._tree.why(path[4:]) if path.startswith("/sys/") else "not recorded"

    def stream(self, name: str) -> Iterator[Record]:
        """No records."""
        return iter(())


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


def _link_text(path: str) -> str | None:
    try:
        return os.readlink(path)  # noqa: PTH115 - Path would normalise the text
    except OSError as err:
        if err.errno in (errno.EINVAL, errno.ENOENT):
            return None
        raise


def _read_whole(fd: int) -> bytes:
    # Files of sysfs and /proc have no honest size: read until the end.
    parts: list[bytes] = []
    total = 0
    while part := os.read(fd, 1 << 16):
        parts.append(part)
        if (total := total + len(part)) > SIZE_LIMIT:
            raise OSError(errno.EFBIG, "too large")
    return b"".join(parts)
