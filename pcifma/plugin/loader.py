"""Finds and registers plugins: built in, in a plugin directory, from the entry point group `pcifma.plugins`.

A plugin is registered whole or not at all; every error names the plugin's file and what to change. Built-in plugins were checked when
they were built: their manifests stand together in one compiled index, and their code is imported when it is first used.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal, cast

from pcifma.access.seam import Host
from pcifma.errors import PluginError
from pcifma.fabric.fabric import Fabric
from pcifma.plugin import API_VERSION
from pcifma.plugin.data import load_data
from pcifma.plugin.guard import line
from pcifma.plugin.manifest import Manifest, checked, compiled, glob_parts
from pcifma.plugin.watch import Finding, Snapshot, Watch

if TYPE_CHECKING:
    from importlib import metadata

    from pcifma.plugin.module import Module, Services, Source

Origin = Literal["built-in", "directory", "entry-point"]
GROUP = "pcifma.plugins"
INDEX = "index.json"  # the manifests of the built-in plugins; hatch_build.py writes it
_HOPS = 1000  # names and links on the way to one place; the kernel gives up after 40 links
_NAME = r"[a-z][a-z0-9_]{0,39}"

# What each kind must define, and with how many positional arguments.
_HOOKS: dict[str, dict[str, int]] = {
    "source": {"watches": 2, "normalise": 2},
    "module": {"open": 1},
}


class Registered:
    """A plugin by its *manifest*, wherever its code runs."""

    __slots__ = ()
    manifest: Manifest

    @property
    def name(self) -> str:
        """The manifest's name."""
        return self.manifest.name

    @property
    def source(self) -> Source:
        """The two functions of a source plugin; PluginError for a module."""
        if self.manifest.kind != "source":
            raise PluginError(f"plugin {self.name} is a module, not a source")
        return self._source()

    def _source(self) -> Source:
        raise NotImplementedError


class Plugin(Registered):
    """A registered plugin in this process. *code* is its Python module; *path* its directory."""

    def __init__(self, manifest: Manifest, origin: Origin, path: Path) -> None:
        self.manifest, self.origin, self.path = manifest, origin, path

    @cached_property
    def code(self) -> ModuleType:
        """The plugin's module, imported now if it was not yet; PluginError."""
        return _import(self.path, self.name, self.origin)

    def _source(self) -> Source:
        return _Source(self)

    def open(self, services: Services) -> Module:
        """Start a module plugin with its *services*."""
        return cast("Callable[[Services], Module]", self.code.open)(services)


class _Source:
    # The two functions of a source; its code is not touched where no Function has what it is about.

    def __init__(self, plugin: Plugin) -> None:
        self._plugin = plugin
        self._capabilities = plugin.manifest.capabilities

    def watches(self, fabric: Fabric, host: Host) -> Iterable[Watch]:
        if self._capabilities and fabric.capabilities.isdisjoint(self._capabilities):
            return ()
        return cast("Iterable[Watch]", self._plugin.code.watches(fabric, host))

    def normalise(self, now: Snapshot, before: Snapshot | None) -> Iterable[Finding]:
        return cast("Iterable[Finding]", self._plugin.code.normalise(now, before))


