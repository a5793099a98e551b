"""A root that the daemon's own user can reach, and a small sysfs tree on it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.sysfs import Sysfs


@pytest.fixture
def root() -> Iterator[Path]:
    """A directory that the daemon's own user can reach."""
    path = Path(tempfile.mkdtemp(prefix="pcifma-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def tree(root: Path) -> Sysfs:
    """A Root Port and a card below it, readable by everybody."""
    tree = Sysfs(root / "sys")
    for path in (root / "sys").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return tree
