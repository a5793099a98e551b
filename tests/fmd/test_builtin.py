"""Built-in plugins run in the daemon itself: what they raise, whatever it is, sets them aside and nothing else."""

from __future__ import annotations

import shutil
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from support import altered
from support.daemon import Daemon, configure, daemon
from support.foreign import MODULE, SOURCE
from support.sysfs import CORRECTABLE_STATUS, DEVICE_STATUS, Sysfs

from pcifma.plugin.loader import builtin_directory

SETTINGS = "poll: {interval: 200ms, slow_interval: 400ms}\n"
RAISES = ("ValueError('no')", "SystemExit(0)", "KeyboardInterrupt", "GeneratorExit", "MemoryError", "BaseException('all')")
HOOKS = ("recv(self, event)", "stats(self)", "topo(self, fabric)")
DEEP = "f = lambda: f()\n    f()"


def builtin(directory: Path, name: str, code: str, kind: str) -> None:
    """A further built-in plugin."""
    path = directory / name
    path.mkdir()
    subscribe = "['ereport.io.*']" if kind == "module" else "[]"
    (path / "plugin.yaml").write_text(f"{{name: {name}, version: '1', api: 1, kind: {kind}, subscribe: {subscribe}}}")
    (path / "plugin.py").write_text(f"import os\nfrom pcifma.plugin import *\n{code}")


@pytest.fixture
def builtins(root: Path) -> Path:
    """A copy of the built-in plugins that can be added to."""
    copy = root / "builtin"
    shutil.copytree(builtin_directory(), copy, ignore=shutil.ignore_patterns("index.json", "__pycache__"))
    return copy


def run(root: Path, tree: Sysfs, builtins: Path) -> AbstractContextManager[Daemon]:
    """The daemon with *builtins*."""
    for path in (builtins, *builtins.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    configure(root, SETTINGS)
    return daemon(root, "--source", str(tree.root), prefix=[sys.executable, "-I", str(Path(altered.__file__)), str(builtins)])


def test_builtin_sources_that_raise_are_set_aside_and_the_others_go_on(root: Path, tree: Sysfs, builtins: Path) -> None:
    names = set()
    for number, what in enumerate(RAISES):
        for hook in ("normalise", "watches"):
            names.add(f"bad_{hook}_{number}")
            body = SOURCE.replace("BODY", f"raise {what}" if hook == "normalise" else "return ()")
            code = body if hook == "normalise" else body.replace("    for f in fabric", f"    raise {what}\n    for f in fabric")
            builtin(builtins, f"bad_{hook}_{number}", code, "source")
    builtin(builtins, "deep", SOURCE.replace("BODY", DEEP), "source")
    with run(root, tree, builtins) as running:
        running.until(lambda: running.set_aside() >= names | {"deep"}, "an ereport for each")
        check_the_rest(running, tree, names | {"deep"})


def test_builtin_modules_that_raise_are_set_aside_and_the_others_go_on(root: Path, tree: Sysfs, builtins: Path) -> None:
    names = {f"bad_{number}_{hook[:4]}" for number in range(len(RAISES)) for hook in HOOKS} | {"bad_open"}
    for number, what in enumerate(RAISES):
        for hook in HOOKS:
            code = MODULE.replace("BODY", "pass")
            before, _, after = code.partition(f"def {hook}:")
            rest = after.partition("\n    def ")[2]
            following = f"\n    def {rest}" if rest else "\ndef open(services): return M(services)\n"
            builtin(builtins, f"bad_{number}_{hook[:4]}", f"{before}def {hook}:\n        raise {what}{following}", "module")
    builtin(builtins, "bad_open", "def open(services):\n    raise SystemExit(3)\n", "module")
    with run(root, tree, builtins) as running:
        raise_a_bit(running, tree)
        link = tree.root / "bus/pci/devices/0000:04:00.0"
        target = link.readlink()
        link.unlink()  # the fabric changes: topo
        running.until(lambda: running.status()["functions"] == 1, "its going")
        link.symlink_to(target)
        for name in names:
            running.ask("stat", module=name)  # stats
        running.until(lambda: running.set_aside() >= names, "an ereport for each")
        check_the_rest(running, tree, names)


def raise_a_bit(running: Daemon, tree: Sysfs) -> None:
    tree.put(tree.card, CORRECTABLE_STATUS, 0x40, 4)
    tree.put(tree.card, DEVICE_STATUS, 1, 2)
    running.until(lambda: "ereport.io.pciex.dl.btlp" in running.classes(), "the ereport of another source")


def check_the_rest(running: Daemon, tree: Sysfs, names: set[str]) -> None:
    """Everybody else is as well as ever."""
    raise_a_bit(running, tree)
    rows = running.plugins()
    assert {row["status"] for name, row in rows.items() if name not in names} == {"active"}
    assert {row["status"] for name, row in rows.items() if name in names} == {"failed"}
    before = running.status()["looks"]
    running.until(lambda: running.status()["looks"] > before + 2, "further looks")
    assert running.stop() == 0