def builtin_directory() -> Path:
    """Where the built-in plugins are: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    shipped = package / "builtin"
    return shipped if shipped.is_dir() else package.parent / "plugins"


def builtin(names: Sequence[str] = ()) -> list[Plugin]:
    """The built-in plugins (all, or those named), in name order."""
    directory = builtin_directory()
    return [Plugin(m, "built-in", directory / m.name) for m in _builtin_manifests(directory) if not names or m.name in names]


def _builtin_manifests(directory: Path) -> list[Manifest]:
    index = directory / INDEX
    if index.is_file():
        return [compiled(row) for row in json.loads(index.read_bytes())]
    return [read_manifest(path) for path in subdirectories(directory)]


def installed() -> list[Plugin]:
    """The built-in plugins, and those that other distributions registered."""
    return [*builtin(), *from_entry_points()]


def sources() -> list[Plugin]:
    """Those of the installed plugins that are sources."""
    return [plugin for plugin in installed() if plugin.manifest.kind == "source"]


def from_directory(directory: Path) -> list[Plugin]:
    """The plugins in a plugin directory, which must be safe: owned by root or the effective user, written by nobody else."""
    check_owner(directory)
    found = []
    for path in subdirectories(directory):
        check_owner(path)
        found.append(load(path, "directory"))
    return found


def from_entry_points() -> list[Plugin]:
    """Plugins that other distributions registered; each entry point names a package that holds plugin.yaml and plugin.py."""
    return [load(_package_directory(point), "entry-point") for point in _entry_points()]


def entry_point_directories(complaints: list[str]) -> Iterator[tuple[Origin, Path]]:
    """Where those plugins are, nothing of them loaded; what cannot be found goes to *complaints*."""
    for point in _entry_points():
        try:
            yield "entry-point", _package_directory(point)
        except PluginError as err:
            complaints.append(str(err))


def load(directory: Path, origin: Origin) -> Plugin:
    """Register one plugin directory: manifest, code, hooks; PluginError if anything about it is wrong."""
    plugin = Plugin(read_manifest(directory), origin, directory)
    _check_hooks(plugin)
    return plugin


def read_manifest(directory: Path) -> Manifest:
    """The manifest of *directory*; its compiled form where there is one, else plugin.yaml."""
    path = directory / "plugin.yaml"
    try:
        manifest = checked(load_data(path))
    except ValueError as err:
        raise PluginError(f"{path}: {err}") from err
    if not re.fullmatch(_NAME, manifest.name):
        raise PluginError(f"{path}: $.name: {manifest.name!r} must be lower case letters, digits and _, starting with a letter")
    if manifest.api != API_VERSION:
        raise PluginError(f"{path}: $.api: is {manifest.api}, this pcifma speaks {API_VERSION}")
    for number, wanted in enumerate(manifest.subscribe):
        try:
            glob_parts(wanted)
        except PluginError as err:
            raise PluginError(f"{path}: $.subscribe[{number}]: plugin {manifest.name}: {err}") from err
    return manifest


def check_owner(directory: Path, trusted: frozenset[int] | None = None) -> None:
    """PluginError unless *directory*, what is in it, and all its parents belong to *trusted* users (default: root and the
    effective user), with no group or other write. A sticky parent, as /tmp, passes: there nobody can replace another's entry.
    """
    if not directory.is_dir():
        raise PluginError(f"{directory}: no such plugin directory")
    owners = trusted if trusted is not None else frozenset({0, os.geteuid()})
    todo, seen = [directory.absolute()], set[Path]()
    while todo:
        *way, there = _followed(todo.pop())
        for path in way:
            _check_owner(path, owners, directory, on_the_way=True)
        for path in [there, *sorted(there.rglob("*"))]:
            if path not in seen:
                seen.add(path)
                _check_owner(path, owners, directory)
                if path.is_symlink():  # what counts is where it leads, and who may change the way there
                    todo.append(path)


def _followed(path: Path) -> Iterator[Path]:
    # Each name that the kernel looks up on the way to *path*, links and what they lead through included.
    here, todo = Path("/"), list(reversed(path.parts[1:]))
    yield here
    for _ in range(_HOPS):
        if not todo:
            return
        part = todo.pop()
        if part == "..":
            here = here.parent
            continue
        here /= part
        yield here
        if here.is_symlink():
            target = here.readlink()
            todo += [part for part in reversed(target.parts) if part != "/"]
            here = Path("/") if target.is_absolute() else here.parent
    raise PluginError(f"{path}: too many links on the way there")


def _check_owner(path: Path, owners: frozenset[int], directory: Path, *, on_the_way: bool = False) -> None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return  # a link that leads nowhere
    sticky = on_the_way and stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
    if status.st_uid not in owners:
        raise PluginError(f"{path}: owned by uid {status.st_uid}: chown it to root, or plugins in {directory} are not loaded")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not sticky and not stat.S_ISLNK(status.st_mode):
        raise PluginError(f"{path}: writable by group or others: chmod go-w it, or plugins in {directory} are not loaded")


def subdirectories(directory: Path) -> Iterator[Path]:
    """The plugin directories in *directory*, in name order; PluginError if there is no such directory."""
    if not directory.is_dir():
        raise PluginError(f"{directory}: no such plugin directory")
    for path in sorted(directory.iterdir()):
        if (path / "plugin.yaml").is_file() or (path / "plugin.json").is_file():
            yield path


def _entry_points() -> Iterable[metadata.EntryPoint]:
    # importlib.metadata weighs 2.5 MiB: it is loaded where some distribution speaks of our group.
    if not any(map(_speaks_of_us, _entry_point_files())):
        return ()
    from importlib import metadata  # noqa: PLC0415 - see above

    return metadata.entry_points(group=GROUP)


def _entry_point_files() -> Iterator[Path]:
    for place in sys.path:
        try:
            names = os.listdir(place or ".")  # noqa: PTH208 - hundreds of names, of which a dozen are wanted
        except OSError:
            continue  # a zip file, or nothing that may be read
        yield from (Path(place, name, "entry_points.txt") for name in names if name.endswith((".dist-info", ".egg-info")))


def _speaks_of_us(path: Path) -> bool:
    try:
        return f"[{GROUP}]".encode() in path.read_bytes()
    except OSError:
        return False


# By paths: to import a package, or those around it, would run somebody else's code here.
def _package_directory(point: metadata.EntryPoint) -> Path:
    top, *below = point.module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except Exception as err:  # finders are somebody else's code too
        raise PluginError(f"entry point {point.name}: cannot find {point.module}: {line(err)}") from err
    places = (spec.submodule_search_locations if spec is not None else None) or ()
    found = next((path for place in places if (path := Path(place, *below)).is_dir()), None)
    if found is None:
        raise PluginError(f"entry point {point.name}: {point.module} is no package: name the package that holds plugin.yaml")
    return found


def _import(directory: Path, name: str, origin: Origin) -> ModuleType:
    path = directory / "plugin.py"
    qualified = f"pcifma_plugin_{name}" if origin != "built-in" else f"pcifma.builtin.{name}"
    spec = importlib.util.spec_from_file_location(qualified, path, submodule_search_locations=[str(directory)])
    if spec is None or spec.loader is None or not path.is_file():
        raise PluginError(f"{directory}: no plugin.py beside plugin.yaml")
    code = importlib.util.module_from_spec(spec)
    sys.modules[qualified] = code
    try:
        spec.loader.exec_module(code)
    except BaseException as err:  # somebody else's code, not registered: whole or not at all
        del sys.modules[qualified]
        if isinstance(err, KeyboardInterrupt):
            raise
        raise PluginError(f"{path}: cannot be imported: {line(err)}") from err
    return code


def _check_hooks(plugin: Plugin) -> None:

    wrong = []
    for hook, arguments in _HOOKS[plugin.manifest.kind].items():
        function = getattr(plugin.code, hook, None)
        if not callable(function):
            wrong.append(f"{hook}() is missing")
        elif not _accepts(function, arguments):
            wrong.append(f"{hook}{_signature(function)} must take {arguments} arguments")
    if wrong:
        raise PluginError(f"{plugin.path / 'plugin.py'}: plugin {plugin.name} ({plugin.manifest.kind}): {'; '.join(wrong)}")


def _signature(function: Callable[..., object]) -> str:
    import inspect  # noqa: PLC0415 - see above

    try:
        return str(inspect.signature(function))
    except (TypeError, ValueError):  # callable, and no function
        return "()"


def _accepts(function: Callable[..., object], arguments: int) -> bool:
    import inspect  # noqa: PLC0415 - see above

    try:
        inspect.signature(function).bind(*range(arguments))
    except (TypeError, ValueError):
        return False
    return True
