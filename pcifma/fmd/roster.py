"""The plugins of this daemon: found, registered whole or not at all, loaded and let go, at start and at run time.

Built-in plugins run inside; all others run in a process of their own, and only their manifests are read here.
"""

from __future__ import annotations

import selectors
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pcifma.errors import PcifmaError, PluginError
from pcifma.fmd import config as configuration
from pcifma.fmd.child.nursery import Nursery
from pcifma.fmd.child.plugin import ChildPlugin
from pcifma.fmd.child.process import Limits
from pcifma.fmd.config import Config
from pcifma.fmd.engine.engine import Engine
from pcifma.fmd.engine.module import Registration
from pcifma.fmd.loop import Loop
from pcifma.fmd.path import Paths
from pcifma.plugin import loader
from pcifma.plugin.manifest import Manifest
from pcifma.poll.poller import Poller

Status = Literal["active", "failed", "loading"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plugin that could be loaded: its manifest, where it is from, its directory."""

    manifest: Manifest
    origin: loader.Origin
    path: Path

    @property
    def name(self) -> str:
        """The manifest's name."""
        return self.manifest.name


def candidates(config: Config, paths: Paths, *, trusted: frozenset[int]) -> tuple[dict[str, Candidate], list[str]]:
    """All plugins that can be found, by name, and what is wrong with the others. *trusted*: uids that may own plugin directories."""
    found: dict[str, Candidate] = {}
    complaints: list[str] = []
    for origin, path in _places(config, paths, complaints):
        try:
            if origin == "directory":
                loader.check_owner(path, trusted)
            candidate = Candidate(loader.read_manifest(path), origin, path)
        except PluginError as err:
            complaints.append(str(err))
            continue
        if candidate.name in found:
            complaints.append(f"{path}: plugin {candidate.name} is there already, from {found[candidate.name].path}: rename one of them")
            continue
        found[candidate.name] = candidate
    return found, complaints


def _places(config: Config, paths: Paths, complaints: list[str]) -> Iterator[tuple[loader.Origin, Path]]:
    yield from (("built-in", path) for path in loader.subdirectories(loader.builtin_directory()))
    directories = [Path(text) for text in config.texts("plugins.directories")]
    if paths.plugins.is_dir():
        directories.insert(0, paths.plugins)
    for directory in directories:
        try:
            yield from (("directory", path) for path in loader.subdirectories(directory))
        except (PluginError, OSError) as err:
            complaints.append(str(err))
    if config.flag("plugins.entry_points"):
        yield from loader.entry_point_directories(complaints)


def check(config: Config, paths: Paths, *, trusted: frozenset[int]) -> list[str]:
    """What is wrong with the plugins and with what the configuration says of them."""
    found, complaints = candidates(config, paths, trusted=trusted)
    mistakes = configuration.check_modules(config, {name: candidate.manifest for name, candidate in found.items()})
    unknown = [name for name in config.texts("plugins.disable") if name not in found]
    where = config.files[-1] if config.files else paths.config
    return [*complaints, *mistakes, *(f"{where}: $.plugins.disable: no plugin {name}" for name in unknown)]


@dataclass(frozen=True, slots=True)
class Row:
    """One plugin as `pcifma config` lists it."""

    name: str
    version: str
    kind: str
    origin: str
    status: Status
    why: str
    about: str


@dataclass(frozen=True, slots=True)
class Where:
    """Where plugins are found, who may own their directories, and where processes for them come from (None: from nowhere)."""

    config: Config
    paths: Paths
    trusted: frozenset[int]
    nursery: Nursery | None


@dataclass(slots=True)
class _Held:
    candidate: Candidate
    plugin: loader.Plugin | ChildPlugin | None = None
    why: str = ""


class Roster:
    """Loads candidates into *poller* and *engine*."""

    def __init__(self, where: Where, loop: Loop, say: Callable[[str], None]) -> None:
        self._config, self._paths, self._trusted, self._nursery = where.config, where.paths, where.trusted, where.nursery
        self._loop, self._say = loop, say
        self._held: dict[str, _Held] = {}
        self._poller: Poller | None = None
        self._engine: Engine | None = None

    def prepare(self) -> list[loader.Plugin | ChildPlugin]:
        """Load whatever is found and not disabled; the sources, for a poller. What cannot be loaded is said, and stays away."""
        found, complaints = candidates(self._config, self._paths, trusted=self._trusted)
        for complaint in complaints:
            self._say(complaint)
        disabled = self._config.texts("plugins.disable")
        for candidate in found.values():
            if candidate.name not in disabled:
                self._prepare(candidate)
        return [held.plugin for held in self._held.values() if held.plugin is not None and held.candidate.manifest.kind == "source"]

    def streams(self) -> tuple[str, ...]:
        """The Host streams that the sources listen to."""
        sources = (held.candidate.manifest for held in self._held.values() if held.plugin is not None)
        return tuple(dict.fromkeys(stream for manifest in sources for stream in manifest.streams))

    def _prepare(self, candidate: Candidate) -> None:
        held = self._held[candidate.name] = _Held(candidate)
        try:
            self._hold(held, self._start(candidate))
        except PcifmaError as err:
            held.why = str(err)
            self._say(held.why)

    def attach(self, poller: Poller, engine: Engine) -> None:
        """From now on sources go to *poller* and modules to *engine*: those that are prepared, and those loaded later."""
        self._poller, self._engine = poller, engine
        for held in self._held.values():
            if held.plugin is not None and held.candidate.manifest.kind == "module":
                self._register(held)

    def load(self, name: str, done: Callable[[PcifmaError | None], None]) -> None:
        """Load the plugin *name*, found anew; *done* is called on the loop's thread. PluginError if it is loaded or not there."""
        held = self._held.get(name)
        if held is not None and self._status(held) != "failed":
            raise PluginError(f"plugin {name} is {self._status(held)} already: unload it first")
        found, complaints = candidates(self._config, self._paths, trusted=self._trusted)
        candidate = found.get(name)
        if candidate is None:
            related = [text for text in complaints if name in text]
            raise PluginError(related[0] if related else f"no plugin {name}: there is {', '.join(sorted(found))}")
        if held is not None:
            self.unload(name)
        held = self._held[name] = _Held(candidate)
        threading.Thread(target=self._load, args=(held, done), name="load", daemon=True).start()

    def _load(self, held: _Held, done: Callable[[PcifmaError | None], None]) -> None:
        # Off the loop's thread: starting a process and importing what it needs takes its time.
        try:
            plugin = self._start(held.candidate)
        except PcifmaError as err:
            failure = err
            self._loop.post(lambda: self._failed(held, failure, done))
            return
        self._loop.post(lambda: self._loaded(held, plugin, done))

    def _failed(self, held: _Held, err: PcifmaError, done: Callable[[PcifmaError | None], None]) -> None:
        held.why = str(err)
        done(err)

    def _loaded(self, held: _Held, plugin: loader.Plugin | ChildPlugin, done: Callable[[PcifmaError | None], None]) -> None:
        assert self._poller is not None
        self._hold(held, plugin)
        try:
            if held.candidate.manifest.kind == "module":
                self._register(held)
            else:
                self._poller.load(plugin)
        except PcifmaError as err:
            self._failed(held, err, done)
            return
        done(None if self._status(held) == "active" else PluginError(self._why(held)))

    def unload(self, name: str) -> None:
        """Let the plugin *name* go; its cases and what it has checkpointed stay. PluginError if there is none."""
        held = self._held.get(name)
        if held is None or self._status(held) == "loading":
            raise PluginError(f"plugin {name} is {'still loading' if held else 'not loaded'}: `pcifma config` lists the plugins")
        if self._engine is not None and name in self._engine.modules:
            self._engine.unregister(name)
        elif self._poller is not None and held.candidate.manifest.kind == "source":
            self._poller.unload(name)
        del self._held[name]
        if isinstance(held.plugin, ChildPlugin):
            if not held.plugin.child.dead:
                self._loop.remove(held.plugin.child.fileno())
            held.plugin.child.close()

    def rows(self) -> list[Row]:
        """What is loaded, in name order."""
        rows = []
        for name, held in sorted(self._held.items()):
            manifest = held.candidate.manifest
            status = self._status(held)
            rows.append(Row(name, manifest.version, manifest.kind, held.candidate.origin, status, self._why(held), manifest.about))
        return rows

    def close(self) -> None:
        """End every plugin's process; modules are closed by the engine."""
        for held in self._held.values():
            if isinstance(held.plugin, ChildPlugin):
                held.plugin.child.close()

    def _start(self, candidate: Candidate) -> loader.Plugin | ChildPlugin:
        configuration.fail(configuration.properties(self._config, candidate.manifest)[1])
        if candidate.origin == "built-in":
            return loader.load(candidate.path, candidate.origin)
        if self._nursery is None:
            raise PluginError(f"plugin {candidate.name}: no process can be started for it here")
        limits = Limits(int(self._config.number("child.memory")), self._config.number("child.deadline"))
        return ChildPlugin.start(candidate.manifest, (candidate.path, candidate.origin), self._nursery, limits)

    def _hold(self, held: _Held, plugin: loader.Plugin | ChildPlugin) -> None:
        held.plugin = plugin
        if isinstance(plugin, ChildPlugin):
            child = plugin.child
            self._loop.add(child.fileno(), selectors.EVENT_READ, lambda: self._lost(held))

    def _lost(self, held: _Held) -> None:
        # Its process has ended between two calls: whoever calls it sets it aside, and says so.
        assert isinstance(held.plugin, ChildPlugin)
        child = held.plugin.child
        self._loop.remove(child.fileno())
        if self._engine is not None and held.candidate.name in self._engine.modules:
            self._engine.statistics(held.candidate.name)
        elif self._poller is not None:
            for watcher in self._poller.watchers:
                if watcher.plugin is held.plugin:
                    watcher.guard.call(child.check)

    def _register(self, held: _Held) -> None:
        assert held.plugin is not None and self._engine is not None
        manifest = held.candidate.manifest
        values, _ = configuration.properties(self._config, manifest)
        self._engine.register(
            Registration(manifest.name, manifest.version, held.plugin.open, tuple(manifest.subscribe), values, manifest.planned)
        )

    def _status(self, held: _Held) -> Status:
        if self._why(held):
            return "failed"
        return "loading" if held.plugin is None else "active"

    def _why(self, held: _Held) -> str:
        if held.why:
            return held.why
        name = held.candidate.name
        if self._engine is not None and name in self._engine.modules:
            return self._engine.modules[name].failed
        guards = [w.guard for w in self._poller.watchers if w.plugin is held.plugin] if self._poller is not None else []
        return next((str(guard.failed) for guard in guards if guard.failed is not None), "")

