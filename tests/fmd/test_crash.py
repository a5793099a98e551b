"""Killed anywhere, with any write or sync failing, or with the power gone: nothing that was logged is lost, nothing is cleared
that was not logged, and what comes out in the end is what an undisturbed run gives.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import crash
from support.disk import TRACE, Disk
from support.event import ereport

from pcifma.access.clock import SimulatedClock
from pcifma.event.ereport import Ereport
from pcifma.fmd.log.log import Log

SCENARIO = [sys.executable, str(Path(crash.__file__))]
BITS = list(range(crash.BITS))
UNDISTURBED = {
    "events": [0, 1, 2, 3, "list.suspect", 4, 5, 6, 7],
    "noted": [0, 1, 2, 3, "list.suspect", 4, 5, 6, 7],
    "cases": [["SOLVED", crash.BITS]],
}
# The suite takes every nth point; `pytest -m lab_long tests/fmd/test_crash.py` takes each.
STRIDE = 13

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="system calls are counted and failed with strace")


def live(root: Path, *injected: str) -> int:
    """One life of the daemon on *root*, with *injected* tampering; its exit status."""
    strace = ["strace", "-f", "-o", "/dev/null", *(word for what in injected for word in ("-e", what))] if injected else []
    return subprocess.run([*strace, *SCENARIO, str(root)], check=False, capture_output=True, timeout=120).returncode


def logged(root: Path) -> set[int]:
    """Bits that the log in *root* holds, once it is opened again; it must not be damaged."""
    reports: list[str] = []
    log = Log.open(root / "log.db", clock=SimulatedClock(), report=reports.append)
    bits = {entry.event.tick for entry in log.reader().events(0, 1000) if isinstance(entry.event, Ereport)}
    log.close()
    assert reports == []
    return bits


def acknowledged(root: Path) -> set[int]:
    return set((root / "acks").read_bytes()) if (root / "acks").exists() else set()


def check_end(root: Path) -> None:
    """What came of it is what comes of an undisturbed run, but for where the list event stands among later ereports."""
    result = json.loads((root / "result").read_text())
    for order in (result["events"], result["noted"]):
        assert [entry for entry in order if entry != "list.suspect"] == BITS
        assert order.count("list.suspect") == 1
        assert order.index("list.suspect") > order.index(3)
    assert result["cases"] == UNDISTURBED["cases"]
    assert acknowledged(root) == set(BITS)


def kill_at(root: Path, call: str, n: int) -> bool:
    """Kill at the nth *call*, see what is left, and live on to the end. False if the life was over before."""
    status = live(root, f"trace={call}", f"inject={call}:signal=KILL:when={n}")
    if status == 0:
        check_end(root)
        return False
    assert status in (-9, 137)
    assert acknowledged(root) <= logged(root), "a bit was cleared that is not logged"
    assert live(root) == 0
    check_end(root)
    return True


def points(tmp_path: Path, first: int, step: int) -> Iterator[tuple[Path, int]]:
    for n in range(first, 1000, step):
        root = tmp_path / str(n)
        root.mkdir()
        yield root, n
        shutil.rmtree(root)


def kill_everywhere(tmp_path: Path, call: str, first: int, step: int) -> int:
    """Kill at every *step*th *call* until the life ends by itself; how often it was killed."""
    return next(i for i, (root, n) in enumerate(points(tmp_path, first, step)) if not kill_at(root, call, n))


def test_undisturbed_life_gives_what_the_others_are_held_to(tmp_path: Path) -> None:
    assert live(tmp_path) == 0
    assert json.loads((tmp_path / "result").read_text()) == UNDISTURBED
    check_end(tmp_path)


@pytest.mark.parametrize(("call", "step"), [("pwrite64", 2 * STRIDE), ("fdatasync", STRIDE // 2), ("write", STRIDE // 3)])
def test_killed_at_some_calls_nothing_is_lost(tmp_path: Path, call: str, step: int) -> None:
    assert kill_everywhere(tmp_path, call, 2, step) >= 1


@pytest.mark.lab_long
@pytest.mark.parametrize("call", ["pwrite64", "fdatasync", "write", "ftruncate", "unlink"])
def test_killed_at_every_call_nothing_is_lost(tmp_path: Path, call: str) -> None:
    killed = kill_everywhere(tmp_path, call, 1, 1)
    print(f"{call}: killed at each of {killed} points")
    assert killed >= 2


def fail_at(root: Path, call: str, error: str, n: int) -> bool:
    """Fail the nth *call* and the next with *error*; False if there was none."""
    trace = root / "trace"
    tampered = ["strace", "-f", "-o", str(trace), "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={n}..{n + 1}"]
    subprocess.run([*tampered, *SCENARIO, str(root)], check=False, capture_output=True, timeout=120)
    if "(INJECTED)" not in trace.read_text():
        return False
    assert acknowledged(root) <= logged(root), "a bit was cleared that is not logged"
    assert live(root) == 0
    check_end(root)
    return True


FAILURES = [("pwrite64", "ENOSPC"), ("pwrite64", "EIO"), ("fdatasync", "EIO"), ("fdatasync", "ENOSPC"), ("ftruncate", "EIO")]


@pytest.mark.parametrize(("call", "error"), FAILURES[:3])
def test_failing_storage_loses_nothing(tmp_path: Path, call: str, error: str) -> None:
    failed = [fail_at(root, call, error, n) for root, n in points(tmp_path, 5, 4 * STRIDE) if n < 100]
    assert failed[0]


@pytest.mark.lab_long
@pytest.mark.parametrize(("call", "error"), FAILURES)
def test_storage_failing_at_every_call_loses_nothing(tmp_path: Path, call: str, error: str) -> None:
    failed = next(i for i, (root, n) in enumerate(points(tmp_path, 1, 1)) if not fail_at(root, call, error, n))
    print(f"{call} {error}: failed at each of {failed} points")
    assert failed >= 2


def lost_with_the_power(tmp_path: Path, synchronous: str) -> tuple[int, list[int]]:
    """Cut the power before each acknowledgement; how many there were, and the bits that the log then did not hold."""
    root = tmp_path / "root"
    root.mkdir()
    trace = tmp_path / "trace"
    subprocess.run([*TRACE, str(trace), *SCENARIO, str(root), synchronous], check=True, capture_output=True, timeout=120)
    disk, lost, count = Disk(root), [], 0
    with trace.open() as lines:
        for ack in disk.run(lines, "acks"):
            count += 1
            after = tmp_path / f"after-{count}"
            after.mkdir()
            disk.restore(after)
            lost += sorted(set(ack) - logged(after))
    return count, lost


def test_power_loss_before_any_acknowledgement_finds_its_ereport_on_disk(tmp_path: Path) -> None:
    assert lost_with_the_power(tmp_path, "FULL") == (crash.BITS, [])


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
def test_log_that_does_not_sync_is_found_out(tmp_path: Path, synchronous: str) -> None:
    count, lost = lost_with_the_power(tmp_path, synchronous)
    assert count == crash.BITS
    assert lost, "the check would not notice a log that never syncs"


def test_scenario_logs_the_bits_it_says(tmp_path: Path) -> None:
    assert live(tmp_path) == 0
    assert logged(tmp_path) == set(BITS)
    assert ereport(3).tick == 3
