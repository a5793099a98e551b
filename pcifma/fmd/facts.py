"""Host facts for the daemon: what it may not read itself and is on the keeper's list, the keeper opens; slots are the site's."""

from __future__ import annotations

from collections.abc import Iterator

from pcifma.access.seam import Host, Record
from pcifma.errors import PcifmaError
from pcifma.fabric.site import SITE, site_labels
from pcifma.fmd.keeper.client import KeeperClient
from pcifma.fmd.keeper.message import FACTS

_SYS = "/sys/"


class SitedHost:
    """*inner*, with the site's slots as they were when the daemon started: a mistake in a later version of the file stops nothing."""

    def __init__(self, inner: Host, slots: bytes | None) -> None:
        """*slots* of the daemon's own configuration go before the host's."""
        self._inner = inner
        self._slots = inner.read(SITE) if slots is None else slots
        site_labels(self)

    def read(self, path: str) -> bytes | None:
        """As Host.read."""
        return self._slots if path == SITE else self._inner.read(path)

    def entries(self, path: str) -> tuple[str, ...]:
        """As Host.entries."""
        return self._inner.entries(path)

    def link(self, path: str) -> str | None:
        """As Host.link."""
        return self._inner.link(path)

    def why(self, path: str) -> str:
        """As Host.why."""
        return "readable" if path == SITE and self._slots is not None else self._inner.why(path)

    def stream(self, name: str) -> Iterator[Record]:
        """As Host.stream."""
        return self._inner.stream(name)


class KeptHost:
    """*inner*, and the keeper behind it."""

    def __init__(self, inner: Host, keeper: KeeperClient) -> None:
        self._inner, self._keeper = inner, keeper

    def read(self, path: str) -> bytes | None:
        """As Host.read."""
        found = self._inner.read(path)
        return self._kept(path) if found is None and path.removeprefix(_SYS) in FACTS else found

    def entries(self, path: str) -> tuple[str, ...]:
        """As Host.entries."""
        return self._inner.entries(path)

    def link(self, path: str) -> str | None:
        """As Host.link."""
        return self._inner.link(path)

    def why(self, path: str) -> str:
        """As Host.why."""
        return "readable" if self.read(path) is not None else self._inner.why(path)

    def stream(self, name: str) -> Iterator[Record]:
        """As Host.stream."""
        return self._inner.stream(name)

    def _kept(self, path: str) -> bytes | None:
        try:
            return self._keeper.fact(path.removeprefix(_SYS))
        except PcifmaError:
            return None  # why() still says what the daemon itself found
