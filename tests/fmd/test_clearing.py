"""`clear` and `sweep --clear`: logged first, in order, only what is ours, and said; with a real daemon and without one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from support.daemon import Daemon, configure, daemon
from support.sysfs import CARD, CORRECTABLE_STATUS, DEVICE_STATUS, PORT, ROOT_ERROR_STATUS, Sysfs

from pcifma.errors import DaemonError
from pcifma.event.ereport import Ereport
from pcifma.fmd.path import Paths

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the keeper is started, and only root orders")
FAST = "poll: {interval: 100ms, slow_interval: 300ms}\n"
BAD_TLP, MASTER_ABORT, SECONDARY_STATUS = 1 << 6, 1 << 13, 0x1E
SCHEMA = json.loads((files("pcifma.event") / "schema.json").read_text())
FIXTURE = Path(__file__).parents[2] / "fixtures" / "malformed-tlp-nomsi"


@pytest.fixture
def tree(tree: Sysfs) -> Sysfs:
    tree.put(tree.card, CORRECTABLE_STATUS, BAD_TLP, 4)
    tree.put(tree.card, DEVICE_STATUS, 1, 2)
    tree.put(tree.port, SECONDARY_STATUS, MASTER_ABORT, 2)
    tree.put(tree.port, ROOT_ERROR_STATUS, 1, 4)
    return tree


def pcifma(*words: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("pcifma")), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def rows(result: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    found = [json.loads(line) for line in result.stdout.splitlines()]
    for row in found:
        jsonschema.validate(row, SCHEMA)
    return found


def registers(result: subprocess.CompletedProcess[str]) -> list[tuple[object, object, object]]:
    return [(row["device"], row["register"], row["written"]) for row in rows(result) if row["class"] == "register.write"]


CARDS = [(CARD, "ECAP_AER+10.l", BAD_TLP), (CARD, "CAP_EXP+a.w", 1)]
IN_ORDER = [CARDS[0], (PORT, "1e.w", MASTER_ABORT), CARDS[1], (PORT, "ECAP_AER+30.l", 1)]


def source(tree: Sysfs) -> tuple[str, str]:
    return "--source", str(tree.root)


# With a daemon.


@needs_root
def test_clear_writes_what_is_logged_in_order_though_the_configuration_says_no(root: Path, tree: Sysfs) -> None:
    configure(root, FAST)
    with daemon(root, *source(tree)) as running:
        plan = pcifma("clear", CARD, "--dry-run", "--root", str(root))
        assert (plan.returncode, len(plan.stdout.splitlines())) == (0, 2)
        assert list(running.log().writes()) == []
        done = pcifma("clear", CARD, "--json", "--root", str(root))
        assert not running.paths.consent.exists()
        ledger = list(running.log().writes())
        logged = {logged.uuid for logged in running.log().events(0, 1000)}
        change = next(payload for payload in changes(running) if payload["verb"] == "clear")

    assert (done.returncode, registers(done)) == (0, CARDS)
    assert rows(done)[-1] == {"class": "clear.summary", "version": 1, "case": "", "writes": 2}
    assert [(row.device, row.register, row.value) for row in ledger] == CARDS
    assert {row.command for row in ledger} == {f"clear {CARD}"}
    assert {row.uid for row in ledger} == {0} == {change["uid"]}
    assert {row.pid for row in ledger} == {change["pid"]}
    assert all(row.ereports and set(row.ereports) <= logged for row in ledger)
    assert (tree.card / "config").read_bytes()[0x104:0x108] == bytes(4)


def changes(running: Daemon) -> list[dict[str, object]]:
    running.until_looks()
    events = [logged.event for logged in running.log().events(0, 1000)]
    return [dict(event.payload) for event in events if isinstance(event, Ereport) and event.class_ == "ereport.pcifma.change"]


@needs_root
def test_daemon_alone_cannot_give_itself_consent(root: Path, tree: Sysfs) -> None:
    configure(root, FAST)
    before = (tree.card / "config").read_bytes()
    with daemon(root, *source(tree)) as running:
        answer = running.ask("clear", what=CARD)

    assert [row["why"].partition(": ")[0] for row in answer["writes"]] == ["not written"] * 2
    assert {row["value"] for row in answer["writes"]} == {0}
    assert "clearing is not allowed by the configuration" in answer["writes"][0]["why"]
    assert (tree.card / "config").read_bytes() == before


@needs_root
def test_clear_is_refused_by_the_owners_name_and_writes_nothing(root: Path, tree: Sysfs) -> None:
    configure(root, FAST)
    tree.service(tree.port, "pcie002", "aer")
    with daemon(root, *source(tree)) as running:
        refused = [pcifma("clear", CARD, "--root", str(root)), pcifma("sweep", "--clear", "--root", str(root))]
        assert list(running.log().writes()) == []

    for result in refused:
        assert result.returncode == 2
        assert f"not cleared: {CARD}: owner: native (AER service bound at {PORT})" in result.stderr
        assert "Written to hardware: nothing" in result.stdout
    assert "wrote" not in running.said


@needs_root
def test_running_daemon_does_the_sweep_itself(root: Path, tree: Sysfs) -> None:
    configure(root, FAST)
    with daemon(root, *source(tree)) as running:
        done = pcifma("sweep", "--clear", "--json", "--root", str(root))
        logged = {logged.uuid for logged in running.log().events(0, 1000)}
        other = pcifma("sweep", str(tree.root), "--clear", "--root", str(root))

    assert done.returncode == 1
    assert registers(done) == IN_ORDER
    assert rows(done)[-1]["writes"] == 4
    assert {row["uuid"] for row in rows(done) if str(row["class"]).startswith("ereport.")} <= logged
    assert other.returncode == 2
    assert "a daemon runs with --root" in other.stderr


@needs_root
def test_cleared_function_tells_a_repeat_under_a_new_uuid(root: Path, tree: Sysfs) -> None:
    configure(root, FAST)
    with daemon(root, *source(tree)) as running:
        assert pcifma("clear", CARD, "--root", str(root)).returncode == 0
        tree.put(tree.card, CORRECTABLE_STATUS, 0, 4)  # what hardware does with a written one
        tree.put(tree.card, DEVICE_STATUS, 0, 2)
        running.until_looks(6)
        tree.put(tree.card, CORRECTABLE_STATUS, BAD_TLP, 4)
        tree.put(tree.card, DEVICE_STATUS, 1, 2)
        running.until(lambda: running.classes().count("ereport.io.pciex.dl.btlp") == 2, "the repeat")
        events = [logged for logged in running.log().events(0, 1000) if logged.event.class_.endswith("btlp")]

    assert len({logged.uuid for logged in events}) == 2


def test_daemon_on_a_recording_clears_in_the_recording(root: Path) -> None:
    configure(root, "clear: true\n" + FAST)
    with daemon(root, "--source", str(FIXTURE)) as running:
        running.until(lambda: {row.outcome for row in running.log().writes()} == {"done"}, "its writes, and what became of them")
        assert running.status()["clear"] is True
        ledger = list(running.log().writes())

    assert [(row.register, row.outcome) for row in ledger[:2]] == [("ECAP_AER+4.l", "done"), ("CAP_EXP+a.w", "done")]
    assert all(row.after is not None and not row.after & row.value for row in ledger)


@needs_root
def test_refused_outright_where_nothing_is_there_to_clear(root: Path, tree: Sysfs) -> None:
    with daemon(root, *source(tree)) as running:
        gone = pcifma("clear", "0000:99:00.0", "--root", str(root))
        with pytest.raises(DaemonError, match="no case 'feed'"):
            running.ask("clear", what="feed")

    assert gone.returncode == 2
    assert "not cleared: 0000:99:00.0: no such Function is here" in gone.stderr


# Without one.


def test_sweep_logs_first_then_clears_and_the_daemon_goes_on_from_there(root: Path, tree: Sysfs) -> None:
    done = pcifma("sweep", str(tree.root), "--clear", "--root", str(root))

    assert done.returncode == 1
    assert "Bad TLP  dl.btlp  CESta bit 6" in done.stdout
    assert "Written to hardware: 4 registers" in done.stdout
    with daemon(root, *source(tree)) as running:
        running.until_looks(2)
        assert running.classes().count("ereport.io.pciex.dl.btlp") == 1
        ledger = list(running.log().writes())
    assert [(row.device, row.register, row.value) for row in ledger] == IN_ORDER
    assert {row.command for row in ledger} == {"sweep --clear"}
    assert "writes ever made to hardware: 4" in pcifma("writes", "--root", str(root)).stdout


@pytest.mark.parametrize("driver", ["vfio-pci", "pciback"])
def test_sweep_refuses_a_guests_function_by_name_and_clears_the_rest(root: Path, tree: Sysfs, driver: str) -> None:
    tree.bind(tree.card, driver)
    before = (tree.card / "config").read_bytes()

    done = pcifma("sweep", str(tree.root), "--clear", "--json", "--root", str(root))

    assert (done.returncode, registers(done)) == (2, [IN_ORDER[1], IN_ORDER[3]])
    assert f"not cleared: {CARD}: owner: guest ({driver} holds it)" in done.stderr
    assert (tree.card / "config").read_bytes() == before


@pytest.mark.parametrize("where", ["missing", "no directory", "held"])
def test_sweep_clears_nothing_without_a_log_to_write(root: Path, tree: Sysfs, where: str) -> None:
    before = (tree.card / "config").read_bytes()
    log = Paths(root / "here").log
    if where == "no directory":
        log.mkdir(parents=True)
    elif where == "held":
        log.parent.mkdir(parents=True)
        pcifma("sweep", str(tree.root), "--clear", "--root", str(root / "here"))  # leaves a log
        before = (tree.card / "config").read_bytes()
        holder = subprocess.Popen(["flock", str(log.with_name("log.db.lock")), "sleep", "60"])
        subprocess.run(["sh", "-c", f"while flock -n {log}.lock true; do :; done"], check=True, timeout=30)

    done = pcifma("sweep", str(tree.root), "--clear", "--root", str(root / "here"))

    if where == "held":
        holder.kill()
        holder.wait()
    assert (done.returncode, done.stdout) == (2, "")
    assert "nothing is cleared that is not logged first" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (tree.card / "config").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((str(FIXTURE / "config.lspci"), "--clear", "--root", "."), "a capture cannot be cleared"),
        ((str(FIXTURE), "--clear"), "say which log its errors go into before they are cleared: --root DIR"),
        (("--root", "."), "--root names the log that --clear needs"),
        (("--clear", "--host-root", "/"), "it goes with no --host-root"),
    ],
)
def test_sweep_that_cannot_clear_says_why_in_one_line(words: tuple[str, ...], message: str) -> None:
    done = pcifma("sweep", *words)

    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert message in done.stderr


def test_sweep_clears_in_a_recording(root: Path, tmp_path: Path) -> None:
    fixture = tmp_path / "fixture"
    shutil.copytree(FIXTURE, fixture)
    step = '{at: 0s, latch: {"0000:04:00.0": {"ECAP_AER+10.l": 0x40}}}'
    (fixture / "case.yaml").write_text(f"about: latched from the start\nplatform: {{owner: none}}\nsteps: [{step}]\n")

    done = pcifma("sweep", str(fixture), "--clear", "--json", "--root", str(root))

    assert (done.returncode, registers(done)) == (1, [(CARD, "ECAP_AER+10.l", 0x40)])
    assert next(row for row in rows(done) if row["class"] == "register.write")["after"] == 0
