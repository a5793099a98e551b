"""Clearing in a real kernel: what was injected is cleared, and the emulator's own trace of configuration writes shows that nothing else
was ever written; refused where Linux owns AER, under lockdown, and where sysfs is read-only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import product, reporting
from lab.channel import Result
from lab.conftest import booted
from lab.expect import ERRORS
from lab.machine import Machine
from lab.topology import standard

pytestmark = pytest.mark.lab_full

PLACES = ("ep1", "ep2", "up1", "dn1", "rp1", "br1")
# QEMU's trace event pci_cfg_write: device, bus:slot.function, offset, value.
_WRITE = re.compile(r"pci_cfg_write \S+ ([0-9a-f]+):([0-9a-f]+)\.([0-9a-f]+) @0x([0-9a-f]+) <- 0x([0-9a-f]+)")
Written = tuple[str, int, int]


class Traced:
    """A machine whose configuration writes, whoever makes them, are in QEMU's log at *path*."""

    def __init__(self, machine: Machine, path: Path) -> None:
        self.machine, self.path = machine, path
        self._seen = 0

    def writes(self) -> list[Written]:
        """(address, offset, value) of each write since the last call."""
        text = self.path.read_text(errors="replace")
        new, self._seen = text[self._seen :], len(text)
        found = ([int(digits, 16) for digits in words] for words in _WRITE.findall(new))
        return [(f"0000:{bus:02x}:{slot:02x}.{function}", at, value) for bus, slot, function, at, value in found]

    def offset(self, device: str, register: str) -> int:
        """Where setpci says that *register* lies."""
        said = self.machine.check(f"setpci -v -s {device} {register}")
        return int(re.findall(r"@([0-9a-f]+) =", said)[0], 16)

    def sweep(self, *words: str) -> Result:
        """`pcifma sweep` inside."""
        self.machine.check("mkdir -p /tmp/clearing")
        return product.inside(self.machine, "sweep", "--json", *words)


