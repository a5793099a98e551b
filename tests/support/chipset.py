"""The host_bridge plugin with its tables, and the generated part of docs/chipsets.md."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from pcifma.plugin.loader import Plugin, builtin

ROOT = Path(__file__).parents[2]
WRITTEN = ROOT / "plugins" / "host_bridge" / "chipset"
MARK, END = "<!-- generated from plugins/host_bridge/chipset", "<!-- end of the generated part -->"
PROOF = {"": "unproven", "clear": "read clear", "latched": "seen latched"}


@cache
def plugin() -> Plugin:
    """The plugin as it is shipped: from the wheel, or from the checkout."""
    return next(iter(builtin(("host_bridge",))))


def table() -> ModuleType:
    """Its module that reads the tables."""
    return importlib.import_module(f"{plugin().code.__name__}.table")


def index() -> ModuleType:
    """Its module that finds them."""
    return importlib.import_module(f"{plugin().code.__name__}.index")


def chipsets() -> list[Any]:
    """Every chipset file, read."""
    module = table()
    return [module.read(path) for path in index().files()]


def document() -> str:
    """The generated part: each file with its Functions, registers and classes."""
    return "\n".join(line for chipset in chipsets() for line in _chipset(chipset))


def _chipset(chipset: Any) -> Iterator[str]:
    yield from ("", f"### {chipset.title} (`{chipset.name}.yaml`)", "", f"From: {chipset.source}.", "")
    yield from ("| Functions | register | what | proof | classes below `ereport.io.hb." + chipset.family + ".` |", "|---|---|---|---|---|")
    rows: dict[tuple[Any, ...], list[str]] = {}
    for part in chipset.parts:
        for row in (*part.registers, *part.counters):
            rows.setdefault(_row(row), []).append(_ids(part))
    for (where, what, proof, classes), ids in rows.items():
        yield f"| {', '.join(ids)} | {where} | {what} | {proof} | {classes} |"


def _ids(part: Any) -> str:
    last = f"-{part.last:04x}" if part.last != part.first else ""
    at = f" at {part.devfn >> 3:x}.{part.devfn & 7}" if part.devfn is not None else ""
    return f"{part.vendor:04x}:{part.first:04x}{last}{at}"


def _row(row: Any) -> tuple[str, str, str, str]:
    if hasattr(row, "hi"):
        return f"`{row.location}` {row.hi}:{row.lo} {row.name}", f"{row.title} (counter)", PROOF[row.proven], row.leaf
    classes: dict[str, list[str]] = {}
    for number, bit in sorted(row.bits.items()):
        classes.setdefault(bit.leaf + (" (residue)" if bit.residue else ""), []).append(str(number))
    listed = "; ".join(f"{leaf}: {', '.join(numbers)}" for leaf, numbers in classes.items())
    return f"`{row.location}` {row.name}", row.title, PROOF[row.proven], listed
