"""The plugins of this daemon: found, registered whole or not at all, loaded and let go, at start and at run time.

Built-in plugins run inside; all others run in a process of their own, and only their manifests are read here.
"""

from __future__ import annotations

import selectors
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pcifma.access.seam import HYPERCALL
from pcifma.errors import LogUnavailableError, PcifmaError, PluginError
from pcifma.fmd import config as configuration
from pcifma.fmd.child.nursery import Nursery
from pcifma.fmd.child.plugin import ChildPlugin
from pcifma.fmd.child.process import Limits
from pcifma.fmd.child.public import Public
from pcifma.fmd.config import Config
from pcifma.fmd.engine.engine import Engine
from pcifma.fmd.engine.module import Registration
from pcifma.fmd.loop import Loop
from pcifma.fmd.path import Paths
from pcifma.plugin import loader
from pcifma.plugin.guard import line
from pcifma.plugin.manifest import Manifest
from pcifma.poll.poller import Poller

Status = Literal["active", "failed", "loading"]
# Listening that costs those whom it watches something: only where the setting says so.
_ASKED_FOR = {HYPERCALL: "xpv.listen"}


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


@dataclass(frozen=True, slots=True)
class Found:
    """The plugins that can be found, by name; *complaints* about others, of which *refused* are the directories' names."""

    candidates: dict[str, Candidate] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)


def find(config: Config, paths: Paths, *, trusted: frozenset[int]) -> Found:
    """What there is to load. *trusted*: uids that may own plugin directories."""
    found = Found()
    for origin, path in _places(config, paths, found.complaints):
        try:
            if origin == "directory":
                loader.check_owner(path, trusted)
            candidate = Candidate(loader.read_manifest(path), origin, path)
        except (PcifmaError, OSError) as err:
            found.complaints.append(str(err))
            found.refused.add(path.name)
            continue
        first = found.candidates.setdefault(candidate.name, candidate)
        if first is not candidate:
            found.complaints.append(f"{path}: plugin {candidate.name} is there already, from {first.path}: rename one of them")
    return found


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


def heeded(streams: Iterable[str], config: Config) -> tuple[str, ...]:
    """Those of *streams* that *config* lets be listened to."""
    return tuple(stream for stream in streams if stream not in _ASKED_FOR or config.flag(_ASKED_FOR[stream]))


def check(config: Config, paths: Paths, *, trusted: frozenset[int]) -> list[str]:
    """What is wrong with the plugins and with what the configuration says of them."""
    found = find(config, paths, trusted=trusted)
    return [*found.complaints, *misconfigured(config, paths, found)]


def misconfigured(config: Config, paths: Paths, found: Found) -> list[str]:
    """What is wrong with what the configuration says of the plugins. Of one that is refused, nothing can be said."""
    manifests = {name: candidate.manifest for name, candidate in found.candidates.items()}
    mistakes = configuration.check_modules(config, manifests, unknown=found.refused)
    unknown = [name for name in config.texts("plugins.disable") if name not in manifests.keys() | found.refused]
    where = config.files[-1] if config.files else paths.config
    return [*mistakes, *(f"{where}: $.plugins.disable: no plugin {name}" for name in unknown)]


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
    """Where plugins are found, who may own their directories, where processes for them come from, what those may see of this host."""

    config: Config
    paths: Paths
    trusted: frozenset[int]
    nursery: Nursery | None
    public: Public | None = None


@dataclass(slots=True)
class _Held:
    candidate: Candidate
    plugin: loader.Plugin | ChildPlugin | None = None
    why: str = ""
    since: int | None = None


