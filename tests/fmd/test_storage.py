"""Storage that is read-only, full or failing, at the start or later: said, shown, waited for; nothing lost, nothing cleared unlogged."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.daemon import Daemon, configure, daemon
from support.sysfs import CORRECTABLE_STATUS, DEVICE_STATUS, Sysfs

from pcifma.event.ereport import Ereport
from pcifma.fmd.path import Paths

FAST = "poll: {interval: 100ms, slow_interval: 300ms, deadline: 2s}\n"  # traced, reads take their time
ROOT = os.geteuid() == 0
BTLP = "ereport.io.pciex.dl.btlp"


def can_mount() -> bool:
    mount = ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"]
    return ROOT and shutil.which("unshare") is not None and subprocess.run(mount, capture_output=True, check=False).returncode == 0


needs_mount = pytest.mark.skipif(not can_mount(), reason="needs root that may mount: storage of its own is put below the daemon")


def latch(tree: Sysfs) -> None:
    tree.put(tree.card, CORRECTABLE_STATUS, 0x40, 4)
    tree.put(tree.card, DEVICE_STATUS, 1, 2)


def own(root: Path) -> None:
    """Have the daemon's state directory there, as an earlier run leaves it."""
    configure(root, FAST + "user: root\ngroup: root\nclear: true\n")
    Paths(root).state.mkdir(parents=True)


def on_tmpfs(state: Path, options: str) -> list[str]:
    """The words that put a file system of its own at *state* and run the daemon on it."""
    return ["unshare", "-m", "sh", "-c", f'mount -t tmpfs -o {options} none "{state}" && exec "$@"', "sh"]


def inside(running: Daemon, line: str) -> None:
    """Run *line* where the daemon's file systems are."""
    subprocess.run(["nsenter", "-t", str(running.process.pid), "-m", "sh", "-c", line], check=True)


def held(running: Daemon) -> dict[str, Any]:
    """The log, as the daemon's own words have it."""
    status = running.status()
    return dict(status.get("log") or {})


@needs_mount
def test_storage_that_is_read_only_at_the_start_is_waited_for(root: Path, tree: Sysfs) -> None:
    own(root)
    latch(tree)
    state = Paths(root).state
    with daemon(root, "--source", str(tree.root), prefix=on_tmpfs(state, "ro"), wait=False) as running:
        running.until(lambda: "Read-only file system" in running.status()["waiting"], "the wait for storage")
        assert running.status()["looks"] == 0
        assert running.said.count("nothing is looked at until then") == 1
        inside(running, f"mount -o remount,rw {state}")
        running.until(lambda: running.status().get("writes", 0) >= 2, "what was latched to be logged and cleared")
        assert (running.status()["waiting"], held(running)["trouble"]) == ("", "")
        assert running.stop() == 0


@needs_mount
def test_storage_that_fills_up_is_said_and_what_was_seen_is_logged_once_it_is_freed(root: Path, tree: Sysfs) -> None:
    own(root)
    state = Paths(root).state
    with daemon(root, "--source", str(tree.root), prefix=on_tmpfs(state, "size=16m")) as running:
        inside(running, f"cat /dev/zero >{state}/ballast 2>/dev/null || true")
        latch(tree)
        running.until(lambda: "full" in held(running)["trouble"] or "I/O" in held(running)["trouble"], "the trouble")
        looks = running.status()["looks"]
        running.until(lambda: running.status()["looks"] > looks + 3, "further looks")
        assert running.status()["writes"] == 0
        assert running.said.count("events wait in memory and nothing is cleared") == 1
        inside(running, f"rm {state}/ballast")
        running.until(lambda: running.status().get("writes", 0) >= 2, "what was latched to be logged and cleared")
        assert "storage takes the log again" in running.said
        assert held(running)["trouble"] == ""
        assert running.stop() == 0


@pytest.mark.skipif(not ROOT, reason="needs root: whoever is not root makes its own directory")
def test_directory_that_cannot_be_made_keeps_no_daemon_from_saying_so(root: Path, tree: Sysfs) -> None:
    configure(root, FAST)
    state = Paths(root).state
    state.parent.mkdir(parents=True)
    with daemon(root, "--source", str(tree.root), prefix=failing("mkdir", "EROFS", "1+", [state]), wait=False) as running:
        running.until(lambda: running.status()["waiting"], "the wait for storage")
        assert f"{state}: Read-only file system: going on without" in running.said


# Every write and sync of the log's files, by strace, at its nth call and the next few.

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="system calls are failed with strace")
CALLS = {
    "pwrite64": ("ENOSPC", "EIO", "EROFS"),
    "fdatasync": ("EIO", "ENOSPC"),
    "fsync": ("EIO",),
    "ftruncate": ("EIO",),
    "openat": ("EROFS", "EIO"),
}
STRIDE = 9
LAST = 60


def failing(call: str, error: str, when: str, paths: list[Path]) -> list[str]:
    """The words that fail *call* on *paths*; the daemon stays the process that was started (-D)."""
    on = [word for path in paths for word in ("-P", str(path))]
    what = ["-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={when}"]
    return ["strace", "-D", "-f", "--seccomp-bpf", "-q", "-o", "/dev/null", *on, *what]


def survive(root: Path, tree: Sysfs, call: str, error: str, n: int) -> None:
    """Fail the nth *call* and the four after it: the daemon goes on, logs what it saw, and clears nothing before that."""
    configure(root, FAST + "user: root\ngroup: root\nclear: true\n")
    log = Paths(root).log
    files = [log, log.with_name("log.db-wal"), log.with_name("log.db-shm"), log.with_name("log.db-journal"), log.parent]
    with daemon(root, "--source", str(tree.root), prefix=failing(call, error, f"{n}..{n + 4}", files), wait=False) as running:
        running.until(lambda: running.status()["looks"] >= 2, "looks")
        latch(tree)
        running.until(lambda: BTLP in running.classes(), "the ereport")
        running.until(lambda: running.status().get("writes", 0) >= 2, "the clearing")
        check(running)
        assert running.stop() == 0
        check(running)


def check(running: Daemon) -> None:
    """One ereport, and every bit that was written back had one."""
    reader = running.log()
    events = [logged.event for logged in reader.events(0, 1000)]
    written = {(row.device, row.register) for row in reader.writes() if row.value}
    reader.close()
    seen = [e for e in events if isinstance(e, Ereport) and e.class_ == BTLP]
    assert len(seen) == 1, [e.class_ for e in events]
    assert ("0000:04:00.0", "ECAP_AER+10.l") in written


@needs_strace
@pytest.mark.lab_long
@pytest.mark.parametrize(("call", "n"), [("pwrite64", 3), ("pwrite64", 40), ("fdatasync", 4), ("openat", 2)])
def test_storage_failing_at_some_calls_stops_nothing(root: Path, tree: Sysfs, call: str, n: int) -> None:
    survive(root, tree, call, CALLS[call][n % len(CALLS[call])], n)


@needs_strace
@pytest.mark.lab_long
@pytest.mark.parametrize(("call", "error"), [(call, error) for call, errors in CALLS.items() for error in errors])
def test_storage_failing_at_each_call_stops_nothing(tmp_path: Path, call: str, error: str) -> None:
    tmp_path.chmod(0o755)
    for n in range(1, LAST, STRIDE if call == "pwrite64" else 3):
        root = tmp_path / str(n)
        survive(root, Sysfs(root / "sys"), call, error, n)
