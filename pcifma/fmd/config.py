"""The configuration: one YAML file and conf.d, checked as a whole before anything starts.

Later files win, setting by setting. Every mistake is found in one go and said as `file: $.path: what and remedy`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from pcifma.errors import ConfigError, FormatError
from pcifma.fmd.path import Paths
from pcifma.fmd.property import typed
from pcifma.fmd.setting import SETTINGS, Setting, default_of
from pcifma.plugin.manifest import Manifest
from pcifma.plugin.module import PropertyValue
from pcifma.regs.bdf import Bdf

_SIZE_LIMIT = 256 << 10
_SECTIONS = {name.partition(".")[0] for name in SETTINGS if "." in name}
_MODULES = "modules"
_RETIRE = ("cpu", "page", "io")
_TOP = sorted({name for name in SETTINGS if "." not in name} | _SECTIONS | {_MODULES})


@dataclass(frozen=True, slots=True)
class Raw:
    """A value that waits for its plugin's manifest, and the file it came from."""

    value: object
    file: Path


@dataclass(frozen=True)
class Config:
    """Typed settings by dotted name, defaults filled in. *modules*: properties of plugins, not yet typed. *files*: what was
    read; *slots*: the site's slots.yaml, sound."""

    values: Mapping[str, PropertyValue] = field(default_factory=dict)
    modules: Mapping[str, Mapping[str, Raw]] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    slots: bytes | None = None

    def value(self, name: str) -> PropertyValue:
        """The setting *name*, or its default; KeyError for an unknown name."""
        return self.values[name] if name in self.values else default_of(name)

    def number(self, name: str) -> float:
        """A time (seconds), size (bytes) or number."""
        return cast(float, self.value(name))

    def text(self, name: str) -> str:
        """A text."""
        return cast(str, self.value(name))

    def texts(self, name: str) -> list[str]:
        """A list of texts."""
        return cast("list[str]", self.value(name))

    def flag(self, name: str) -> bool:
        """A truth value."""
        return cast(bool, self.value(name))

    def is_set(self, name: str) -> bool:
        """True if a file says so, and not the default."""
        return name in self.values


def read(paths: Paths, file: Path | None = None) -> Config:
    """Read *file* (default: the one below the root, which need not exist) and conf.d; ConfigError with every mistake."""
    config, mistakes = examine(paths, file)
    fail(mistakes)
    return config


def examine(paths: Paths, file: Path | None = None) -> tuple[Config, list[str]]:
    """As *read*, with the mistakes beside what could be read."""
    mistakes: list[str] = []
    values: dict[str, PropertyValue] = {}
    modules: dict[str, dict[str, Raw]] = {}
    files = list(_files(paths, file, mistakes))
    for path in files:
        content = _content(path, mistakes)
        _take(path, content, values, modules, mistakes)
    return Config(values, modules, tuple(files), _slots(paths.slots, mistakes)), mistakes


def _slots(path: Path, mistakes: list[str]) -> bytes | None:
    from pcifma.fabric import site  # noqa: PLC0415 - where a site names no slots, nobody needs it

    data = _bytes(path, mistakes) if path.exists() else None
    if data is not None:
        try:
            site.parse(data, str(path))
        except ConfigError as err:
            mistakes += str(err).splitlines()
    return data


def fail(mistakes: Iterable[str]) -> None:
    """ConfigError with all *mistakes*, a line each, if there are any."""
    if found := list(mistakes):
        raise ConfigError("\n".join(found))


def properties(config: Config, manifest: Manifest) -> tuple[dict[str, PropertyValue], list[str]]:
    """The properties of one plugin, typed, defaults filled in; and the mistakes in what the files say of it."""
    mistakes: list[str] = []
    found: dict[str, PropertyValue] = {}
    said = config.modules.get(manifest.name, {})
    for name, raw in said.items():
        if name not in manifest.properties:
            mistakes.append(f"{raw.file}: $.modules.{manifest.name}.{name}: no such property{_near(name, manifest.properties)}")
    for name, declared in manifest.properties.items():
        try:
            found[name] = typed(declared.type, said[name].value if name in said else declared.default)
        except ValueError as err:
            where = said[name].file if name in said else f"plugin {manifest.name}"
            mistakes.append(f"{where}: $.modules.{manifest.name}.{name}: {err}")
    return found, mistakes


def check_modules(config: Config, manifests: Mapping[str, Manifest], *, unknown: Collection[str] = ()) -> list[str]:
    """The mistakes in `modules`: plugins that are not there, properties that they do not have, values of the wrong type.

    Of plugins that are *unknown*, present but not readable, nothing is said.
    """
    mistakes = []
    for name, said in config.modules.items():
        if name not in manifests and name not in unknown:
            files = sorted({str(raw.file) for raw in said.values()}) or [str(config.files[-1])]
            mistakes += [f"{file}: $.modules.{name}: no such plugin{_near(name, manifests)}" for file in files]
    for manifest in manifests.values():
        mistakes += properties(config, manifest)[1]
    return mistakes


def _files(paths: Paths, file: Path | None, mistakes: list[str]) -> Iterator[Path]:
    if file is not None or paths.config.exists():
        yield file or paths.config
    try:
        yield from sorted(p for p in paths.config_dir.iterdir() if p.suffix == ".yaml")
    except FileNotFoundError:
        return
    except OSError as err:
        mistakes.append(f"{paths.config_dir}: $: cannot be listed: {err.strerror}")


