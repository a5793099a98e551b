"""Plugins are registered whole or not at all: one that cannot be had is refused by name, and everything else starts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.daemon import configure, daemon
from support.foreign import plugin
from support.sysfs import Sysfs

from pcifma.errors import DaemonError

FAST = "poll: {interval: 100ms, slow_interval: 300ms}\n"


@pytest.mark.parametrize("glob", ["ereport.io.pci*", "", "ereport..x", "**"])
def test_module_with_a_bad_subscription_is_refused_and_the_rest_starts(root: Path, tree: Sysfs, glob: str) -> None:
    configure(root, FAST + "modules: {astray: {}}\n")
    plugin(root, "astray", "pass", kind="module", subscribe=f"['list.*', '{glob}']")
    plugin(root, "calm", "pass", kind="module", subscribe="['list.*']")
    with daemon(root, "--source", str(tree.root)) as running:
        rows = running.plugins()
        with pytest.raises(DaemonError, match="plugin astray: subscription"):
            running.ask("load", name="astray")

    assert "astray" not in rows
    assert (rows["calm"]["status"], rows["pcie_aer"]["status"]) == ("active", "active")
    assert "$.subscribe[1]: plugin astray: subscription" in running.said


BROKEN = {
    "no yaml": "{name: [",
    "a list": "[]",
    "another api": "{name: odd, version: '1', api: 99, kind: source}",
    "no such kind": "{name: odd, version: '1', api: 1, kind: weapon}",
    "a bad name": "{name: ../odd, version: '1', api: 1, kind: source}",
    "unknown keys": "{name: odd, version: '1', api: 1, kind: source, run: x}",
    "a name that is taken": "{name: pcie_aer, version: '1', api: 1, kind: source}",
    "deep": "[" * 5000,
}


@pytest.mark.parametrize("what", BROKEN)
def test_plugin_whose_manifest_is_broken_is_refused_and_the_rest_starts(root: Path, tree: Sysfs, what: str) -> None:
    path = plugin(root, "odd", "return ()")
    (path / "plugin.yaml").write_text(BROKEN[what])
    with daemon(root, "--source", str(tree.root)) as running:
        rows = running.plugins()

    assert "odd" not in rows
    assert rows["pcie_aer"]["status"] == "active"
    assert str(path) in running.said


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: gives files away")
@pytest.mark.parametrize(("bad", "depth"), [("owner", 3), ("group", 0), ("others", 2)])
def test_plugin_directory_that_others_can_change_is_refused_and_the_rest_starts(root: Path, tree: Sysfs, bad: str, depth: int) -> None:
    path = plugin(root, "mine", "return ()")
    place = [path / "plugin.py", path, path.parent, path.parent.parent][depth]
    if bad == "owner":
        os.chown(place, 12345, -1)
    else:
        place.chmod(place.stat().st_mode | (0o020 if bad == "group" else 0o002))
    with daemon(root, "--source", str(tree.root)) as running:
        rows = running.plugins()

    assert "mine" not in rows
    assert rows["pcie_aer"]["status"] == "active"
    assert str(place) in running.said
    assert ("chown" if bad == "owner" else "chmod go-w") in running.said


def test_plugin_directory_is_no_way_around_by_a_link(root: Path, tree: Sysfs) -> None:
    elsewhere = root / "elsewhere"
    elsewhere.mkdir()
    plugin(elsewhere, "mine", "return ()")
    elsewhere.chmod(0o777)
    directory = root / "etc/pcifma/plugins"
    directory.mkdir(parents=True)
    (directory / "mine").symlink_to(elsewhere / "etc/pcifma/plugins/mine")
    with daemon(root, "--source", str(tree.root)) as running:
        assert "mine" not in running.plugins()

    assert f"{elsewhere}: writable by group or others" in running.said
