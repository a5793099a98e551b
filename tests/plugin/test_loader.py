"""The loader: whole or not at all, safe directories only, errors that name file and remedy."""

from __future__ import annotations

import os
import re
from importlib import metadata
from pathlib import Path

import pytest
from support.fabric import endpoint, fabric_of, root_port
from support.image import Image

from pcifma.access.host import NoHost
from pcifma.errors import PluginError
from pcifma.plugin import loader

MANIFEST = "name: {name}\nversion: '1'\napi: 1\nkind: source\n"
CODE = "def watches(fabric, host):\n    return []\n\n\ndef normalise(now, before):\n    return []\n"


def plugin(directory: Path, name: str = "mine", manifest: str = MANIFEST, code: str = CODE) -> Path:
    path = directory / name
    path.mkdir()
    (path / "plugin.yaml").write_text(manifest.format(name=name))
    (path / "plugin.py").write_text(code)
    return path


@pytest.fixture
def safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # The temporary directory's parents are world-writable, which is the very thing that check_owner refuses.
    monkeypatch.setattr(loader, "check_owner", lambda directory: None)
    return tmp_path


BUILTIN = list(loader.subdirectories(loader.builtin_directory()))


@pytest.mark.parametrize("path", BUILTIN, ids=lambda path: path.name)
def test_builtin_plugin_passes_every_check(path: Path) -> None:
    found = loader.load(path, "built-in")
    assert (found.name, found.manifest.kind in ("source", "module")) == (path.name, True)


def test_builtin_plugins_are_those_of_the_directory() -> None:
    assert [p.manifest for p in loader.builtin()] == [loader.read_manifest(path) for path in BUILTIN]


def test_source_about_a_capability_is_not_imported_where_no_function_has_it() -> None:
    (dpc,) = loader.builtin(["pcie_dpc"])
    assert list(dpc.source.watches(fabric_of(endpoint("0000:01:00.0")), NoHost())) == []
    assert "code" not in vars(dpc)


@pytest.mark.parametrize("plugin", [p for p in loader.builtin() if p.manifest.capabilities], ids=lambda plugin: plugin.name)
def test_source_about_a_capability_has_nothing_to_watch_without_it(plugin: loader.Plugin) -> None:
    # Asked directly, past the manifest: what the manifest says must be true.
    fabrics = [fabric_of(Image("0000:01:00.0", "X").header(0x8086, 0x1234, 0x020000)), fabric_of(root_port("0000:00:01.0", 1, 1))]
    for fabric in fabrics:
        if fabric.capabilities.isdisjoint(plugin.manifest.capabilities):
            assert list(plugin.code.watches(fabric, NoHost())) == []


def test_builtin_by_name_loads_only_that_one() -> None:
    assert [p.name for p in loader.builtin(["pcie_aer"])] == ["pcie_aer"]


def test_directory_plugin_loads(safe: Path) -> None:
    plugin(safe)
    assert [(p.name, p.origin) for p in loader.from_directory(safe)] == [("mine", "directory")]


def test_missing_hook_names_the_plugin_and_the_hook(safe: Path) -> None:
    path = plugin(safe, code="def watches(fabric, host):\n    return []\n")
    with pytest.raises(PluginError, match=rf"{path}/plugin.py: plugin mine \(source\): normalise\(\) is missing"):
        loader.load(path, "directory")


def test_hook_with_wrong_arguments_is_refused(safe: Path) -> None:
    path = plugin(safe, code=CODE.replace("now, before", "now"))
    with pytest.raises(PluginError, match=r"normalise\(now\) must take 2 arguments"):
        loader.load(path, "directory")


def test_other_api_version_is_refused_by_number(safe: Path) -> None:
    path = plugin(safe, manifest=MANIFEST.replace("api: 1", "api: 2"))
    with pytest.raises(PluginError, match=r"\$\.api: is 2, this pcifma speaks 1"):
        loader.load(path, "directory")


def test_unknown_manifest_key_is_refused_with_its_place(safe: Path) -> None:
    path = plugin(safe, manifest=MANIFEST + "subscribes: []\n")
    with pytest.raises(PluginError, match="subscribes"):
        loader.load(path, "directory")


def test_broken_yaml_is_one_line(safe: Path) -> None:
    path = plugin(safe, manifest="name: [\n")
    with pytest.raises(PluginError, match="not YAML") as caught:
        loader.load(path, "directory")
    assert "\n" not in str(caught.value)