@pytest.fixture(scope="module")
def traced(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    path = tmp_path_factory.mktemp("trace") / "qemu.log"
    extra = ("-trace", "pci_cfg_write", "-D", str(path))
    for machine in booted(Machine(standard(), cmdline="pci=nomsi", extra=extra), "Linux with pci=nomsi, traced", pytestconfig):
        yield Traced(machine, path)


@pytest.fixture
def injected(traced: Traced) -> Traced:
    """Status bits clear but for an error at each of PLACES; the trace read up to here."""
    reporting.quiet(traced.machine)
    for place, error in zip(PLACES, ERRORS, strict=False):
        traced.machine.inject(place, error.name)
    assert traced.writes(), "the harness's own writes are traced"
    return traced


def rows(result: Result, class_: str) -> list[dict[str, Any]]:
    return [row for row in map(json.loads, result.stdout.splitlines()) if row["class"] == class_]


CLEAR = ("--clear", "--root", "/tmp/clearing")


def test_looking_writes_nothing(injected: Traced) -> None:
    assert injected.sweep().status == 1
    injected.machine.check(f"{product.PROGRAM} coverage --json >/dev/null", product.SECONDS)

    assert injected.writes() == []


def test_sweep_clears_what_was_injected_and_no_other_write_ever_happens(injected: Traced) -> None:
    swept = injected.sweep(*CLEAR)
    traced = injected.writes()
    ledger = [row for row in rows(swept, "register.write") if row["outcome"] == "done"]
    offsets = {(row["device"], row["register"]): injected.offset(row["device"], row["register"]) for row in ledger}

    assert swept.status == 1
    assert traced == [(row["device"], offsets[row["device"], row["register"]], row["written"]) for row in ledger]
    assert rows(swept, "sweep.summary")[0]["writes"] == len(ledger)
    cleared = {row["device"] for row in ledger if row["register"].startswith("ECAP_AER")}
    assert cleared == {injected.machine.address(place) for place in PLACES}
    for row in ledger:
        # QEMU 7.2 keeps Received System Error in Secondary Status whatever is written.
        assert row["register"] == "1e.w" or not row["after"] & row["written"]
    again = injected.sweep()
    assert {bit.leaf for bit in product.sweep(again).bits} <= {"pci.sec-rserr"}
    assert injected.writes() == []
    said = injected.machine.check(f"{product.PROGRAM} writes --root /tmp/clearing", product.SECONDS)
    assert f"writes ever made to hardware: {len(ledger)}" in said or len(said.splitlines()) > len(ledger)


READ_ONLY = "mount -o remount,ro /sys"
LOCKDOWN = "mount -t securityfs none /sys/kernel/security; echo integrity >/sys/kernel/security/lockdown"


def refused(traced: Traced, close: str) -> list[str]:
    """Why each write was refused once *close* was run; nothing was written, and nothing failed."""
    reporting.quiet(traced.machine)
    traced.machine.inject("ep1", ERRORS[0].name)
    traced.writes()
    traced.machine.check(close)
    swept = traced.sweep(*CLEAR)
    assert (swept.status, rows(swept, "sweep.summary")[0]["writes"], traced.writes()) == (2, 0, [])
    assert {row["outcome"] for row in rows(swept, "register.write")} == {"refused"}
    assert "Traceback" not in swept.stderr
    return [row["why"] for row in rows(swept, "register.write")]


def test_read_only_sysfs_is_a_refusal(traced: Traced) -> None:
    reasons = refused(traced, READ_ONLY)
    traced.machine.check("mount -o remount,rw /sys")

    assert all("sysfs is read-only here" in why for why in reasons)


def test_lockdown_is_a_refusal(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    # For good: no kernel takes it back.
    extra = ("-trace", "pci_cfg_write", "-D", str(tmp_path / "qemu.log"))
    for machine in booted(Machine(standard(), cmdline="pci=nomsi", extra=extra), "Linux under lockdown, traced", pytestconfig):
        assert all("lockdown" in why for why in refused(Traced(machine, tmp_path / "qemu.log"), LOCKDOWN))


def test_daemon_that_may_not_clear_does_so_once_when_root_orders_it(traced: Traced) -> None:
    machine = traced.machine
    reporting.quiet(machine)
    fmd = f"{product.PROGRAM} fmd --root /tmp/fmd"
    ask = f"{product.PROGRAM} status --root /tmp/fmd >/dev/null 2>&1"
    machine.check(f"mkdir -m 755 -p /tmp/fmd; {fmd} >/lab/fmd.log 2>&1 & until {ask}; do sleep 1; done", product.SECONDS)
    traced.writes()
    machine.inject("ep1", "BAD_TLP")
    address = machine.address("ep1")

    done = product.inside(machine, "clear", address, "--json", "--root", "/tmp/fmd")

    written = [(row["register"], row["written"]) for row in rows(done, "register.write")]
    assert (done.status, written) == (0, [("ECAP_AER+10.l", 0x40), ("CAP_EXP+a.w", 1)]), (machine.share / "fmd.log").read_text()
    offsets = [traced.offset(address, register) for register, _ in written]
    assert traced.writes() == [(address, at, value) for at, (_, value) in zip(offsets, written, strict=True)]
    machine.inject("ep1", "BAD_TLP")
    seen = f"{product.PROGRAM} dump -e --json -c '*.btlp' --root /tmp/fmd"
    machine.check(f"until [ $({seen} | wc -l) = 2 ]; do sleep 1; done", product.SECONDS)
    uuids = {json.loads(line)["uuid"] for line in machine.check(seen, product.SECONDS).splitlines()}
    machine.check("kill $(cat /tmp/fmd/run/pcifma/fmd.lock)")
    assert (len(uuids), traced.writes()) == (2, [])


def test_sweep_refuses_where_linux_owns_aer(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    path = tmp_path / "qemu.log"
    extra = ("-trace", "pci_cfg_write", "-D", str(path))
    for machine in booted(Machine(standard(), extra=extra), "Linux that owns AER, traced", pytestconfig):
        traced = Traced(machine, path)
        reporting.quiet(machine)  # nothing is forwarded, so that the kernel clears nothing
        machine.inject("ep1", ERRORS[0].name)
        traced.writes()

        swept = traced.sweep(*CLEAR)

        assert (swept.status, rows(swept, "register.write"), traced.writes()) == (2, [], [])
        refused = rows(swept, "clear.refused")
        assert machine.address("ep1") in {row["device"] for row in refused}
        assert all(row["why"].startswith("owner: native (AER service bound at") for row in refused)
        assert "not cleared: " in swept.stderr
