"""Which chipset files name a Function: looked up by their text, so that only those are read as tables."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

DIRECTORY = Path(__file__).parent / "chipset"
ID = re.compile(r"([0-9a-f]{4}):([0-9a-f]{4})(?:-([0-9a-f]{4}))?")


def files(directory: Path = DIRECTORY) -> tuple[Path, ...]:
    """The files, by name: each compiled if it was."""
    names = sorted(os.listdir(directory), reverse=True)  # noqa: PTH208 - .yaml before .json, so that the compiled one stays
    found = {name.rpartition(".")[0]: name for name in names if name.endswith((".json", ".yaml"))}
    return tuple(directory / name for _, name in sorted(found.items()))


def numbers(match: re.Match[str]) -> tuple[int, int, int]:
    """Vendor, first and last device of an ID."""
    return int(match[1], 16), int(match[2], 16), int(match[3] or match[2], 16)


@cache
def naming(vendor: int, device: int) -> tuple[Path, ...]:
    """The files that name a Function with these IDs."""
    return tuple(path for path, ids in _index() if any(v == vendor and first <= device <= last for v, first, last in ids))


@cache
def _index() -> tuple[tuple[Path, tuple[tuple[int, int, int], ...]], ...]:
    found = ((path, ID.finditer(path.read_text(encoding="utf-8"))) for path in files())
    return tuple((path, tuple(map(numbers, matches))) for path, matches in found)
