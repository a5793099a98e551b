"""A repair, as an operator makes it: a real daemon, real ereports, the same error standing, coming again, and staying away."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.daemon import Daemon, configure, daemon
from support.sysfs import DEVICE_STATUS, UNCORRECTABLE_STATUS, Sysfs

MALFORMED, SEVERITY = 1 << 18, 0x10C
QUICK = "poll: {interval: 100ms, slow_interval: 200ms}\nmodules: {pcie_diagnosis: {window: 200ms}}\n"


@pytest.fixture
def tree(tree: Sysfs) -> Sysfs:
    tree.put(tree.card, SEVERITY, MALFORMED, 4)
    return tree


def latch(tree: Sysfs, running: Daemon) -> None:
    """The error, after two looks that saw it clear."""
    for bits, status in ((0, 0), (MALFORMED, 4)):
        tree.put(tree.card, UNCORRECTABLE_STATUS, bits, 4)
        tree.put(tree.card, DEVICE_STATUS, status, 2)
        running.until_looks(2)


def pcifma(*words: str) -> str:
    command = [str(Path(sys.executable).with_name("pcifma")), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def lists(root: Path, class_: str) -> list[dict[str, str]]:
    events = map(json.loads, pcifma("dump", "--json", "--root", str(root)).splitlines())
    return [event for event in events if event["class"] == class_]


def test_day_of_a_part_that_was_repaired_and_failed_again(root: Path, tree: Sysfs) -> None:
    configure(root, QUICK)
    with daemon(root, "--source", str(tree.root)) as running:
        latch(tree, running)
        running.until(lambda: "list.suspect" in running.classes(), "the first case")
        (first,) = lists(root, "list.suspect")

        said = pcifma("repaired", first["uuid"][:8], "--root", str(root))

        assert "is repaired (no serial, on your word)" in said
        assert f"1 bit stays latched there and hides repeats: pcifma clear {first['uuid'][:8]}" in said
        running.until(lambda: "list.repaired" in running.classes(), "the repair")
        running.until_looks(5)
        running.stop()

    configure(root, QUICK + "probation: 1s\n")  # for repairs from now on
    with daemon(root, "--source", str(tree.root)) as running:
        running.until_looks(5)
        assert running.classes().count("list.suspect") == 1  # what stood before the repair, and stands still
        latch(tree, running)
        running.until(lambda: running.classes().count("list.suspect") == 2, "the second case")
        first, second = lists(root, "list.suspect")
        assert second["follows"] == first["uuid"] != second["uuid"]
        assert not set(first["ereports"]) & set(second["ereports"])
        assert "list.resolved" not in running.classes()

        pcifma("replaced", second["uuid"][:8], "--root", str(root))

        running.until(lambda: running.classes().count("list.resolved") == 2, "the end of both")

    assert {event["uuid"] for event in lists(root, "list.resolved")} == {first["uuid"], second["uuid"]}
