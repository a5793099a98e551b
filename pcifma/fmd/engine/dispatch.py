"""Who gets which event: class globs by dot components, as fmd's dispatch tree matches them.

`*` stands for one component, and as the last one for one or more: `ereport.io.*` takes `ereport.io.pciex.dl.btlp`, not `ereport.io`.
A list event goes to who wants its class, and to who wants the class of one of its suspects.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from pcifma.errors import PluginError
from pcifma.event.case import ListEvent
from pcifma.event.ereport import Ereport
from pcifma.plugin import boundary
from pcifma.plugin.manifest import glob_parts

_REMEMBERED = 4096
GLOB_LIMIT = 256  # of one module, each compared with every class that is new
_LENGTH_LIMIT = 256


class Subscription:
    """The globs of one module."""

    def __init__(self, globs: Iterable[str]) -> None:
        """PluginError for a glob that is no dotted class name with whole-component stars."""
        self.globs: tuple[str, ...] = ()
        self._patterns: list[list[str]] = []
        self._known: dict[str, bool] = {}
        self.add(globs)

    def add(self, globs: Iterable[str]) -> None:
        """Take what these globs match too; PluginError, and nothing is added, if one is wrong."""
        new = [glob for glob in dict.fromkeys(islice(globs, GLOB_LIMIT + 1)) if glob not in self.globs]
        if len(self.globs) + len(new) > GLOB_LIMIT:
            raise PluginError(f"more than {GLOB_LIMIT} subscriptions: write * for components that differ")
        self._patterns += [glob_parts(boundary.text(glob, _LENGTH_LIMIT, "a subscription")) for glob in new]
        self.globs += tuple(new)
        self._known.clear()

    def takes(self, event: Ereport | ListEvent) -> bool:
        """True if *event* is to be delivered."""
        known = self._known.get(event.class_)
        if known or (known is None and self.wants(event.class_)):
            return True
        return isinstance(event, ListEvent) and any(self.wants(suspect.class_) for suspect in event.fault_list)

    def wants(self, class_: str) -> bool:
        """True if one of the globs matches *class_*."""
        known = self._known.get(class_)
        if known is None:
            parts = class_.split(".")
            known = any(_matches(pattern, parts) for pattern in self._patterns)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[class_] = known
        return known


def _matches(pattern: list[str], parts: list[str]) -> bool:
    if len(parts) < len(pattern) or (len(parts) > len(pattern) and pattern[-1] != "*"):
        return False
    return all(want in ("*", part) for want, part in zip(pattern, parts, strict=False))
