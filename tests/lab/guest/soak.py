"""Runs in the guest: keeps a daemon alive as a service manager does, kills it now and then, and notes every few seconds how it is.

    python3 soak.py ORDER.json >samples        ORDER: command, socket, said, seconds, every_s, reload_s, kill_s (shortest, longest), seed

A line of JSON for each note. It knows nothing of pcifma but how to ask a daemon: `status`, `config` and `load`.
"""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ASKS = 5  # how often the socket is asked for each note
DOWN = (OSError, ValueError, KeyError, IndexError)


def ask(path: str, verb: str, **args: str) -> tuple[Any, float]:
    """The result of *verb*, and how many milliseconds it took."""
    began = time.monotonic()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(path)
        connection.sendall(json.dumps({"v": 1, "verb": verb, "args": args}).encode() + b"\n")
        with connection.makefile("rb") as stream:
            reply = json.loads(stream.readline())
    return reply.get("result", reply.get("error")), (time.monotonic() - began) * 1000


def family(pid: int) -> list[int]:
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def pss_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def note(path: str, life: int, process: subprocess.Popen[bytes], *, reload: bool) -> dict[str, Any]:
    asked = [ask(path, "status") for _ in range(ASKS)]
    status = asked[-1][0]
    rows = ask(path, "config")[0]
    failed = [row["name"] for row in rows if row["status"] == "failed"]
    refused = [answer for name in failed if reload and "loaded" not in (answer := ask(path, "load", name=name)[0])]
    sizes = {}
    for pid in family(process.pid):
        try:
            sizes[pid] = pss_kib(pid)
        except OSError:
            continue  # ended meanwhile
    return {
        "at": time.monotonic(),
        "life": life,
        "ms": [round(ms, 1) for _, ms in asked],
        "looks": status["looks"],
        "longest_look_s": status["longest_look_s"],
        "trouble": status["log"]["trouble"],
        "unread": sum(status["unread"].values()),
        "own_kib": sizes[process.pid],
        "all_kib": sum(sizes.values()),
        "processes": len(sizes),
        "failed": failed,
        "refused": refused,
    }


def start(order: dict[str, Any]) -> subprocess.Popen[bytes]:
    with Path(order["said"]).open("ab") as said:
        return subprocess.Popen(order["command"], stdout=subprocess.DEVNULL, stderr=said)


def main() -> None:
    order = json.loads(Path(sys.argv[1]).read_text())
    draw, life = random.Random(order["seed"]), 0
    end = time.monotonic() + order["seconds"]
    process: subprocess.Popen[bytes] | None = None
    kill_at = reload_at = 0.0
    while time.monotonic() < end:
        if process is None or process.poll() is not None:
            if process is not None:
                print(json.dumps({"life": life, "ended": process.returncode}), flush=True)
            life += 1
            process = start(order)
            kill_at = time.monotonic() + draw.uniform(*order["kill_s"])
        time.sleep(order["every_s"])
        reload = time.monotonic() >= reload_at
        reload_at = time.monotonic() + order["reload_s"] if reload else reload_at
        try:
            print(json.dumps(note(order["socket"], life, process, reload=reload)), flush=True)
        except DOWN as err:
            print(json.dumps({"life": life, "down": f"{type(err).__name__}: {err}"}), flush=True)
        if time.monotonic() >= kill_at and end - time.monotonic() > order["kill_s"][0]:
            process.kill()


main()
