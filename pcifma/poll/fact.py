"""Facts of the host beside a target's registers: files, and where the path says so the names in a directory or a link's text."""

from __future__ import annotations

from collections.abc import Iterable

from pcifma.access.seam import Host
from pcifma.poll.subject import Subject

_SYSFS = "{sysfs}"
_DIRECTORY, _LINK = "/", "@"  # as `ls -F` marks them


class Facts:
    """Reads facts of *host*. What is no target's own is read once a look: `begin` starts one."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._shared: dict[str, bytes | None] = {}

    def begin(self) -> None:
        """A look begins: forget what the last one read."""
        self._shared.clear()

    def of(self, subject: Subject, paths: Iterable[str]) -> dict[str, bytes | None]:
        """The facts at *paths*, by the path as it was declared."""
        return {path: self._own(subject, path) if path.startswith(_SYSFS) else self._common(path) for path in paths}

    def _own(self, subject: Subject, path: str) -> bytes | None:
        return self._read(f"/sys/bus/pci/devices/{subject.target}{path[len(_SYSFS) :]}") if subject.function is not None else None

    def _common(self, path: str) -> bytes | None:
        if path not in self._shared:
            self._shared[path] = self._read(path)
        return self._shared[path]

    def _read(self, path: str) -> bytes | None:
        if path.endswith(_DIRECTORY):
            return "\n".join(self._host.entries(path[:-1])).encode() or None
        if path.endswith(_LINK):
            link = self._host.link(path[:-1])
            return None if link is None else link.encode()
        return self._host.read(path)