def _content(path: Path, mistakes: list[str]) -> object:
    data = _bytes(path, mistakes)
    return None if data is None else parse(path, data, mistakes)


def _bytes(path: Path, mistakes: list[str]) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(fd, "rb") as file:
            unsafe = _unsafe(os.fstat(fd))
            data = b"" if unsafe else file.read(_SIZE_LIMIT + 1)
    except OSError as err:
        mistakes.append(f"{path}: $: cannot be read: {err.strerror}")
        return None
    if unsafe or len(data) > _SIZE_LIMIT:
        mistakes.append(f"{path}: $: {unsafe or f'larger than {_SIZE_LIMIT >> 10} KiB'}")
        return None
    return data


def _unsafe(status: os.stat_result) -> str:
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    if status.st_uid not in {0, os.geteuid()}:
        return f"owned by uid {status.st_uid}: chown it to root"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "writable by group or others: chmod go-w it"
    return ""


def parse(path: Path, data: bytes, mistakes: list[str]) -> object:
    """YAML as plain values; None, and a mistake, where it is none."""
    from pcifma.access.document import load_yaml  # noqa: PLC0415 - a daemon without configuration files never loads YAML

    try:
        return load_yaml(data, str(path))
    except FormatError as err:
        mistakes.append(str(err))
    return None


def _take(
    path: Path, content: object, values: dict[str, PropertyValue], modules: dict[str, dict[str, Raw]], mistakes: list[str]
) -> None:
    if content is None:
        return
    if not isinstance(content, dict):
        mistakes.append(f"{path}: $: a mapping of settings is wanted, as poll: {{interval: 1s}}")
        return
    for key, value in content.items():
        if key == _MODULES:
            _take_modules(path, value, modules, mistakes)
        elif key in _SECTIONS:
            _take_section(path, key, value, values, mistakes)
        elif key in SETTINGS:
            _set(path, key, value, values, mistakes)
        else:
            mistakes.append(f"{path}: $.{key}: no such setting{_near(str(key), _TOP)}")


def _take_section(path: Path, section: str, content: object, values: dict[str, PropertyValue], mistakes: list[str]) -> None:
    if not isinstance(content, dict):
        mistakes.append(f"{path}: $.{section}: a mapping is wanted")
        return
    known = [name.partition(".")[2] for name in SETTINGS if name.startswith(f"{section}.")]
    for key, value in content.items():
        if key in known:
            _set(path, f"{section}.{key}", value, values, mistakes)
        else:
            mistakes.append(f"{path}: $.{section}.{key}: no such setting{_near(str(key), known)}")


def _set(path: Path, name: str, raw: object, values: dict[str, PropertyValue], mistakes: list[str]) -> None:
    try:
        value = typed(SETTINGS[name].type, raw)
        _check(name, SETTINGS[name], value)
    except ValueError as err:
        mistakes.append(f"{path}: $.{name}: {err}")
        return
    values[name] = value


def _check(name: str, setting: Setting, value: PropertyValue) -> None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        unit = {"time": " s", "size": " bytes"}.get(setting.type, "")
        if setting.low is not None and value < setting.low:
            raise ValueError(f"{value:g}{unit} is too little: {setting.low:g}{unit} at least")
        if setting.high is not None and value > setting.high:
            raise ValueError(f"{value:g}{unit} is too much: {setting.high:g}{unit} at most")
    if name == "retire" and (strange := [item for item in cast("list[str]", value) if item not in _RETIRE]):
        raise ValueError(f"{strange[0]!r} is none of {', '.join(_RETIRE)}")
    if name == "poll.exclude":
        for item in cast("list[str]", value):
            excluded(item)


def excluded(text: str) -> Bdf | tuple[int, int]:
    """What an item of `poll.exclude` names: an address, or (vendor, device); ValueError."""
    vendor, _, device = text.partition(":")
    if len(vendor) == len(device) == 4 and all(c in "0123456789abcdefABCDEF" for c in vendor + device):
        return int(vendor, 16), int(device, 16)
    try:
        return Bdf.parse(text)
    except ValueError:
        raise ValueError(f"{text!r}: write an address (0000:04:00.0) or vendor:device (10de:2330)") from None


def _take_modules(path: Path, content: object, modules: dict[str, dict[str, Raw]], mistakes: list[str]) -> None:
    if not isinstance(content, dict):
        mistakes.append(f"{path}: $.modules: a mapping of plugins is wanted, as modules: {{pcie_aer: {{…}}}}")
        return
    for name, said in content.items():
        if not isinstance(said, dict):
            mistakes.append(f"{path}: $.modules.{name}: a mapping of properties is wanted")
            continue
        modules.setdefault(str(name), {}).update({str(key): Raw(value, path) for key, value in said.items()})


def _near(word: str, known: Iterable[str]) -> str:
    names = sorted(known)
    try:
        from difflib import get_close_matches  # noqa: PLC0415 - a quarter of a MiB, for mistakes alone
    except ImportError:  # a daemon whose user cannot get at the interpreter's library
        near = []
    else:
        near = get_close_matches(word, names, 1, 0.6)
    return f": did you mean {near[0]}?" if near else f": there is {', '.join(names) or 'none'}"
