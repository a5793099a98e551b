"""A life of the daemon on a disk whose power goes, run inside a machine of the laboratory.

    python power.py live ROOT ANSWERED N    bits rise and fall; each seq that the daemon answers as durable is noted in ANSWERED, a
                                            file that outlives the machine; after N of them the machine is reset, as it stands
    python power.py check ROOT              what the log holds, as JSON
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.sysfs import CORRECTABLE_STATUS, DEVICE_STATUS, Sysfs

from pcifma.errors import DaemonError
from pcifma.fmd.client import Client
from pcifma.fmd.log.reader import Reader
from pcifma.fmd.log.readonly import open_readonly
from pcifma.fmd.path import Paths

TREE = Path("/run/tree")
CONFIGURATION = "poll: {interval: 50ms, slow_interval: 100ms}\nuser: root\ngroup: root\n"
BITS = (0x40, 0x80, 0x1000)


def answered(client: Client) -> int:
    """The newest seq that the daemon says is durable."""
    return int(client.ask("status", {})["log"]["seq"])


def connected(paths: Paths) -> Client:
    """A client, as soon as the daemon answers."""
    while True:
        with contextlib.suppress(DaemonError):
            client = Client(paths.socket)
            client.ask("status", {})
            return client
        time.sleep(0.2)


def live(root: Path, notes: Path, number: int) -> None:
    """Raise bits until *number* new answers are noted; then the power goes."""
    paths = Paths(root)
    paths.config.parent.mkdir(parents=True, exist_ok=True)
    paths.config.write_text(CONFIGURATION)
    tree = Sysfs(TREE)
    program = [str(Path(sys.executable).with_name("pcifma")), "fmd", "--root", str(root), "--source", str(TREE)]
    subprocess.Popen(program, stdin=subprocess.DEVNULL)
    client = connected(paths)
    note = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    last, n = answered(client), 0
    while number:
        n += 1
        tree.put(tree.card, CORRECTABLE_STATUS, BITS[n % len(BITS)], 4)
        tree.put(tree.card, DEVICE_STATUS, n % 2, 2)
        now = answered(client)
        if now > last:
            os.write(note, f"{now}\n".encode())
            os.fsync(note)
            last, number = now, number - 1
    Path("/proc/sysrq-trigger").write_text("b")


def check(root: Path) -> dict[str, object]:
    """The newest seq of the log, how many ereports it holds, and what SQLite finds wrong with it."""
    connection = open_readonly(Paths(root).log)
    wrong = [row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
    seqs = [logged.seq for logged in Reader(connection).events(0, 1 << 30)]
    broken = [path.name for path in Paths(root).state.glob("*broken*")]
    return {"newest": max(seqs, default=0), "events": len(seqs), "wrong": wrong, "broken": broken}


if __name__ == "__main__":
    if sys.argv[1] == "live":
        live(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
    else:
        print(json.dumps(check(Path(sys.argv[2]))))
