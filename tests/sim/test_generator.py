"""The generator knows nothing of the rules; what it draws is repeatable and is what the specification says."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from support.diagnosis import plugin

import pcifma.sim
from pcifma.fabric.fabric import Fabric
from pcifma.regs.bdf import Bdf
from pcifma.regs.exp import DevType
from pcifma.sim.degrade import WAYS, Heard, degrade
from pcifma.sim.fault import KINDS, Drawn, fault
from pcifma.sim.machine import machine

PACKAGE = Path(pcifma.sim.__file__).parent
GENERATOR = ("machine.py", "fault.py", "degrade.py")
ALLOWED = ("pcifma.sim.", "pcifma.fabric.", "pcifma.regs.", "pcifma.event.")


def drawn(kind: str, seed: int = 1) -> tuple[Fabric, Drawn]:
    draw = Random(seed)
    fabric = machine(draw)
    return fabric, fault(kind, draw, fabric)


def heard(kind: str, way: str | None, level: float, seed: int = 1) -> list[Heard]:
    fabric, one = drawn(kind, seed)
    cards = frozenset(str(f.bdf) for f in fabric if f.dev_type == DevType.ENDPOINT)
    return degrade(Random(seed), one.shown, cards, way, level)


@pytest.mark.parametrize("name", GENERATOR)
def test_generator_imports_no_rules_and_nothing_that_could_load_them(name: str) -> None:
    tree = ast.parse((PACKAGE / name).read_text(encoding="utf-8"))
    froms = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert [name for name in froms if name.startswith("pcifma") and not name.startswith(ALLOWED)] == []
    assert froms | plain <= {name for name in froms if name.startswith("pcifma")} | {
        "__future__", "math", "random", "collections.abc", "dataclasses"
    }  # fmt: skip


def test_generator_opens_no_rule_file() -> None:
    code = (
        "import sys\n"
        "opened = []\n"
        "sys.addaudithook(lambda name, args: opened.append(str(args[0])) if name == 'open' else None)\n"
        "from random import Random\n"
        "from pcifma.sim.fault import KINDS, fault\n"
        "from pcifma.sim.machine import machine\n"
        "draw = Random(1)\n"
        "for kind in KINDS: fault(kind, draw, machine(draw))\n"
        "assert opened, 'the hook saw nothing'\n"
        "print([name for name in opened if 'pcie_diagnosis' in name or 'rules.' in name])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_draws_the_same(kind: str) -> None:
    assert drawn(kind, 7) == drawn(kind, 7)


@pytest.mark.parametrize("kind", KINDS)
def test_fault_sits_and_shows_on_its_machine(kind: str) -> None:
    for seed in range(5):
        fabric, one = drawn(kind, seed)
        there = {str(f.bdf) for f in fabric}
        assert one.shown and {one.culprit.device, *(shown.device for shown in one.shown)} <= there


def test_machine_is_connected_and_every_leaf_is_an_endpoint() -> None:
    for seed in range(20):
        fabric = machine(Random(seed))
        for function in fabric:
            is_leaf = not fabric.children(function)
            assert is_leaf == (function.dev_type == DevType.ENDPOINT)
            assert fabric.root_port(function) is not None


def test_poison_is_seen_by_every_receiver_on_the_way_and_no_other() -> None:
    for seed in range(10):
        fabric, one = drawn("poison", seed)
        above = {str(f.bdf) for f in fabric.path(fabric[Bdf.parse(one.culprit.device)])[:-1]}
        seen = {shown.device for shown in one.shown if shown.leaf == "pciex.tl.ptlp"}
        kinds = {fabric[Bdf.parse(device)].dev_type for device in seen}
        assert seen <= above and kinds <= {DevType.DOWNSTREAM_PORT, DevType.ROOT_PORT}


@pytest.mark.parametrize("way", [None, *WAYS])
def test_level_zero_changes_nothing(way: str | None) -> None:
    for kind in KINDS:
        assert heard(kind, way, 0.0) == heard(kind, None, 0.0)


@pytest.mark.parametrize("way", ["loss", "masking"])
def test_level_one_leaves_nothing(way: str) -> None:
    assert heard("poison", way, 1.0) == []


def test_latching_tells_each_bit_once() -> None:
    told = [(one.shown.device, one.shown.leaf) for one in heard("poison", "latching", 1.0)]
    assert len(told) == len(set(told)) < len(heard("poison", None, 0))


def test_duplication_doubles_and_delay_keeps_all() -> None:
    plain = heard("poison", None, 0)
    assert len(heard("poison", "duplication", 1.0)) == 2 * len(plain)
    late = heard("poison", "delay", 1.0)
    assert len(late) == len(plain) and [one.tick for one in late] == sorted(one.tick for one in late)


def test_headers_can_be_lost_and_guests_own_cards_only() -> None:
    assert not any(one.shown.named for one in heard("poison", "headers", 1.0))
    kept = heard("completer-abort", "guest", 1.0)
    assert {one.guest for one in kept if one.card} <= {True} and not any(one.guest for one in kept if not one.card)


def test_plugin_that_is_judged_is_the_built_in_one() -> None:
    assert plugin().name == "pcie_diagnosis"
