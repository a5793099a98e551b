from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lab import package
from lab.error import Unavailable
from lab.machine import Machine
from lab.topology import Topology
from lab.workspace import Workspace

PROGRAM = """
from lab.machine import Machine
from lab.topology import Topology
with Machine(Topology()) as machine:
    print(machine.pid, machine.share.parent, flush=True)
    machine.run("sleep 1000", seconds=1000)
"""


def running(pid: int) -> bool:
    # A zombie is not running: who reaps orphans here is not ours to say.
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def wait_gone(pid: int) -> None:
    """Wait until the kernel's notice of its parent's death has ended the process; TimeoutExpired after 10 s."""
    subprocess.run(["tail", f"--pid={pid}", "-f", "/dev/null"], timeout=10, check=True)


def test_workspace_of_a_living_run_stays() -> None:
    first = Workspace()
    Workspace().close()
    assert first.share.is_dir()
    first.close()
    assert not first.path.exists()


@pytest.mark.lab_full
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_run_leaves_nothing(number: signal.Signals) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as run:
        assert run.stdout is not None
        words = run.stdout.readline().split()
        run.send_signal(number)
    pid, path = int(words[0]), Path(words[1].decode())
    wait_gone(pid)
    Workspace().close()
    assert not path.exists()


@pytest.mark.lab_full
def test_closed_machine_leaves_nothing() -> None:
    machine = Machine(Topology())
    machine.boot()
    path = machine.share.parent
    machine.close()
    machine.close()
    assert not running(machine.pid)
    assert not path.exists()
    assert "Linux version" in machine.console


def test_missing_program_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "search_path", lambda: "/nonexistent")
    with pytest.raises(Unavailable, match=r"depmod is not installed \(package kmod\)"):
        package.program("depmod")
