"""The daemon as a process: starts, looks, logs, acknowledges, survives its plugins, its keeper and its end."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from pathlib import Path

import pytest
from support.daemon import Daemon, configure, daemon
from support.foreign import plugin
from support.sysfs import CARD, CORRECTABLE_STATUS, DEVICE_STATUS, PORT, Sysfs

from pcifma.errors import DaemonError
from pcifma.event.ereport import Ereport
from pcifma.fmd import privilege
from pcifma.fmd.path import Paths

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: privileges are dropped, the keeper is started")
BAD_TLP = 1 << 6
FAST = "poll: {interval: 100ms, slow_interval: 300ms}\n"


def latch(tree: Sysfs) -> None:
    tree.put(tree.card, CORRECTABLE_STATUS, BAD_TLP, 4)
    tree.put(tree.card, DEVICE_STATUS, 1, 2)


def source(tree: Sysfs) -> tuple[str, str]:
    return "--source", str(tree.root)


def test_latched_bit_is_logged_once_over_restarts(root: Path, tree: Sysfs) -> None:
    configure(root, FAST)
    latch(tree)
    for _ in range(2):
        with daemon(root, *source(tree)) as running:
            running.until_looks(3)
            assert running.stop() == 0

    assert running.classes() == ["ereport.io.pci.fabric", "ereport.io.pciex.dl.btlp"]


def test_bit_that_rises_later_is_logged_with_its_interval(root: Path, tree: Sysfs) -> None:
    configure(root, FAST)
    with daemon(root, *source(tree)) as running:
        running.until_looks()
        latch(tree)
        running.until(lambda: "ereport.io.pciex.dl.btlp" in running.classes(), "the ereport")
        event = running.log().events(0, 10)[-1].event

    assert isinstance(event, Ereport)
    assert (event.device, event.first_look) == (CARD, False)
    assert event.not_before is not None
    assert event.not_before < event.time


def test_status_says_what_is_looked_at(root: Path, tree: Sysfs) -> None:
    with daemon(root, *source(tree)) as running:
        status = running.status()

    assert (status["functions"], status["unread"], status["writes"], status["waiting"]) == (2, {}, 0, "")
    assert status["plugins"]["failed"] == 0
    assert status["keeper"] == ("root" if os.geteuid() == 0 else "none")


@needs_root
def test_daemon_gives_up_root_and_cannot_write_config_space(root: Path, tree: Sysfs) -> None:
    with daemon(root, *source(tree)) as running:
        status = Path(f"/proc/{running.process.pid}/status").read_text()
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        config = [fd.name for fd in Path(f"/proc/{running.process.pid}/fd").iterdir() if is_open_config(fd)]
        flags = [Path(f"/proc/{running.process.pid}/fdinfo/{name}").read_text().split("flags:\t")[1].split()[0] for name in config]

    assert set(fields["Uid"].split()) == {str(running_uid(running))} != {"0"}
    assert fields["CapEff"] == fields["CapPrm"] == "0" * 16
    assert len(config) == 2
    assert all(int(flag, 8) & os.O_ACCMODE == os.O_RDONLY for flag in flags)


def is_open_config(fd: Path) -> bool:
    try:
        return fd.readlink().name == "config"
    except FileNotFoundError:  # closed since it was listed
        return False


def running_uid(running: Daemon) -> int:
    return running.paths.state.stat().st_uid


@needs_root
def test_logged_bits_are_written_back_only_where_allowed(root: Path, tree: Sysfs) -> None:
    configure(root, FAST + "clear: true\n")
    latch(tree)
    with daemon(root, *source(tree)) as running:
        running.until(lambda: running.status()["writes"] == 2, "both writes")
        rows = [(row.device, row.register, row.value) for row in running.log().writes()]

    assert sorted(rows)[:2] == [(CARD, "CAP_EXP+a.w", 1), (CARD, "ECAP_AER+10.l", BAD_TLP)]
    wrote = [line.split(f"{CARD} ")[1].split(":")[0] for line in running.said.splitlines() if "wrote" in line]
    assert wrote[:2] == ["extended 0x1+0x10", "standard 0x10+0xa"]


@needs_root
def test_nothing_is_written_where_linux_owns_aer(root: Path, tree: Sysfs) -> None:
    configure(root, FAST + "clear: true\n")
    tree.service(tree.port, "pcie002", "aer")
    latch(tree)
    with daemon(root, *source(tree)) as running:
        running.until_looks(5)
        assert running.status()["writes"] == 0
        assert list(running.log().writes()) == []

    assert "wrote" not in running.said


def test_second_daemon_on_one_root_refuses(root: Path, tree: Sysfs) -> None:
    with daemon(root, *source(tree)) as first:
        with daemon(root, *source(tree), wait=False) as second:
            assert second.process.wait(30) == 2
        assert f"another pcifma fmd (process {first.process.pid})" in second.said
        assert first.status()["looks"] >= 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_daemon_stops_cleanly_and_leaves_one_file(root: Path, tree: Sysfs, number: int) -> None:
    with daemon(root, *source(tree)) as running:
        assert running.stop(number) == 0

    assert running.said.count("pcifma fmd:") <= 1
    assert not running.paths.log.with_name("log.db-wal").exists()


def test_killed_daemon_goes_on_where_it_was(root: Path, tree: Sysfs) -> None:
    configure(root, FAST)
    latch(tree)
    with daemon(root, *source(tree)) as running:
        running.until(lambda: len(running.classes()) == 2, "both ereports")
        running.stop(signal.SIGKILL)
    with daemon(root, *source(tree)) as running:
        running.until_looks(3)

        assert running.classes() == ["ereport.io.pci.fabric", "ereport.io.pciex.dl.btlp"]


@needs_root
def test_keeper_that_dies_is_said_and_reading_goes_on(root: Path, tree: Sysfs) -> None:
    configure(root, FAST)
    with daemon(root, *source(tree)) as running:
        keeper = next(int(pid) for pid in children(running.process.pid) if b"keeper" in Path(f"/proc/{pid}/cmdline").read_bytes())
        os.kill(keeper, signal.SIGKILL)
        running.until(lambda: "ereport.pcifma.keeper" in running.classes(), "the keeper's ereport")
        latch(tree)
        running.until(lambda: "ereport.io.pciex.dl.btlp" in running.classes(), "the ereport")
        assert running.status()["keeper"] == "gone"

    assert "the keeper is gone" in running.said


def children(pid: int) -> list[str]:
    return [child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


@needs_root
def test_keeper_and_plugins_end_with_a_killed_daemon(root: Path, tree: Sysfs) -> None:
    plugin(root, "calm", "return ()")
    with daemon(root, *source(tree)) as running:
        assert running.plugins()["calm"]["status"] == "active"
        pids = children(running.process.pid)
        assert len(pids) == 3  # keeper, nursery, plugin
        running.stop(signal.SIGKILL)
        for pid in pids:
            end(int(pid))


def end(pid: int) -> None:
    """Wait for a process that is not ours to end."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    assert select.select([handle], [], [], 20)[0], f"process {pid} lives on"
    os.close(handle)


