"""Finds and registers plugins: built in, in a plugin directory, from the entry point group `pcifma.plugins`.

A plugin is registered whole or not at all; every error names the plugin's file and what to change.
"""

from __future__ import annotations

import glob
import importlib.util
import inspect
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal, cast

import msgspec

from pcifma.errors import PluginError
from pcifma.plugin import API_VERSION
from pcifma.plugin.data import load_data
from pcifma.plugin.guard import line
from pcifma.plugin.manifest import Manifest, glob_parts
from pcifma.plugin.module import Module, Services, Source

if TYPE_CHECKING:
    from importlib import metadata

Origin = Literal["built-in", "directory", "entry-point"]
GROUP = "pcifma.plugins"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")

# What each kind must define, and with how many positional arguments.
_HOOKS: dict[str, dict[str, int]] = {
    "source": {"watches": 2, "normalise": 2},
    "module": {"open": 1},
}


@dataclass(frozen=True, slots=True)
class Plugin:
    """A registered plugin. *code* is its Python module; *path* its directory."""

    manifest: Manifest
    code: ModuleType
    origin: Origin
    path: Path

    @property
    def name(self) -> str:
        """The manifest's name."""
        return self.manifest.name

    @property
    def source(self) -> Source:
        """The two functions of a source plugin; PluginError for a module."""
        if self.manifest.kind != "source":
            raise PluginError(f"plugin {self.name} is a module, not a source")
        return cast(Source, self.code)

    def open(self, services: Services) -> Module:
        """Start a module plugin with its *services*."""
        return cast(Callable[[Services], Module], self.code.open)(services)


def builtin_directory() -> Path:
    """Where the built-in plugins are: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    shipped = package / "builtin"
    return shipped if shipped.is_dir() else package.parent / "plugins"


def builtin(names: Sequence[str] = ()) -> list[Plugin]:
    """The built-in plugins (all, or those named), in name order."""
    return [load(path, "built-in") for path in subdirectories(builtin_directory()) if not names or path.name in names]


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
    manifest = read_manifest(directory)
    code = _import(directory, manifest.name, origin)
    plugin = Plugin(manifest, code, origin, directory)
    _check_hooks(plugin)
    return plugin


def read_manifest(directory: Path) -> Manifest:
    """The manifest of *directory*; its compiled form where there is one, else plugin.yaml."""
    path = directory / "plugin.yaml"
    try:
        manifest = msgspec.convert(load_data(path), Manifest)
    except msgspec.ValidationError as err:
        raise PluginError(f"{path}: {err}") from err
    if not _NAME.fullmatch(manifest.name):
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
    here = directory.resolve()
    owners = trusted if trusted is not None else frozenset({0, os.geteuid()})
    for path in [here, *sorted(here.rglob("*")), *here.parents]:
        status = path.lstat()
        sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX and path in here.parents
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
    # importlib.metadata weighs 2.5 MiB: it is loaded where some distribution speaks of our group. glob passes over what it may not read.
    patterns = (f"{glob.escape(place or '.')}/*.*-info/entry_points.txt" for place in sys.path)
    listed = (path for pattern in patterns for path in glob.iglob(pattern))  # noqa: PTH207
    if not any(_speaks_of_us(Path(path)) for path in listed):
        return ()
    from importlib import metadata  # noqa: PLC0415 - see above

    return metadata.entry_points(group=GROUP)


def _speaks_of_us(path: Path) -> bool:
    try:
        return f"[{GROUP}]" in path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _package_directory(point: metadata.EntryPoint) -> Path:
    try:
        spec = importlib.util.find_spec(point.module)
    except Exception as err:  # finding a package imports those around it: somebody else's code
        raise PluginError(f"entry point {point.name}: cannot find {point.module}: {line(err)}") from err
    if spec is None or not spec.submodule_search_locations:
        raise PluginError(f"entry point {point.name}: {point.module} is no package: name the package that holds plugin.yaml")
    return Path(next(iter(spec.submodule_search_locations)))


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
    try:
        return str(inspect.signature(function))
    except (TypeError, ValueError):  # callable, and no function
        return "()"


def _accepts(function: Callable[..., object], arguments: int) -> bool:
    try:
        inspect.signature(function).bind(*range(arguments))
    except (TypeError, ValueError):
        return False
    return True
