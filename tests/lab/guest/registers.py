"""Runs in the guest, and goes on running, as to start takes an emulated processor a second: does steps in order, as often as a JSON list
of them is written to PLACE/steps, a FIFO. It knows nothing of pcifma but how to ask a daemon how often it has looked.

["looks", SOCKET, N]                             until the daemon at SOCKET has looked N times more
["read", ADDRESS, OFFSET, WIDTH]                 a configuration register; null if it cannot be read
["peek", ADDRESS, OFFSET, WIDTH]                 the same, but a Function that sleeps is left alone: "asleep"
["power", ADDRESS, "on" or "auto"]               whether it may sleep
["write", ADDRESS, OFFSET, WIDTH, VALUE, MASK]   its bits of MASK
["served"]                                       until no thread of the AER service is at work: a recovery may wait for a minute

What PLACE/answer gives then is one JSON object: what was read, and when it ended (nanoseconds since 1970); or what went wrong, as "error".
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

PATIENCE_S = 240
PLACE = Path(sys.argv[1])
Value = int | str | None

opened: dict[str, int] = {}


def looks(path: str) -> int:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(path)
        connection.sendall(b'{"v": 1, "verb": "status", "args": {}}\n')
        with connection.makefile("rb") as stream:
            return int(json.loads(stream.readline())["result"]["looks"])


def wait(path: str, number: int) -> None:
    end, wanted = time.monotonic() + PATIENCE_S, -1
    while time.monotonic() < end:
        try:
            now = looks(path)
        except OSError:
            now = -1  # not up yet
        if now >= 0:
            wanted = now + number if wanted < 0 else wanted
            if now >= wanted:
                return
        time.sleep(0.1)
    raise TimeoutError(f"{path}: no {number} looks within {PATIENCE_S} s")


def served() -> None:
    names = [place.parent for place in Path("/proc").glob("[0-9]*/comm") if place.read_text().strip().endswith("aerdrv")]
    end = time.monotonic() + PATIENCE_S
    while any((place / "wchan").read_text() != "irq_thread" for place in names):
        if time.monotonic() > end:
            raise TimeoutError(f"the AER service is still at work after {PATIENCE_S} s")
        time.sleep(0.1)


def descriptor(address: str) -> int:
    # Opened once for all steps: emulated processors are slow.
    if address not in opened:
        opened[address] = os.open(f"/sys/bus/pci/devices/{address}/config", os.O_RDWR)
    return opened[address]


def read(address: str, offset: int, width: int) -> int | None:
    try:
        data = os.pread(descriptor(address), width, offset)
    except OSError:
        return None
    return int.from_bytes(data, "little") if len(data) == width else None


def asleep(address: str) -> bool:
    place = Path(f"/sys/bus/pci/devices/{address}")
    return (place / "power/runtime_status").read_text().strip() in ("suspended", "suspending")


def power(address: str, control: str) -> None:
    Path(f"/sys/bus/pci/devices/{address}/power/control").write_text(control)


def write(address: str, offset: int, width: int, value: int, mask: int) -> None:
    now = read(address, offset, width)
    if now is not None:
        os.pwrite(descriptor(address), (now & ~mask | value & mask).to_bytes(width, "little"), offset)


def done(steps: list[list[Any]]) -> list[Value]:
    found: list[Value] = []
    for verb, *rest in steps:
        if verb == "looks":
            wait(*rest)
        elif verb == "served":
            served()
        elif verb == "read":
            found.append(read(*rest))
        elif verb == "peek":
            found.append("asleep" if asleep(rest[0]) else read(*rest))
        elif verb == "power":
            power(*rest)
        else:
            write(*rest)
    return found


while True:
    with (PLACE / "steps").open() as file:
        steps = json.load(file)
    try:
        answer: dict[str, Any] = {"read": done(steps)}
    except (OSError, TypeError, ValueError, LookupError) as error:
        answer = {"error": repr(error)}
    while opened:
        os.close(opened.popitem()[1])
    with (PLACE / "answer").open("w") as file:
        json.dump({**answer, "ended_ns": time.time_ns()}, file)
