"""A day of operations on a real kernel, with the package as it is installed: docs/operations.md, from the page to the new card."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lab import product, service
from lab.command import Options
from lab.machine import Machine
from lab.service import journal, status, until
from lab.topology import Topology, endpoint, root_port
from support.debian import build

pytestmark = [pytest.mark.lab_full, pytest.mark.lab_long]

# A card with a Device Serial Number, which QEMU makes of its MAC address; it cannot report an error, so nobody is told who does not poll.
# Its Device Serial Number lies where AER has the TLP Prefix Log, so that QEMU wipes it out with an error that it injects: what a daemon has
# read before stays known, and one that starts afterwards must not meet such a card.
CARD, OLD_MAC, NEW_MAC = "e1000e", "52:54:00:00:00:01", "52:54:00:00:00:02"
OLD, NEW = "525400ffff000001", "525400ffff000002"
# pciehp stays: with `pci=nomsi` nobody would see a card come and go.
OPTIONS: Options = {**service.OPTIONS, "cmdline": "pci=noaer lab.systemd systemd.unit=lab.target"}
PAGES = "/var/lib/pcifma/pages"
PAGER = f"#!/bin/sh\nexec cat >>{PAGES}\n"
SITE = """\
poll: {interval: 500ms, slow_interval: 2s, deadline: 10s}
probation: 90s
modules: {exec: {program: [/usr/local/bin/pager], rate: 60}}
"""


OK, CRITICAL = (0, "PCIFMA OK"), (2, "PCIFMA CRITICAL")


@pytest.fixture
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A host with the package, two cards, and a pager of its own."""
    package = build(tmp_path_factory.mktemp("deb"))
    topology = Topology((root_port("rp1", endpoint("card", f"{CARD},mac={OLD_MAC}")), root_port("rp2", endpoint("other"))))
    with Machine(topology, **OPTIONS) as machine:
        service.install(machine, package)
        (machine.share / "pager").write_text(PAGER)
        (machine.share / "site.yaml").write_text(SITE)
        machine.check("install -m 755 /lab/pager /usr/local/bin/pager; install -m 644 /lab/site.yaml /etc/pcifma/conf.d/")
        service.restart(machine)
        yield machine


def pages(machine: Machine) -> list[dict[str, Any]]:
    """What came to the pager."""
    return [json.loads(line) for line in machine.run(f"cat {PAGES}").stdout.splitlines()]


def checked(machine: Machine) -> tuple[int, str]:
    """What a monitoring system is told: status and word."""
    done = machine.run("pcifma check --nagios")
    return done.status, done.stdout.split(":")[0]


def say(machine: Machine, words: str) -> str:
    """What a command says that succeeds."""
    return machine.check(f"pcifma {words}", product.SECONDS)


def told(machine: Machine, state: str) -> Callable[[], object]:
    """True once the journal and the pager have one event each of a case that is *state*."""
    name = {"diagnosed": "list.suspect"}.get(state, f"list.{state}")
    return lambda: journal(machine, f"PCIFMA_STATE={state}") and [page for page in pages(machine) if page["class"] == name]


def swap(machine: Machine, address: str) -> None:
    """Pull the card and put another into its slot; wait until the daemon has seen either."""
    there = status(machine)["functions"]
    machine.qmp("device_del", id="card")
    until(machine, lambda: machine.run(f"test -e /sys/bus/pci/devices/{address}").status and status(machine)["functions"] == there - 1)
    assert f"s/n {OLD}" in say(machine, "faulty"), "the card that was pulled is the one to send in"
    assert checked(machine) == CRITICAL
    machine.qmp("device_add", driver=CARD, id="card", bus="rp1", mac=NEW_MAC)
    until(machine, lambda: status(machine)["functions"] == there)


def test_day_of_operations(host: Machine) -> None:
    card = host.address("card")
    quiet(host)
    case = paged(host, card)
    understood(host, card, case)
    repaired(host, card, case)
    resolved(host, case)


