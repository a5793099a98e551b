"""A file imports only from rows above its own; plugins import the plugin API only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROWS = ("errors", "regs", "event", "xpv", "access", "fabric", "platform", "plugin", "poll", "fmd", "sim", "cli")
FILES = sorted(path for path in (ROOT / "pcifma").rglob("*.py") if "builtin" not in path.parts)
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def row(dotted: str) -> int | None:
    parts = dotted.split(".")
    return ROWS.index(parts[1]) if parts[0] == "pcifma" and len(parts) > 1 and parts[1] in ROWS else None


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_up(path: Path) -> None:
    own = row(".".join(path.relative_to(ROOT).with_suffix("").parts))
    if own is None:
        assert path.name in ("__init__.py", "errors.py")
        return
    wrong = [name for name in imports(path) if (above := row(name)) is not None and above > own]
    assert not wrong, f"{path.relative_to(ROOT)} imports from below: {wrong}"


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: str(path.relative_to(ROOT)))
def test_plugins_import_the_plugin_api_only(path: Path) -> None:
    assert [name for name in imports(path) if name.startswith("pcifma") and not name.startswith("pcifma.plugin.")] == []


@pytest.mark.parametrize("path", [p for p in FILES if "regs" in p.parts], ids=lambda path: path.name)
def test_regs_use_the_standard_library_only(path: Path) -> None:
    assert {name.split(".")[0] for name in imports(path)} & {"click", "msgspec", "yaml", "pyudev", "rich"} == set()


@pytest.mark.parametrize("package", ["log", "child", "keeper", "engine"])
def test_parts_of_the_daemon_know_the_log_and_themselves_only(package: str) -> None:
    allowed = {package, "log"} if package == "engine" else {package}
    names = [name for path in (ROOT / "pcifma/fmd" / package).glob("*.py") for name in imports(path)]
    assert {name.split(".")[2] for name in names if name.startswith("pcifma.fmd.")} <= allowed
