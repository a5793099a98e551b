"""The shipped alert rules and board: judged by Prometheus's own tool, and by a Prometheus that scrapes a daemon."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.daemon import configure, daemon
from support.sysfs import CARD, DEVICE_STATUS, UNCORRECTABLE_STATUS, Sysfs

import pcifma
from pcifma.plugin.loader import builtin

SHARE = Path(pcifma.__file__).parent / "share"
RULES, BOARD = SHARE / "prometheus/pcifma.rules.yml", SHARE / "grafana/pcifma.json"
ROOT = Path(__file__).parents[2]
UNCORRECTABLE_SEVERITY, MALFORMED = UNCORRECTABLE_STATUS + 8, 1 << 18
PATIENCE_S = 120.0
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (package prometheus)")


def exported() -> set[str]:
    """Every name that a sample of the exporter may have."""
    code = builtin(["prometheus"])[0].code
    metric = importlib.import_module(f"{code.__name__}.metric")
    names = {row.name + ("_total" if row.kind.__name__.startswith("Counter") else "") for row in metric.ROWS}
    return names | {f"{metric.HISTOGRAM}{end}" for end in ("_bucket", "_sum", "_count")}


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def queries() -> Iterator[str]:
    """Every expression of the board, its variables filled in."""
    board = json.loads(BOARD.read_text())
    found = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    found += [annotation["expr"] for annotation in board["annotations"]["list"]]
    yield from (expr.replace("$instance", ".*").replace("$__rate_interval", "5m") for expr in found)


def test_rules_and_board_speak_of_metrics_that_there_are() -> None:
    for expr in [*(rule["expr"] for rule in rules()), *queries()]:
        assert set(re.findall(r"\bpcifma_\w+", expr)) <= exported(), expr


def test_every_alert_is_documented_with_its_urgency() -> None:
    text = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| (Pcifma\w+) \|[^|]*\| (now|working-hours|never-mind)", text, re.MULTILINE))
    assert listed == {rule["alert"]: rule["labels"]["urgency"] for rule in rules()}
    assert all(rule["annotations"]["summary"] and rule["annotations"]["description"] for rule in rules())


@needs_promtool
def test_each_alert_fires_when_it_should(tmp_path: Path) -> None:
    shutil.copy(RULES, tmp_path)
    shutil.copy(Path(__file__).with_name("alerts.test.yml"), tmp_path)
    done = subprocess.run(["promtool", "test", "rules", "alerts.test.yml"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_queries_of_the_board_are_promql(tmp_path: Path) -> None:
    recorded = [{"record": f"board:query{n}", "expr": expr} for n, expr in enumerate(queries())]
    (tmp_path / "board.yml").write_text(yaml.safe_dump({"groups": [{"name": "board", "rules": recorded}]}))
    done = subprocess.run(["promtool", "check", "rules", str(tmp_path / "board.yml")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def prometheus(directory: Path, target: int) -> Iterator[Callable[[str], Any]]:
    """A Prometheus that scrapes *target* each second and evaluates the rules, `for` and thresholds shortened; asks its API."""
    text = RULES.read_text().replace("> 120", "> 6")
    (directory / "rules.yml").write_text(re.sub(r"(?m)^( +for: ).*$", r"\g<1>1s", text))
    (directory / "prometheus.yml").write_text(
        yaml.safe_dump({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yml"],
            "scrape_configs": [{"job_name": "pcifma", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}],
        })
    )  # fmt: skip
    port = free_port()
    command = ["prometheus", f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data"]
    with (directory / "said").open("wb") as said:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=said, stderr=said)

    def ask(path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{path}", timeout=30) as answer:
            return json.load(answer)["data"]

    try:
        yield ask
    finally:
        process.kill()
        process.wait()


def until(condition: Callable[[], object]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            if condition():
                return
        except OSError:
            pass  # it is still starting
        assert time.monotonic() < end_s, "it did not happen"
        time.sleep(0.5)


@pytest.mark.lab_full
def test_prometheus_scrapes_a_daemon_and_its_alerts_fire(tmp_path: Path) -> None:
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed (package prometheus)")
    port = free_port()
    root, directory = tmp_path / "root", tmp_path / "prometheus"
    directory.mkdir()
    configure(root, f"modules: {{prometheus: {{listen: '127.0.0.1:{port}', interval: 1s}}}}\n")
    tree = Sysfs(root / "sys")
    with daemon(root, "--source", str(tree.root)) as running, prometheus(directory, port) as ask:

        def firing() -> set[str]:
            return {alert["labels"]["alertname"] for alert in ask("alerts")["alerts"] if alert["state"] == "firing"}

        until(lambda: ask("query?query=pcifma_last_look_timestamp_seconds")["result"])
        tree.put(tree.card, UNCORRECTABLE_SEVERITY, MALFORMED, 4)
        tree.put(tree.card, UNCORRECTABLE_STATUS, MALFORMED, 4)
        tree.put(tree.card, DEVICE_STATUS, 4, 2)
        until(lambda: "PcifmaFaultNow" in firing())
        assert firing() >= {"PcifmaFaultNow", "PcifmaUncorrectable"}
        assert not firing() & {"PcifmaNotLooking", "PcifmaDrill", "PcifmaBlind", "PcifmaWroteToHardware"}
        (target,) = ask("targets")["activeTargets"]
        assert (target["health"], target["lastError"]) == ("up", "")
        (fault,) = ask("query?query=pcifma_fault_certainty_ratio")["result"]
        assert fault["metric"].items() >= {"code": "PCIEX-8000-0A", "bdf": CARD, "urgency": "now"}.items()
        tree.put(tree.card, UNCORRECTABLE_STATUS, 0, 4)
        tree.put(tree.card, DEVICE_STATUS, 0, 2)
        running.ask("repaired", what=CARD)
        until(lambda: "PcifmaFaultNow" not in firing())
        os.kill(running.process.pid, signal.SIGSTOP)
        until(lambda: "PcifmaNotLooking" in firing())
        os.kill(running.process.pid, signal.SIGCONT)
        until(lambda: "PcifmaNotLooking" not in firing())
