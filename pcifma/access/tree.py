"""Paths in a tree with links of its own: resolved as in a chroot, whatever the links say. And trees in memory."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from typing import Protocol

_LINK_LIMIT = 40  # as in Linux (MAXSYMLINKS)


def resolve_path(path: str, readlink: Callable[[str], str | None], *, last: bool = True) -> str:
    """*path* without links, `.` and `..`; it starts with `/` and never leaves the tree.

    *readlink* gives a link's text by its path in the tree, None for what is no link. *last*: follow a link in the last place too.
    OSError (ELOOP).
    """
    todo = [part for part in reversed(path.split("/")) if part]
    here: list[str] = []
    links = 0
    while todo:
        part = todo.pop()
        if part == "..":
            del here[-1:]
        if part in (".", ".."):
            continue
        target = readlink("/" + "/".join([*here, part])) if last or todo else None
        if target is None:
            here.append(part)
            continue
        if (links := links + 1) > _LINK_LIMIT:
            raise OSError(errno.ELOOP, "too many symbolic links")
        if target.startswith("/"):
            here = []
        todo.extend(part for part in reversed(target.split("/")) if part)
    return "/" + "/".join(here)


class Tree(Protocol):
    """Files by a path that starts with `/`. Everything raises OSError where there is no such thing."""

    def content(self, path: str) -> bytes:
        """The file's bytes."""

    def names(self, path: str) -> list[str]:
        """Names in the directory, in any order."""

    def link(self, path: str) -> str:
        """The text of the symbolic link."""


class MountedTree:
    """*base*, with *other* in the place of its directory *mount*."""

    def __init__(self, base: Tree, mount: str, other: Tree) -> None:
        self._base = base
        self._mount = mount
        self._other = other

    def content(self, path: str) -> bytes:
        """The file's bytes; OSError."""
        tree, path = self._at(path)
        return tree.content(path)

    def names(self, path: str) -> list[str]:
        """Names in the directory; OSError."""
        tree, path = self._at(path)
        return tree.names(path)

    def link(self, path: str) -> str:
        """The link's text; OSError."""
        tree, path = self._at(path)
        return tree.link(path)

    def _at(self, path: str) -> tuple[Tree, str]:
        if path.startswith(f"{self._mount}/"):
            return self._other, path[len(self._mount) :]
        return self._base, path


class MemoryTree:
    """Files and links by their path, which starts with `/`; directories are what paths imply."""

    def __init__(self, files: Mapping[str, bytes], links: Mapping[str, str]) -> None:
        self._files = files
        self._links = links
        self._names: dict[str, set[str]] = {}
        for path in (*files, *links):
            self._imply(path)

    def _imply(self, path: str) -> None:
        while path != "/":
            above, _, name = path.rpartition("/")
            names = self._names.setdefault(above or "/", set())
            if name in names:
                return
            names.add(name)
            path = above or "/"

    def content(self, path: str) -> bytes:
        """The file's bytes; OSError."""
        where = resolve_path(path, self._links.get)
        if where in self._files:
            return self._files[where]
        raise OSError(errno.EISDIR if where in self._names else errno.ENOENT, "no such file")

    def names(self, path: str) -> list[str]:
        """Names in the directory; OSError."""
        where = resolve_path(path, self._links.get)
        if where not in self._names:
            raise OSError(errno.ENOENT, "no such directory")
        return list(self._names[where])

    def link(self, path: str) -> str:
        """The link's text; OSError."""
        text = self._links.get(resolve_path(path, self._links.get, last=False))
        if text is None:
            raise OSError(errno.EINVAL, "no link")
        return text
