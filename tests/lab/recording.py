"""Recordings of machines as fixtures: `pcifma record` looks on while errors are injected, one a look or two.

What must come out of a replay is not taken from pcifma: after each injection the registers are read by lspci and by
expect.classes(), and what is new is expected.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import product, reporting
from .command import Options
from .error import LabError
from .expect import classes, parse
from .machine import Machine
from .topology import DEAF_ENDPOINT, Topology, downstream, endpoint, root_port, switch

# As env resets SIGINT, which a shell makes background programs ignore, an interrupt ends the recording.
START = "rm -rf /lab/recording; env --default-signal=INT {program} record /lab/recording --seconds 600 >/lab/record.log 2>&1 & echo $!"
LOOKING = "for i in $(seq 600); do grep -q nanosleep /proc/{pid}/wchan && exit 0; sleep 0.2; done; cat /lab/record.log >&2; exit 1"
STOP = "kill -INT {pid}; tail --pid={pid} -f /dev/null"
SWITCHED = Topology(
    (root_port("rp1", endpoint("ep1")), root_port("rp2", switch("up1", downstream("dn1", endpoint("ep2"))), device="ioh3420"))
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A machine, whether its reporting path is open, and the errors that are injected one after the other: (name, error)."""

    about: str
    topology: Topology
    options: Options
    path_open: bool
    errors: Sequence[tuple[str, str]]


SCENARIOS = {
    "lab-linux-nomsi": Scenario(
        "QEMU: Linux with pci=nomsi, errors on endpoints and a switch port, messages end at deaf Root Ports",
        SWITCHED,
        {"cmdline": "pci=nomsi"},
        True,
        (("ep1", "POISON_TLP"), ("dn1", "BAD_TLP"), ("ep2", "MALF_TLP"), ("rp1", "RCVR")),
    ),
    "lab-xen-dom0": Scenario(
        "QEMU: Xen dom0 with the reporting path closed, errors on every kind of Function",
        SWITCHED,
        {"xen": True},
        False,
        (("ep1", "REP_TIMER"), ("up1", "INTN"), ("rp2", "SDN"), ("ep2", "COMP_TIME")),
    ),
    "lab-linux-native": Scenario(
        "QEMU: Linux that owns AER hears of two errors; the fatal one it cannot read, so its record has no bit, and the register has",
        SWITCHED,
        {},
        True,
        (("ep1", "POISON_TLP"), ("ep2", "MALF_TLP")),
    ),
    "lab-deaf-endpoint": Scenario(
        "QEMU: Linux that owns AER, and an endpoint that cannot report",
        Topology((root_port("rp1", endpoint("deaf1", DEAF_ENDPOINT)),)),
        {},
        True,
        (("deaf1", "UNX_COMP"), ("deaf1", "REP_ROLL")),
    ),
}


def record(scenario: Scenario, machine: Machine) -> Counter[tuple[str, str]]:
    """Record *scenario* into machine.share / "recording" and return how often each (device, class) must come out of it."""
    (reporting.open_path if scenario.path_open else reporting.close_path)(machine)
    reporting.clear(machine)
    seen = read(machine)
    expected = Counter(seen)
    pid = machine.check(START.format(program=product.PROGRAM)).strip()
    machine.check(LOOKING.format(pid=pid), product.SECONDS)
    for name, error in scenario.errors:
        machine.inject(name, error)
        machine.check("sleep 3")
        now = read(machine)
        expected += now - seen
        seen = now
    machine.check(STOP.format(pid=pid))
    case = machine.share / "recording" / "case.yaml"
    if not case.exists():
        raise LabError((machine.share / "record.log").read_text())
    case.write_text(settled(case.read_text()))
    return expected


def settled(case: str) -> str:
    """Return *case* with a quiet minute at its end: Status and Secondary Status are looked at every 30 s only."""
    last = float(re.findall(r"^  - \{at: ([0-9.]+)s", case, re.MULTILINE)[-1])
    return f"{case}  - {{at: {round(last) + 60}s}}\n"


def read(machine: Machine) -> Counter[tuple[str, str]]:
    """Return the (device, class) of every error bit that is set now, as lspci and the laboratory's own reader see it."""
    found = parse(machine.check("lspci -D -xxxx"))
    return Counter((device, f"ereport.io.{leaf}") for device, registers in found.items() for leaf in classes(registers))


def keep(name: str, source: Path, fixtures: Path, ereports: Sequence[dict[str, Any]]) -> None:
    """Make the recording *source* the fixture *name*, expecting *ereports* (lines of a replay that was held to record())."""
    fixture = fixtures / name
    shutil.rmtree(fixture, ignore_errors=True)
    shutil.copytree(source, fixture, symlinks=True)
    case = fixture / "case.yaml"
    case.write_text(re.sub(r"^about:.*", f"about: {json.dumps(SCENARIOS[name].about)}", case.read_text(), count=1, flags=re.MULTILINE))
    rows = [json.dumps(_partial(line)) for line in ereports]
    (fixture / "expect.json").write_text('{"ereports": [\n  ' + ",\n  ".join(rows) + "\n]}\n")


def _partial(line: dict[str, Any]) -> dict[str, Any]:
    named = {key: line["payload"][key] for key in ("register", "bit") if key in line["payload"]}
    return {"class": line["class"], "device": line["device"], **({"payload": named} if named else {})}
