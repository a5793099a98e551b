"""Functions that the operator wants left alone (`poll.exclude`): they are there, and are never read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pcifma.access.seam import ConfigSpace, Host
from pcifma.errors import ExcludedError
from pcifma.fmd.config import excluded
from pcifma.regs.bdf import Bdf


class UntouchedSpace:
    """Configuration space that is not read."""

    def __init__(self, bdf: Bdf) -> None:
        self._bdf = bdf

    @property
    def size(self) -> int:
        """ExcludedError."""
        raise ExcludedError(f"{self._bdf}: excluded by poll.exclude")

    def read(self, offset: int, length: int) -> bytes:
        """ExcludedError."""
        raise ExcludedError(f"{self._bdf}: excluded by poll.exclude")


class Excluding(Mapping[Bdf, ConfigSpace]):
    """*inner* without touching what *texts* name: addresses, or vendor:device as sysfs knows them."""

    def __init__(self, inner: Mapping[Bdf, ConfigSpace], texts: Iterable[str], host: Host) -> None:
        self._inner, self._host = inner, host
        self._untouched: dict[Bdf, UntouchedSpace] = {}
        self.name(texts)

    def name(self, texts: Iterable[str]) -> None:
        """From now on it is *texts* that are left alone; ValueError."""
        named = [excluded(text) for text in texts]
        self._addresses = {one for one in named if isinstance(one, Bdf)}
        self._kinds = {one for one in named if not isinstance(one, Bdf)}

    def __getitem__(self, bdf: Bdf) -> ConfigSpace:
        space = self._inner[bdf]
        return self._untouched.setdefault(bdf, UntouchedSpace(bdf)) if self._is_excluded(bdf) else space

    def __iter__(self) -> Iterator[Bdf]:
        return iter(self._inner)

    def __len__(self) -> int:
        return len(self._inner)

    def rescan(self) -> None:
        """Follow hot-plug, where *inner* can."""
        rescan = getattr(self._inner, "rescan", None)
        if rescan is not None:
            rescan()

    def _is_excluded(self, bdf: Bdf) -> bool:
        return bdf in self._addresses or bool(self._kinds and self._kind(bdf) in self._kinds)

    def _kind(self, bdf: Bdf) -> tuple[int, int]:
        vendor, device = (self._host.read(f"/sys/bus/pci/devices/{bdf}/{name}") or b"-1" for name in ("vendor", "device"))
        try:
            return int(vendor, 16), int(device, 16)
        except ValueError:
            return -1, -1
