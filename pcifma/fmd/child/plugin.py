"""A plugin of somebody else as the daemon sees it: source and module proxies in front of its process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pcifma.access.seam import Host
from pcifma.errors import PluginError
from pcifma.event.case import ListEvent
from pcifma.event.ereport import Ereport
from pcifma.event.line import encode
from pcifma.fabric.fabric import Fabric
from pcifma.fmd.child import message
from pcifma.fmd.child.desk import Desk
from pcifma.fmd.child.nursery import Nursery
from pcifma.fmd.child.process import Child, Limits
from pcifma.fmd.child.public import WHY, Public, PublicHost
from pcifma.plugin.loader import Registered
from pcifma.plugin.manifest import Manifest
from pcifma.plugin.module import Module, Services, Source
from pcifma.plugin.watch import Finding, Snapshot, Watch

Foreign = Literal["directory", "entry-point"]


class ChildSource:
    """Source, called in its process."""

    def __init__(self, child: Child, public: Public | None) -> None:
        self._child, self._public = child, public

    def watches(self, fabric: Fabric, host: Host) -> Iterable[Watch]:
        """As Source.watches; PluginError."""
        seen = host if self._public is None else PublicHost(host, self._public)
        found = self._child.call(message.Watches(message.Tree.of(fabric)), message.Watched, Desk(seen)).watches
        if self._public is not None:
            for fact in dict.fromkeys(fact for watch in found for fact in watch.facts):
                if not self._public.allows_fact(fact):
                    raise PluginError(f"fact {fact}: {WHY}")
        return found

    def normalise(self, now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
        """As Source.normalise; PluginError."""
        return self._child.look(now.tick, message.Normalise(now, before), message.Found).findings


class ChildModule:
    """Module, called in its process."""

    def __init__(self, child: Child, services: Services, public: Public | None) -> None:
        self._child, self._services = child, services
        self._desk = Desk(None if public is None else PublicHost(services.host, public), services)
        opened = message.Open(dict(services.properties), message.Tree.of(services.fabric), services.now_ns())
        child.call(opened, message.Done, self._desk)

    def recv(self, event: Ereport | ListEvent) -> None:
        """As Module.recv; PluginError."""
        self._child.call(message.Recv(encode(event), self._services.now_ns()), message.Done, self._desk)

    def timeout(self, timer: str, data: str) -> None:
        """As Module.timeout; PluginError."""
        self._child.call(message.Timeout(timer, data, self._services.now_ns()), message.Done, self._desk)

    def topo(self, fabric: Fabric) -> None:
        """As Module.topo; PluginError."""
        self._child.call(message.Topo(message.Tree.of(fabric), self._services.now_ns()), message.Done, self._desk)

    def stats(self) -> Mapping[str, int]:
        """As Module.stats; PluginError."""
        return self._child.call(message.Stats(), message.Counted, self._desk).values

    def close(self) -> None:
        """As Module.close, then the process ends; PluginError."""
        try:
            self._child.call(message.Close(), message.Done, self._desk)
        finally:
            self._child.close()


@dataclass(frozen=True, slots=True)
class ChildPlugin(Registered):
    """Stands where a loader.Plugin stands; *child* is its process, *public* what of this host it may see (None: a recording, all)."""

    manifest: Manifest
    origin: Foreign
    path: Path
    child: Child
    public: Public | None = None

    @classmethod
    def start(
        cls, manifest: Manifest, place: tuple[Path, Foreign], nursery: Nursery, limits: Limits, *, public: Public | None = None
    ) -> ChildPlugin:
        """Start its process; PluginError if it does not get ready."""
        child = Child.start(manifest.name, place, nursery, limits)
        return cls(manifest, place[1], place[0], child, public)

    def _source(self) -> Source:
        return ChildSource(self.child, self.public)

    def open(self, services: Services) -> Module:
        """Start a module plugin with its *services*."""
        return ChildModule(self.child, services, self.public)
