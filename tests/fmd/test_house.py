"""What a real daemon tells its modules of itself, and runs for them."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse
from support.daemon import configure, daemon
from support.sysfs import CARD, CORRECTABLE_STATUS, DEVICE_STATUS, Sysfs

BAD_TLP = 1 << 6


@pytest.fixture
def root(root: Path) -> Path:
    """With a directory that the daemon's own user may write, too."""
    (root / "out").mkdir()
    (root / "out").chmod(0o777)
    return root


def metrics(file: Path) -> dict[str, float]:
    """Samples by name, those of one name added up."""
    found: dict[str, float] = {}
    for family in parse(file.read_text()):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


def test_daemon_tells_what_it_counts(root: Path) -> None:
    file = root / "out" / "pcifma.prom"
    configure(root, f"poll: {{interval: 100ms, slow_interval: 300ms}}\nmodules: {{prometheus: {{textfile: {file}, interval: 1s}}}}\n")
    tree = Sysfs(root / "sys")
    tree.put(tree.card, CORRECTABLE_STATUS, BAD_TLP, 4)
    tree.put(tree.card, DEVICE_STATUS, 1, 2)
    before = time.time()
    with daemon(root, "--source", str(tree.root)) as running:
        running.until(lambda: file.exists() and metrics(file).get("pcifma_latched_bits"), "the metrics")
        found = metrics(file)
        running.until(lambda: metrics(file)["pcifma_config_reads_total"] > found["pcifma_config_reads_total"], "more reads")
    assert before < found["pcifma_last_look_timestamp_seconds"] < time.time()
    assert (found["pcifma_function_info"], found["pcifma_functions"], found["pcifma_functions_heard"]) == (2, 2, 6)
    assert (found["pcifma_latched_bits"], found["pcifma_ereports_total"], found["pcifma_config_writes_total"]) == (1, 1, 0)
    assert found["pcifma_look_duration_seconds_count"] >= 1
    assert found.get("pcifma_module_failed") is None
    assert "pcifma_last_drill_timestamp_seconds" not in found


def test_failed_source_and_passed_drill_are_told(root: Path) -> None:
    file, directory = root / "out" / "pcifma.prom", root / "etc/pcifma/plugins/broken"
    configure(root, f"modules: {{prometheus: {{textfile: {file}, interval: 1s}}}}\n")
    directory.mkdir(parents=True)
    (directory / "plugin.yaml").write_text("{name: broken, version: '1', api: 1, kind: source}\n")
    (directory / "plugin.py").write_text("def watches(fabric, host): raise OSError('no')\ndef normalise(now, before): return ()\n")
    tree = Sysfs(root / "sys")
    with daemon(root, "--source", str(tree.root)) as running:
        before = time.time()
        assert running.ask("drill", urgency="now", timeout_s=30.0)["passed"]
        running.until(lambda: file.exists() and metrics(file).get("pcifma_last_drill_timestamp_seconds"), "the metric")
        assert metrics(file)["pcifma_last_drill_timestamp_seconds"] == pytest.approx(before, abs=30)
        assert 'pcifma_module_failed{module="broken"} 1.0' in file.read_text()
        assert 'pcifma_ereports_total' not in file.read_text()


def test_case_is_handed_to_a_program_as_the_daemons_user(root: Path) -> None:
    said = root / "out" / "said"
    program = f"[/bin/sh, -c, 'cat > {said}.new; id -u > {said}.uid; mv {said}.new {said}']"
    configure(root, f"modules: {{exec: {{program: {program}, limit: 60s}}, syslog_msgs: {{to: journal, journal: {root}/none}}}}\n")
    tree = Sysfs(root / "sys")
    with daemon(root, "--source", str(tree.root)) as running:
        assert running.ask("drill", urgency="now", timeout_s=60.0)["passed"]
        running.until(lambda: said.exists() and "list.resolved" in said.read_text(), "the program")
        owner = running.paths.state.stat().st_uid
        assert running.status()["plugins"]["failed"] == 0
    line = json.loads(said.read_text())
    assert (line["class"], line["injected"]) == ("list.resolved", True)
    assert int(Path(f"{said}.uid").read_text()) == owner
    assert CARD not in said.read_text()