def test_plugin_that_cannot_be_loaded_is_said_and_the_rest_runs(root: Path, tree: Sysfs) -> None:
    path = plugin(root, "broken", "return (")
    with daemon(root, *source(tree)) as running:
        rows = running.plugins()

    assert "SyntaxError" in rows["broken"]["why"]
    assert str(path.name) in running.said


def test_plugins_are_loaded_and_let_go_at_run_time(root: Path, tree: Sysfs) -> None:
    configure(root, FAST)
    with daemon(root, *source(tree)) as running:
        plugin(root, "late", "yield Finding('ereport.late', Evidence(now.target, Location.parse('CAP_EXP+a.w'), 3), 'info')")
        assert running.ask("load", name="late") == {"loaded": "late"}
        running.until(lambda: "ereport.late" in running.classes(), "its ereport")
        with pytest.raises(DaemonError, match="plugin late is active already"):
            running.ask("load", name="late")
        assert running.ask("unload", name="late") == {"unloaded": "late"}
        with pytest.raises(DaemonError, match="plugin late is not loaded"):
            running.ask("unload", name="late")
        with pytest.raises(DaemonError, match="no plugin nowhere"):
            running.ask("load", name="nowhere")
        running.until(lambda: len(changes(running)) == 5, "the record of all five attempts")
        found = changes(running)

    assert [change["verb"] for change in found] == ["load", "load", "unload", "unload", "load"]
    assert {(change["uid"], change["pid"]) for change in found} == {(os.geteuid(), os.getpid())}


