"""The modules of the built-in plugin pcie_diagnosis, its rules, and evidence by hand."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from support.fabric import bridge, endpoint, fabric_of, root_port
from support.image import DOWNSTREAM, UPSTREAM

from pcifma.fabric.fabric import Fabric
from pcifma.plugin.loader import Plugin, builtin

if TYPE_CHECKING:
    from plugins.pcie_diagnosis.evidence import Seen
    from plugins.pcie_diagnosis.exercise import Verdict
    from plugins.pcie_diagnosis.rule import Rules

ROOT, UP, DOWN_A, DOWN_B = "0000:00:03.0", "0000:01:00.0", "0000:02:00.0", "0000:02:01.0"
CARD_A, CARD_B = "0000:03:00.0", "0000:04:00.0"


@functools.cache
def plugin() -> Plugin:
    """The plugin, loaded."""
    return builtin(["pcie_diagnosis"])[0]


def part(name: str) -> Any:
    """Its module *name*: rule, check, place, exercise, rate, removal."""
    loaded: ModuleType = plugin().code
    return importlib.import_module(f"{loaded.__name__}.{name}")


@functools.cache
def rules() -> Rules:
    """The built-in rules."""
    found: Rules = part("check").load(plugin().path / "rules.yaml")
    return found


@functools.cache
def switch() -> Fabric:
    """A Root Port, a switch of two Downstream Ports, a card below each."""
    return fabric_of(
        root_port(ROOT, 1, 4, slot=3),
        bridge(UP, UPSTREAM, 2, 4),
        bridge(DOWN_A, DOWNSTREAM, 3, 3),
        bridge(DOWN_B, DOWNSTREAM, 4, 4),
        endpoint(CARD_A),
        endpoint(CARD_B),
    )


def seen(leaf: str, device: str, *, severity: str = "nonfatal", first_look: bool = False, guest: bool = False, **named: str) -> Seen:
    """An ereport of that leaf (`tl.cto`) as diagnosis keeps it."""
    class_ = f"ereport.io.{leaf}" if leaf.startswith("pci.") else f"ereport.io.pciex.{leaf}"
    asked = "from-host" if named.get("requester") == "0000:00:00.0" else "from-device"
    tags = frozenset({asked} if "requester" in named else ()) | frozenset({"completion"} if "completer" in named else ())
    found: Seen = part("evidence").Seen(f"{leaf}@{device}", class_, device, severity, first_look, guest, named, tags)
    return found


def judged(of: Rules, fabric: Fabric, evidence: Sequence[Seen], weigh: Mapping[str, float] | None = None) -> list[Verdict]:
    """What *of* makes of *evidence* on *fabric*."""
    exercise = part("exercise").Exercise(of, part("place").FabricSpace(fabric))
    found: list[Verdict] = exercise.verdicts([one for one in evidence if not of.explains_away(one.class_)], weigh)
    return found
