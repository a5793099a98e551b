"""What of this host a third-party plugin may have the daemon read for it: what anybody may read, and the keeper's facts.

The daemon's user can read more, its own log first of all; it must not read that for others. A plugin's user may be able to read
less or more than this: what it can read by itself is its own affair.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pcifma.access.seam import Host, Record

_OWN = ("/proc/self", "/proc/thread-self", "/msr", "/xen-mca")  # the last two are opened for root
WHY = "not for plugins of others: only the daemon may read it"


@dataclass(frozen=True, slots=True)
class Public:
    """The rule for the live host. *closed*: directories of which nothing is public, whatever its mode; *kept*: files that are."""

    closed: tuple[str, ...] = ()
    kept: frozenset[str] = frozenset()

    @classmethod
    def beside(cls, own: Iterable[Path], kept: Iterable[str]) -> Public:
        """All but what lies in the directories *own*, and this process; *kept* below /sys."""
        closed = (*_OWN, f"/proc/{os.getpid()}", *(os.path.realpath(path) for path in own))
        return cls(closed, frozenset(f"/sys/{path}" for path in kept))

    def allows(self, path: str, *, link: bool = False) -> bool:
        """True if what is at *path*, or where the *link* there leads, may be known; it need not exist yet."""
        if ".." in path.split("/") or not path.startswith("/"):
            return False
        place = Path(path).parent if link else Path(path)
        leads = os.path.normpath(path), os.path.realpath(place)
        if any(one == closed or one.startswith(f"{closed}/") for one in leads for closed in self.closed):
            return False
        try:
            return bool(place.stat().st_mode & stat.S_IROTH) or leads[0] in self.kept
        except OSError:
            return True  # there is nothing, or nobody can read it

    def allows_fact(self, fact: str) -> bool:
        """The same of a fact as a watch declares it: `…/` names in a directory, `…@` a link's text, `{sysfs}` the target's directory."""
        if fact.startswith("{sysfs}"):
            return ".." not in fact.split("/")
        return self.allows(fact[:-1], link=True) if fact.endswith("@") else self.allows(fact)


class PublicHost:
    """*inner*, as far as *public* allows."""

    def __init__(self, inner: Host, public: Public) -> None:
        self._inner, self._public = inner, public

    def read(self, path: str) -> bytes | None:
        """As Host.read; None for what is not public."""
        return self._inner.read(path) if self._public.allows(path) else None

    def entries(self, path: str) -> tuple[str, ...]:
        """As Host.entries; empty for what is not public."""
        return self._inner.entries(path) if self._public.allows(path) else ()

    def link(self, path: str) -> str | None:
        """As Host.link; None for what is not public."""
        return self._inner.link(path) if self._public.allows(path, link=True) else None

    def why(self, path: str) -> str:
        """As Host.why."""
        return self._inner.why(path) if self._public.allows(path) else WHY

    def stream(self, name: str) -> Iterator[Record]:
        """Streams are the daemon's: no records here."""
        return iter(())