BOMB = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9 if n else ['x'])}]\n" for n in range(9))


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        ("x" * (2 << 20), "larger than 1024 KiB"),
        ("#" * (2 << 20), "larger than 1024 KiB"),
        (BOMB, "anchors and aliases are not taken"),
        ("[" * 5000, "nest"),
        ("!!python/object/apply:os.system [id]", "tags are not taken"),
        ("name: {a: 1}", r"\$\.name|missing"),
        ("- 1", "object"),
        ("", "object|null"),
        ("subscribe: 5", r"\$\.subscribe|missing"),
    ],
)
def test_hostile_manifest_is_refused_in_one_line(safe: Path, manifest: str, reason: str) -> None:
    path = plugin(safe, manifest="")
    (path / "plugin.yaml").write_text(manifest)
    with pytest.raises(PluginError, match=reason) as caught:
        loader.read_manifest(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("compiled", ["[" * 100_000, "{", '{"name": ' + "1" * (2 << 20), "\xff"])
def test_hostile_compiled_manifest_is_refused(safe: Path, compiled: str) -> None:
    path = plugin(safe)
    (path / "plugin.json").write_text(compiled, encoding="latin-1")
    with pytest.raises(PluginError, match="cannot be read"):
        loader.read_manifest(path)


@pytest.mark.parametrize("code", ["raise SystemExit(3)\n", "1/0\n", "import no_such_module_at_all\n", "def (:\n"])
def test_code_that_cannot_be_imported_is_not_registered(safe: Path, code: str) -> None:
    path = plugin(safe, code=code)
    with pytest.raises(PluginError, match="cannot be imported"):
        loader.load(path, "directory")


def test_directory_that_others_can_write_is_refused(tmp_path: Path) -> None:
    path = plugin(tmp_path)
    path.chmod(0o777)
    with pytest.raises(PluginError, match="writable by group or others: chmod go-w"):
        loader.check_owner(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to somebody else")
def test_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    path = plugin(tmp_path)
    os.chown(path, 12345, 12345)
    with pytest.raises(PluginError, match="owned by uid 12345"):
        loader.check_owner(path)


def test_safe_directory_is_accepted(tmp_path: Path) -> None:
    loader.check_owner(plugin(tmp_path))


def test_file_that_others_can_write_is_refused(tmp_path: Path) -> None:
    path = plugin(tmp_path)
    (path / "plugin.py").chmod(0o664)
    with pytest.raises(PluginError, match=r"plugin\.py: writable by group or others"):
        loader.check_owner(path)


def test_parent_that_others_can_write_is_refused_unless_it_is_sticky(tmp_path: Path) -> None:
    parent = tmp_path / "open"
    parent.mkdir()
    path = plugin(parent)
    parent.chmod(0o777)
    with pytest.raises(PluginError, match="open: writable by group or others"):
        loader.check_owner(path)
    parent.chmod(0o1777)
    loader.check_owner(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to somebody else")
@pytest.mark.parametrize("depth", range(6))
@pytest.mark.parametrize("bad", ["owner", "group", "others"])
def test_every_parent_is_looked_at(tmp_path: Path, bad: str, depth: int) -> None:
    deep = tmp_path / "a/b/c"
    deep.mkdir(parents=True)
    path = plugin(deep)
    place = [path / "plugin.py", path, *path.parents][depth]
    if bad == "owner":
        os.chown(place, 12345, -1)
    else:
        place.chmod(place.stat().st_mode | (0o020 if bad == "group" else 0o002))
    with pytest.raises(PluginError, match=re.escape(f"{place}: ")):
        loader.check_owner(path)


@pytest.mark.parametrize("kind", ["file", "directory", "chain", "itself"])
def test_link_is_followed_to_where_somebody_else_could_change_it(tmp_path: Path, kind: str) -> None:
    path = plugin(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if kind == "file":
        (path / "plugin.py").rename(elsewhere / "plugin.py")
        (path / "plugin.py").symlink_to("../elsewhere/plugin.py")
    elif kind == "directory":
        (path / "data").symlink_to(elsewhere)
    elif kind == "chain":
        (elsewhere / "link").symlink_to(path / "plugin.yaml")  # safe at its end, and not on the way
        (path / "more").symlink_to(elsewhere / "link")
    else:
        (elsewhere / "mine").symlink_to(path)
        path = elsewhere / "mine"
    loader.check_owner(path)

    elsewhere.chmod(0o777)
    with pytest.raises(PluginError, match=re.escape(f"{elsewhere}: writable by group or others")):
        loader.check_owner(path)


def test_links_in_a_ring_are_refused_or_ended(tmp_path: Path) -> None:
    path = plugin(tmp_path)
    (path / "up").symlink_to("..")
    (path / "self").symlink_to(path)
    loader.check_owner(path)
    (path / "ring").symlink_to("ring")
    with pytest.raises(PluginError, match="too many links"):
        loader.check_owner(path)


def test_entry_point_runs_no_code_to_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "foreign_outer" / "inner"
    inner.mkdir(parents=True)
    for directory in (inner, inner.parent):
        (directory / "__init__.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    point = metadata.EntryPoint("inner", "foreign_outer.inner", loader.GROUP)

    assert loader._package_directory(point) == inner
    for module in ("foreign_outer.nothing", "no_such_package_at_all", "foreign_outer.inner.__init__"):
        with pytest.raises(PluginError, match="is no package"):
            loader._package_directory(metadata.EntryPoint("inner", module, loader.GROUP))


def test_owner_that_is_not_trusted_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="owned by uid"):
        loader.check_owner(plugin(tmp_path), frozenset({54321}))