def quiet(host: Machine) -> None:
    """Nothing is wrong, somebody looks, and the way to people works."""
    assert re.match(r"No faults\. Watching \d+ Functions since .* No drill has ever passed\.", say(host, "faulty"))
    assert checked(host) == OK
    assert re.search(r"^agents .*\bexec\b.*\bsyslog_msgs$", say(host, "drill"), re.MULTILINE)
    assert "Last drill passed" in say(host, "faulty")
    assert checked(host) == OK
    say(host, "drill --purge")
    host.check(f"rm {PAGES}")


def paged(host: Machine, card: str) -> str:
    """The card has an error that it tells nobody: the page, in the journal and by the hook. Returns the case."""
    host.inject("card", "INTN")
    until(host, told(host, "diagnosed"))
    (entry,) = journal(host, f"PCIFMA_STATE=diagnosed PCIFMA_BDF={card}")
    (page,) = pages(host)
    assert (entry["PCIFMA_UUID"], entry["PCIFMA_EVENT"], entry["PRIORITY"]) == (page["uuid"], page["event"], "2")
    assert (entry["PCIFMA_SERIAL"], page["urgency"], page["fault-list"][0]["device"]) == (OLD, "now", card)
    assert checked(host) == CRITICAL
    return str(page["uuid"])


def understood(host: Machine, card: str, case: str) -> None:
    """What is it, and why; and what a vendor gets, before anybody touches it."""
    shown = say(host, "faulty")
    assert f"case {case[:8]}" in shown
    assert f"{card}  s/n {OLD}" in shown
    classic = host.check("fmadm faulty", product.SECONDS)
    assert case in classic
    assert re.search(r"^Platform    : Standard PC [^\t\ufffd]*\tChassis_id  : -$", classic, re.MULTILINE)
    why = say(host, f"explain {case[:8]}")
    assert "Uncorrectable Internal Error (ereport.io.pciex.int.ue)" in why
    assert "<== 100%" in why
    say(host, f"bundle {case[:8]} -o /lab/case.tar")
    with tarfile.open(host.share / "case.tar") as bundle:
        bundle.extractall(host.share, filter="data")
    directory = host.share / f"pcifma-case-{case[:8]}"
    assert OLD in (directory / "parts.json").read_text()
    assert "Uncorrectable Internal Error" in product.outside("sweep", str(directory / "registers-now.lspci")).stdout


def repaired(host: Machine, card: str, case: str) -> None:
    """Planned work: another card comes into the slot, and what goes wrong meanwhile is nobody's fault."""
    work = json.loads(say(host, f"maintain 1h {card} --why 'swap, change 4711' --json"))
    swap(host, card)
    until(host, told(host, "repaired"))
    host.inject("card", "MALF_TLP")
    until(host, lambda: f"PLANNED {work['id']}" in say(host, "dump -e -c '*.mtlp'"))
    say(host, f"maintain --end {work['id']}")
    assert "nothing was changed" in say(host, f"repaired {case[:8]}"), "another serial says it all"
    assert checked(host) == OK
    assert say(host, "faulty").startswith("No faults.")
    assert f"s/n {OLD}; s/n {NEW} is there now" in say(host, "faulty --all")


def resolved(host: Machine, case: str) -> None:
    """Probation, until it is over; each event was told once."""
    assert "repaired" in say(host, "faulty -s --all")
    until(host, told(host, "resolved"))
    assert [page["class"] for page in pages(host)] == ["list.suspect", "list.repaired", "list.resolved"]
    assert {page["uuid"] for page in pages(host)} == {case}
    spoken = [(entry["PCIFMA_STATE"], entry.get("PCIFMA_SERIAL")) for entry in journal(host, f"PCIFMA_UUID={case}")]
    assert spoken == [("diagnosed", OLD), ("repaired", None), ("resolved", None)]
    assert "resolved" in say(host, "faulty -s --all")
    assert checked(host) == OK