def changes(running: Daemon) -> list[dict[str, object]]:
    events = [logged.event for logged in running.log().events(0, 1000)]
    return [dict(event.payload) for event in events if isinstance(event, Ereport) and event.class_ == "ereport.pcifma.change"]


def test_failed_plugin_can_be_loaded_again_once_it_is_mended(root: Path, tree: Sysfs) -> None:
    configure(root, FAST)
    path = plugin(root, "mended", "raise ValueError('no')")
    with daemon(root, *source(tree)) as running:
        running.until(lambda: {r["name"]: r["status"] for r in running.ask("config")}["mended"] == "failed", "its failure")
        (path / "plugin.py").write_text((path / "plugin.py").read_text().replace("raise ValueError('no')", "return ()"))

        assert running.ask("load", name="mended") == {"loaded": "mended"}
        assert {r["name"]: r["status"] for r in running.ask("config")}["mended"] == "active"


def test_wrong_configuration_starts_nothing(root: Path, tree: Sysfs) -> None:
    configure(root, "poll: {intervall: 1s, deadline: never}\nmodules: {nobody: {a: 1}}\n")
    with daemon(root, *source(tree), wait=False) as running:
        assert running.process.wait(30) == 2

    assert "$.poll.intervall" in running.said
    assert "$.poll.deadline" in running.said
    assert not running.paths.log.exists()


def test_check_says_every_mistake_and_starts_nothing(root: Path) -> None:
    configure(root, "poll: {intervall: 1s}\nmodules: {nobody: {a: 1}}\nplugins: {disable: [nothing]}\n")
    result = check(root)
    assert (result.returncode, result.stdout) == (2, "")
    assert [word for word in ("intervall", "nobody", "nothing") if word in result.stderr] == ["intervall", "nobody", "nothing"]
    assert "Traceback" not in result.stderr

    configure(root, "poll: {interval: 1s}\n")
    assert check(root).returncode == 0
    assert sorted(p.name for p in root.iterdir()) == ["etc"]


def check(root: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(os.sys.executable).with_name("pcifma")), "fmd", "--check", "--root", str(root)]  # type: ignore[attr-defined]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_function_that_comes_and_goes_is_followed(root: Path, tree: Sysfs) -> None:
    configure(root, FAST)
    with daemon(root, *source(tree)) as running:
        link = tree.root / "bus/pci/devices" / CARD
        target = link.readlink()
        link.unlink()
        running.until(lambda: running.status()["functions"] == 1, "its going")
        link.symlink_to(target)
        running.until(lambda: running.status()["functions"] == 2, "its coming back")
        assert running.status()["unread"] == {}
    assert PORT in str(tree.port)


@needs_root
def test_log_that_a_manager_gave_to_root_is_taken_up_again(root: Path, tree: Sysfs) -> None:
    for _ in range(2):
        with daemon(root, *source(tree)) as running:
            running.until_looks(1)
            assert running.status()["waiting"] == ""
            assert running.stop() == 0
        owner = running.paths.log.stat().st_uid
        for path in (running.paths.state, *running.paths.state.iterdir()):
            os.chown(path, 0, 0)  # as systemd does with a StateDirectory=

    assert owner != 0


@needs_root
def test_links_in_the_state_directory_are_given_to_nobody(root: Path) -> None:
    paths = Paths(root)
    paths.state.mkdir(parents=True)
    for name in ("secret", "own"):
        (root / name).write_text("x")
    (paths.state / "soft").symlink_to(root / "secret")
    (paths.state / "hard").hardlink_to(root / "secret")
    (paths.state / "log.db").write_text("x")
    privilege.prepare(paths, privilege.Identity(12345, 12345))

    assert (root / "secret").stat().st_uid == 0
    assert (paths.state / "log.db").stat().st_uid == 12345