class Roster:
    """Loads candidates into *poller* and *engine*."""

    def __init__(self, where: Where, loop: Loop, say: Callable[[str], None]) -> None:
        self._config, self._paths, self._trusted, self._where = where.config, where.paths, where.trusted, where
        self._loop, self._say = loop, say
        self._held: dict[str, _Held] = {}
        self._poller: Poller | None = None
        self._engine: Engine | None = None

    def prepare(self) -> list[loader.Plugin | ChildPlugin]:
        """Find what there is and load what is built in; the sources, for a poller. What cannot be loaded is said, and stays away.

        Third-party plugins follow with `attach`: looking does not wait for their processes.
        """
        found = Found() if self._held else self._find()  # storage failed after the first time: they are here
        disabled = self._config.texts("plugins.disable")
        for candidate in found.candidates.values():
            if candidate.name not in disabled:
                held = self._held[candidate.name] = _Held(candidate)
                if candidate.origin == "built-in":
                    self._try(held, self._load_now)
        return [held.plugin for held in self._held.values() if held.plugin is not None and held.candidate.manifest.kind == "source"]

    def _find(self) -> Found:
        found = find(self._config, self._paths, trusted=self._trusted)
        for complaint in found.complaints:
            self._say(complaint)
        return found

    def streams(self) -> tuple[str, ...]:
        """The Host streams that the sources listen to, as far as the operator lets them."""
        sources = (held.candidate.manifest for held in self._held.values())
        return heeded(dict.fromkeys(stream for manifest in sources for stream in manifest.streams), self._config)

    def _load_now(self, held: _Held) -> None:
        self._hold(held, self._start(held.candidate))

    def _try(self, held: _Held, step: Callable[[_Held], None]) -> None:
        # One plugin that cannot be had keeps no other away.
        try:
            step(held)
        except LogUnavailableError:
            raise
        except PcifmaError as err:
            self._refuse(held, err)

    def _refuse(self, held: _Held, err: PcifmaError) -> None:
        held.why = str(err)
        self._say(held.why)
        self._end(held)

    def attach(self, poller: Poller, engine: Engine) -> None:
        """From now on sources go to *poller* and modules to *engine*: those that are prepared, and those loaded later."""
        self._poller, self._engine = poller, engine
        since = engine.log.committed
        waiting = []
        for held in self._held.values():
            if held.plugin is None and not held.why:
                waiting.append(held)
            elif held.plugin is not None and held.candidate.manifest.kind == "module":
                self._try(held, self._register)
        if waiting:
            for held in waiting:
                held.since = since  # as if it had been there from the start
            threading.Thread(target=self._load_each, args=(waiting,), name="load", daemon=True).start()

    def load(self, name: str, done: Callable[[PcifmaError | None], None], *, path: str = "") -> None:
        """Load the plugin *name*, found anew, and at *path* if that is said; *done* is called on the loop's thread. PluginError if it is
        loaded, or not there.
        """
        held = self._held.get(name)
        if held is not None and self._status(held) != "failed":
            raise PluginError(f"plugin {name} is {self._status(held)} already: unload it first")
        found = find(self._config, self._paths, trusted=self._trusted)
        candidate = found.candidates.get(name)
        if candidate is None:
            related = [text for text in found.complaints if name in text]
            raise PluginError(related[0] if related else f"no plugin {name}: there is {', '.join(sorted(found.candidates))}")
        if path and candidate.path.resolve() != Path(path).resolve():
            raise PluginError(f"plugin {name} is at {candidate.path}: plugins come from the directories that the configuration names")
        if held is not None:
            self.unload(name)
        self._load_later(candidate, done)

    def _load_later(self, candidate: Candidate, done: Callable[[PcifmaError | None], None]) -> None:
        held = self._held[candidate.name] = _Held(candidate)
        threading.Thread(target=self._load, args=(held, done), name="load", daemon=True).start()

    def _load_each(self, waiting: list[_Held]) -> None:
        for held in waiting:
            self._load(held, lambda err: None if err is None else self._say(str(err)))

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
        self._end(held)
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

    def reconfigure(self, config: Config) -> list[str]:
        """Load, let go and load again what *config* says otherwise; what is done, in a few words each.

        A plugin that is loading just now stays as it is, and is named.
        """
        old, self._config = self._config, config
        found, done = self._find(), []
        disabled = config.texts("plugins.disable")
        wanted = {name: candidate for name, candidate in found.candidates.items() if name not in disabled}
        for name, held in list(self._held.items()):
            if self._same(held, wanted.get(name), old):
                continue
            if self._status(held) == "loading":
                done.append(f"plugin {name} is still loading: send SIGHUP again")
                continue
            self.unload(name)
            done += [] if name in wanted else [f"plugin {name} unloaded"]
        for name in sorted(wanted.keys() - self._held.keys()):
            self._load_later(wanted[name], self._say_failure)
            done.append(f"plugin {name} loaded")
        return done

    def _say_failure(self, err: PcifmaError | None) -> None:
        if err is not None:
            self._say(str(err))

    # True where nothing that *held* was made of has changed. A failed one is tried again.
    def _same(self, held: _Held, candidate: Candidate | None, old: Config) -> bool:
        if candidate != held.candidate or self._status(held) == "failed":
            return False
        values = [configuration.properties(config, candidate.manifest)[0] for config in (old, self._config)]
        limits = [_limits(config) for config in (old, self._config)] if candidate.origin != "built-in" else [None, None]
        return values[0] == values[1] and limits[0] == limits[1]

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
        self._end(held)

    def tend(self) -> None:
        """End the processes of plugins that were set aside: nobody calls them any more. Set aside those that are busy uncalled."""
        for held in self._held.values():
            if not isinstance(held.plugin, ChildPlugin) or held.plugin.child.dead:
                continue
            if self._status(held) == "failed":
                held.why = self._why(held)
                self._end(held)
            elif not held.plugin.child.idle():
                self._notice(held)

    def _end(self, held: _Held) -> None:
        if isinstance(held.plugin, ChildPlugin):
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
        nursery, public, place = self._where.nursery, self._where.public, (candidate.path, candidate.origin)
        if nursery is None:
            raise PluginError(f"plugin {candidate.name}: no process can be started for it here")
        return ChildPlugin.start(candidate.manifest, place, nursery, _limits(self._config), public=public)

    def _hold(self, held: _Held, plugin: loader.Plugin | ChildPlugin) -> None:
        held.plugin = plugin
        if isinstance(plugin, ChildPlugin):
            child, fd = plugin.child, plugin.child.fileno()
            child.on_end = lambda: self._loop.remove(fd)
            self._loop.add(fd, selectors.EVENT_READ, lambda: self._lost(held))

    def _lost(self, held: _Held) -> None:
        # Its process has ended between two calls: whoever calls it sets it aside, and says so.
        assert isinstance(held.plugin, ChildPlugin)
        self._loop.remove(held.plugin.child.fileno())
        self._notice(held)

    def _notice(self, held: _Held) -> None:
        assert isinstance(held.plugin, ChildPlugin)
        child = held.plugin.child
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
            Registration(
                manifest.name, manifest.version, held.plugin.open, tuple(manifest.subscribe), values, manifest.planned, since=held.since
            )
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
        return next((line(guard.failed) for guard in guards if guard.failed is not None), "")


def _limits(config: Config) -> Limits:
    return Limits(int(config.number("child.memory")), config.number("child.deadline"))

