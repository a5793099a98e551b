"""Recordings of machines as fixtures: `pcifma record` looks on while errors are injected, one a look or two.

What must come out of a replay is not taken from pcifma: it is what was injected, by the laboratory's own table; what else the
registers show after each injection, read by lspci and expect.classes(); and how far the kernel's counters have moved. A class that
the kernel's recovery left no trace of but its record is the table's too.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import shutil
import tarfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import product, reporting
from .daemon import steps
from .error import LabError
from .expect import ERRORS, Error, classes, parse
from .machine import Machine
from .matrix.change import give, interrupts
from .matrix.mode import MODES, MSI_OFF, Change, Mode
from .matrix.witness import kernel
from .topology import DEAF_ENDPOINT, Topology, downstream, endpoint, root_port, switch

# As env resets SIGINT, which a shell makes background programs ignore, an interrupt ends the recording.
START = "rm -rf /lab/recording; env --default-signal=INT {program} record /lab/recording --seconds 600 >/lab/record.log 2>&1 & echo $!"
LOOKING = "for i in $(seq 600); do grep -q nanosleep /proc/{pid}/wchan && exit 0; sleep 0.2; done; cat /lab/record.log >&2; exit 1"
STOP = "kill -INT {pid}; tail --pid={pid} -f /dev/null"
SWITCHED = Topology(
    (root_port("rp1", endpoint("ep1")), root_port("rp2", switch("up1", downstream("dn1", endpoint("ep2"))), device="ioh3420"))
)
DEAF = Topology((root_port("rp1", endpoint("ep1", DEAF_ENDPOINT)),))
# One of each kind, at each kind of Function; the severities are those after reset.
ERRORS_OF_A_MODE = (("ep1", "RCVR"), ("up1", "COMP_TIME"), ("rp1", "REP_TIMER"), ("ep1", "POISON_TLP"), ("ep2", "MALF_TLP"))
MESSAGES = {"cor": "ce", "nonfatal": "nfe", "fatal": "fe"}  # aer_rootport_total_err_*, and illumos's leaf
_BY_NAME = {error.name: error for error in ERRORS}
# Snapshots, what the kernel did about errors, and what became of the path and of who can be read: no error of its own.
WORDLESS = frozenset(f"ereport.{name}" for name in ("io.pci.fabric", "io.pciex.recovery", "io.pciex.deaf", "pcifma.unread"))


@dataclass(frozen=True, slots=True)
class Scenario:
    """A machine of the matrix (*boot*), whether its reporting path is open, what is changed after boot, and the errors that are
    injected one after the other: (name, error).
    """

    about: str
    boot: str
    errors: Sequence[tuple[str, str]]
    topology: Topology = SWITCHED
    path_open: bool = True
    change: Change = ""


SCENARIOS = {
    "lab-linux-nomsi": Scenario(
        "QEMU: Linux with pci=nomsi, errors on endpoints and a switch port, messages end at deaf Root Ports",
        "nomsi",
        (("ep1", "POISON_TLP"), ("dn1", "BAD_TLP"), ("ep2", "MALF_TLP"), ("rp1", "RCVR")),
    ),
    "lab-xen-dom0": Scenario(
        "QEMU: Xen dom0 with the reporting path closed, errors on every kind of Function",
        "xen",
        (("ep1", "REP_TIMER"), ("up1", "INTN"), ("rp2", "SDN"), ("ep2", "COMP_TIME")),
        path_open=False,
    ),
    "lab-linux-native": Scenario(
        "QEMU: Linux that owns AER hears of two errors; the fatal one it cannot read, so its record has no bit, and the register has",
        "linux",
        (("ep1", "POISON_TLP"), ("ep2", "MALF_TLP")),
    ),
    "lab-deaf-endpoint": Scenario(
        "QEMU: Linux that owns AER, and an endpoint that cannot report",
        "linux",
        (("ep1", "UNX_COMP"), ("ep1", "REP_ROLL")),
        DEAF,
    ),
}


def of_mode(mode: Mode) -> Scenario:
    """A scenario of *mode*."""
    if mode.deaf:
        return Scenario(f"QEMU: {mode.name}", mode.boot, (("ep1", "RCVR"), ("rp1", "POISON_TLP"), ("ep1", "MALF_TLP")), DEAF)
    return Scenario(f"QEMU: {mode.name}", mode.boot, ERRORS_OF_A_MODE, SWITCHED, mode.path_open, mode.change)


def name_of(mode: Mode) -> str:
    """The name of the fixture of *mode*."""
    return "matrix-" + re.sub(r"[^a-z0-9]+", "-", mode.name.lower()).strip("-")


BY_MODE = {name_of(mode): of_mode(mode) for mode in MODES if not mode.control}


def record(scenario: Scenario, machine: Machine) -> Counter[tuple[str, str]]:
    """Record *scenario* into machine.share / "recording" and return how often each (device, class) must come out of it."""
    (reporting.open_path if scenario.path_open else reporting.close_path)(machine)
    addresses = machine.addresses()
    _change(machine, scenario.change, addresses)
    reporting.clear(machine)
    seen, counted = read(machine), messages(machine)
    expected = Counter(seen)
    pid = machine.check(START.format(program=product.PROGRAM)).strip()
    machine.check(LOOKING.format(pid=pid), product.SECONDS)
    for name, error in scenario.errors:
        machine.check("dmesg -c")
        machine.inject(name, error)
        machine.check("sleep 3")
        now = read(machine)
        new = now - seen
        expected += new + _left(_BY_NAME[error], addresses[name], new, machine)
        seen = now
    expected += messages(machine) - counted
    machine.check(STOP.format(pid=pid))
    case = machine.share / "recording" / "case.yaml"
    if not case.exists():
        raise LabError((machine.share / "record.log").read_text())
    case.write_text(settled(case.read_text()))
    return expected


def _left(error: Error, device: str, new: Counter[tuple[str, str]], machine: Machine) -> Counter[tuple[str, str]]:
    # What is to be told of *error* beside what is *new* in the registers: the kernel may have cleared it, or a link reset wiped it.
    said = [one for one in kernel(machine.check("dmesg")) if one.device == device]
    named = (device, f"ereport.io.pciex.{error.leaf}")
    told = [(device, f"ereport.io.pciex.{one.severity}") for one in said]
    if new[named] or any(new[one] for one in told):
        return Counter()
    if not said and device in asleep(machine):
        return Counter()
    return Counter([named] if not said or any(error in one.errors for one in said) else told[:1])


def came_out(lines: Sequence[dict[str, Any]]) -> Counter[tuple[str, str]]:
    """How often each (device, class) is in the ereports *lines* of a replay."""
    found: Counter[tuple[str, str]] = Counter()
    for line in lines:
        if line["class"] not in WORDLESS:
            found[line["device"], line["class"]] += line["count"]
    return found


def messages(machine: Machine) -> Counter[tuple[str, str]]:
    """How many messages each Root Port has had, by the kernel's count: (device, class)."""
    lines = machine.check("cd /sys/bus/pci/devices && grep . */aer_rootport_total_err_* 2>/dev/null || true").splitlines()
    found: Counter[tuple[str, str]] = Counter()
    for device, kind, number in re.findall(r"^(\S+)/aer_rootport_total_err_(\w+):(?:\w+ )?(\d+)$", "\n".join(lines), re.MULTILINE):
        found[device, f"ereport.io.pciex.rc.{MESSAGES[kind]}-msg"] = int(number)
    return found


