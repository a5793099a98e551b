"""Power loss: the daemon on a disk of its own, the machine reset as it stands. What was answered as durable is there afterwards."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from support import power

import pcifma.fmd.log

from .error import LabError
from .machine import Machine
from .topology import Topology

CUTS = 50
UNSYNCED_CUTS = 1
DISK_BYTES = 256 << 20
PROGRAM = f"{sys.executable} {Path(power.__file__)}"
# The guest's own copy, in its memory, of the log's code: what a build without syncs would be.
UNSYNCED = f"sed -i s/synchronous=FULL/synchronous=OFF/ {Path(pcifma.fmd.log.__file__).parent}/*.py"

pytestmark = pytest.mark.lab_long


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.truncate(DISK_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(path)], check=True)
    return path


@contextmanager
def booted(disk: Path) -> Iterator[Machine]:
    """A machine with *disk* at /disk."""
    with Machine(Topology(), extra=("-drive", f"file={disk},if=virtio,format=raw")) as machine:
        machine.check("modprobe virtio_blk && modprobe ext4 && mkdir -p /disk && mount -t ext4 /dev/vda /disk")
        yield machine


def held(machine: Machine) -> dict[str, Any]:
    """What the log on the disk holds."""
    found: dict[str, Any] = json.loads(machine.check(f"{PROGRAM} check /disk/root"))
    return found


def cut(machine: Machine, answers: int) -> list[int]:
    """Live until *answers* seqs have been answered and the power goes; these seqs."""
    with suppress(LabError):
        machine.run(f"{PROGRAM} live /disk/root /lab/answered {answers} >/lab/said 2>&1", seconds=600)
    notes = machine.share / "answered"
    assert notes.exists(), (machine.share / "said").read_text()
    return [int(line) for line in notes.read_text().split()]


def lost(disk: Path, cuts: int, prepare: str = "true") -> tuple[int, int, int]:
    """Cut the power *cuts* times: seqs answered, those of them that were gone at the next start, and logs found damaged."""
    draw = random.Random(20261125)
    answered: list[int] = []
    total = gone = damaged = 0
    for number in range(cuts + 1):
        with booted(disk) as machine:
            if number:
                log = held(machine)
                gone += sum(seq > log["newest"] for seq in answered)
                damaged += bool(log["wrong"] or log["broken"]) + (log["events"] != log["newest"])
                print(f"cut {number}: {len(answered)} answered, the newest {answered[-1]}, the log has {log}", flush=True)
            if number == cuts:
                break
            machine.check(prepare)
            answered = cut(machine, draw.randrange(1, 40))
            total += len(answered)
    return total, gone, damaged


def test_nothing_that_was_answered_as_durable_is_lost_with_the_power(disk: Path) -> None:
    total, gone, damaged = lost(disk, CUTS)
    print(f"{CUTS} cuts: {total} answers, {gone} lost, {damaged} logs damaged")
    assert total >= CUTS
    assert (gone, damaged) == (0, 0)


def test_build_that_does_not_sync_is_found_out(disk: Path) -> None:
    total, gone, damaged = lost(disk, UNSYNCED_CUTS, UNSYNCED)
    print(f"{UNSYNCED_CUTS} cuts without syncs: {total} answers, {gone} lost, {damaged} logs damaged")
    assert gone or damaged