def _change(machine: Machine, change: Change, addresses: dict[str, str]) -> None:
    if change == MSI_OFF:
        found = parse(machine.check("lspci -D -xxxx"))
        layout = {name: found[address] for name, address in addresses.items() if address in found}
        steps(machine, list(interrupts(machine.topology.names("root_port"), addresses, layout, enabled=False)))
    give(machine, change, machine.topology.names("endpoint"))


def settled(case: str) -> str:
    """Return *case* with a quiet minute at its end: Status and Secondary Status are looked at every 30 s only."""
    last = float(re.findall(r"^  - \{at: ([0-9.]+)s", case, re.MULTILINE)[-1])
    return f"{case}  - {{at: {round(last) + 60}s}}\n"


def read(machine: Machine) -> Counter[tuple[str, str]]:
    """Return the (device, class) of every error bit that is set now where nobody sleeps, as lspci and the laboratory's reader see it."""
    found, left_alone = parse(machine.check("lspci -D -xxxx")), asleep(machine)
    there = {device: one for device, one in found.items() if device not in left_alone and one.dword(0) != 0xFFFFFFFF}
    return Counter((device, f"ereport.io.{leaf}") for device, registers in there.items() for leaf in classes(registers))


def asleep(machine: Machine) -> set[str]:
    """The Functions that sleep: nobody reads them."""
    said = machine.check("cd /sys/bus/pci/devices && grep -l suspend */power/runtime_status || true")
    return {line.partition("/")[0] for line in said.splitlines()}


def keep(name: str, source: Path, fixtures: Path, ereports: Sequence[dict[str, Any]]) -> None:
    """Make the recording *source* the fixture *name*, expecting *ereports* (lines of a replay that was held to record())."""
    fixture = fixtures / name
    shutil.rmtree(fixture, ignore_errors=True)
    shutil.copytree(source, fixture, symlinks=True)
    case = fixture / "case.yaml"
    about = {**SCENARIOS, **BY_MODE}[name].about
    case.write_text(re.sub(r"^about:.*", f"about: {json.dumps(about)}", case.read_text(), count=1, flags=re.MULTILINE))
    rows = [json.dumps(_partial(line)) for line in ereports]
    (fixture / "expect.json").write_text('{"ereports": [\n  ' + ",\n  ".join(rows) + "\n]}\n")


def pack(name: str, fixtures: Path) -> None:
    """Make of the fixture *name* a tar, which is the same each time: small, where a directory has hundreds of small files."""
    directory = fixtures / name
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(directory.rglob("*")):
            if path.is_symlink() or path.is_file():
                member = archive.gettarinfo(str(path), str(path.relative_to(directory)))
                member.uid = member.gid = member.mtime = 0
                member.uname = member.gname = ""
                with path.open("rb") if member.isreg() else io.BytesIO() as stream:
                    archive.addfile(member, stream)
    (fixtures / f"{name}.tar.gz").write_bytes(gzip.compress(plain.getvalue(), mtime=0))
    shutil.rmtree(directory)


def _partial(line: dict[str, Any]) -> dict[str, Any]:
    named = {key: line["payload"][key] for key in ("register", "bit") if key in line["payload"]}
    return {"class": line["class"], "device": line["device"], **({"payload": named} if named else {})}
