"""The xpv provider live in a real dom0: order, ids, sums, strace's count, and nothing left behind."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import toolstack
from lab.error import Unavailable
from lab.machine import Machine
from lab.topology import Topology

pytestmark = pytest.mark.lab_full

PCIFMA = str(Path(sys.executable).parent / "pcifma")
SLOW = 900.0
ROOT = "/run/listening"
LISTENING = "{user: root, xpv: {listen: true}}"
CONFIG = 'name="web"\nmemory=128\nvcpus=1\nkernel="/lab/domain/vmlinuz"\nramdisk="/lab/domain/initrd"\nextra="console=hvc0"\n'
# The sample of the weblog that introduced the provider, with Linux's mmapbatch in mmap's place and what the sample's cut end must have had.
POSTED = (
    "dom-create",
    "evtchn-op",
    "evtchn-op",
    "set-memory-map",
    "populate-physmap",
    "mmapbatch",
    "mmu-ext-op",
    "setvcpucontext",
    "dom-unpause",
)
Row = dict[str, object]


@pytest.fixture(scope="module")
def dom0() -> Iterator[Machine]:
    # One processor: switching probes on and off patches code, and doing so across emulated ones has hung or crashed this kernel.
    machine = Machine(Topology(), xen=True, packages=("strace", "bpftrace"), hypervisor="dom0_max_vcpus=1")
    try:
        machine.boot()
    except Unavailable as reason:
        pytest.skip(f"no laboratory here: {reason}")
    try:
        toolstack.start(machine)
        toolstack.create(machine, "other")  # stages the kernel and the initrd; ids and look-ups then are not those of an empty host
        (machine.share / "web.cfg").write_text(CONFIG)
        yield machine
    finally:
        machine.close()


@pytest.fixture
def daemon(dom0: Machine) -> Iterator[Machine]:
    """dom0 with a daemon that listens to the tools; its root is on a file system that has sockets, which the shared directory has not."""
    dom0.check(f"mkdir -p {ROOT}/etc/pcifma && echo '{LISTENING}' >{ROOT}/etc/pcifma/pcifma.yaml")
    dom0.check(f"{PCIFMA} fmd --root {ROOT} >/lab/fmd.log 2>&1 & echo $! >/lab/fmd.pid")
    dom0.check(f"until {PCIFMA} status --root {ROOT} | grep -q 'looks since'; do sleep 1; done", seconds=SLOW)
    yield dom0
    dom0.check("kill $(cat /lab/fmd.pid); while kill -0 $(cat /lab/fmd.pid) 2>/dev/null; do sleep 1; done", seconds=SLOW)
    assert dom0.run("grep pcifma /sys/kernel/tracing/dynamic_events").status == 1


def test_failed_hypercall_becomes_an_ereport_of_its_domain(daemon: Machine) -> None:
    assert "No such process" in daemon.run("xl pause 999", seconds=SLOW).stderr
    asked = f"{PCIFMA} dump -e --json -c 'ereport.xpv.*' --root {ROOT}"
    daemon.check(f"until {asked} | grep -q '\"domain999\"'; do sleep 1; done", seconds=SLOW)
    found = [json.loads(line) for line in daemon.check(asked, seconds=SLOW).splitlines()]
    failed = [event["payload"] for event in found if event["class"] == "ereport.xpv.hypercall.failed" and event["device"] == "domain999"]
    assert [(payload["operation"], payload["error"], payload["comm"]) for payload in failed] == [("pausedomain", "ESRCH", "xl")]


def rows(machine: Machine, arguments: str) -> list[Row]:
    output = machine.check(f"{PCIFMA} trace run --json {arguments} 2>/lab/err", seconds=SLOW)
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def starts(found: list[Row], *, original: bool = True) -> list[str]:
    names = [str(row["name"]) for row in found if row["class"] == "xpv.start" and (row["origin"] == "original" or not original)]
    return [name.removesuffix("-start") for name in names]


def left(machine: Machine) -> str:
    return machine.check("ls /sys/kernel/tracing/instances; cat /sys/kernel/tracing/dynamic_events")


def privcmd_ioctls(machine: Machine, log: str) -> int:
    return int(machine.check(f"grep -c '_IOC([^)]*, 0x50, ' {log}"))


@pytest.fixture(scope="module")
def web(dom0: Machine) -> dict[str, list[Row]]:
    """A PV domain created, paused, unpaused and destroyed under strace and the tracer at once; rows of each command."""
    found = {}
    for name, command in (
        ("create", "create -e /lab/web.cfg"),
        ("pause", "pause web"),
        ("unpause", "unpause web"),
        ("destroy", "destroy web"),
    ):
        traced = f'-o /lab/{name}.trace -c "strace -f -o /lab/{name}.strace -e trace=ioctl xl {command}"'
        found[name] = rows(dom0, traced)
    return found


def test_events_are_as_many_as_strace_counts(dom0: Machine, web: dict[str, list[Row]]) -> None:
    counted = {name: privcmd_ioctls(dom0, f"/lab/{name}.strace") for name in web}
    assert {name: found[-1]["calls"] for name, found in web.items()} == counted
    assert all(found[-1]["lost"] == found[-1]["unfinished"] == found[-1]["orphans"] == 0 for found in web.values())


def test_create_has_the_order_of_the_post(web: dict[str, list[Row]]) -> None:
    names = starts(web["create"])
    assert [name for index, name in enumerate(names) if name != "mmapbatch" or index == names.index("mmapbatch")] == list(POSTED)


def test_pause_unpause_and_destroy_are_seen(web: dict[str, list[Row]]) -> None:
    assert [starts(web[name]) for name in ("pause", "unpause", "destroy")] == [["dom-pause"], ["dom-unpause"], ["dom-pause", "dom-destroy"]]


def test_every_call_names_the_domain_that_was_created(web: dict[str, list[Row]]) -> None:
    (created,) = [row["created"] for row in web["create"] if row.get("name") == "dom-create-end"]
    assert isinstance(created, int)
    named = {
        row["domain"]
        for found in web.values()
        for row in found
        if row["class"] == "xpv.start" and row["origin"] == "original" and row["name"] != "dom-create-start"
    }
    assert named == {created}


def test_pages_sum_to_the_memory_asked_for(web: dict[str, list[Row]]) -> None:
    (done,) = [row for row in web["create"] if row.get("name") == "populate-physmap-end"]
    (asked,) = [row["args"] for row in web["create"] if row.get("name") == "populate-physmap-start"]
    assert isinstance(asked, dict)
    assert isinstance(done["result"], int)
    assert done["result"] << asked["extent_order"] == 128 * 256


@pytest.mark.parametrize(
    ("name", "sequence"), [("create", "create-pv"), ("pause", "pause"), ("unpause", "unpause"), ("destroy", "destroy")]
)
def test_recordings_pass_the_check(dom0: Machine, web: dict[str, list[Row]], name: str, sequence: str) -> None:
    assert web[name]
    assert "as expected" in dom0.check(f"{PCIFMA} trace check --expect {sequence} /lab/{name}.trace", seconds=SLOW)


def test_library_probe_sees_the_same_calls(dom0: Machine) -> None:
    kernel = starts(rows(dom0, '-c "xl list"'), original=False)
    library = starts(rows(dom0, '--via library -c "xl list"'), original=False)
    assert library == kernel != []


def test_background_daemons_are_hidden_unless_asked_for(dom0: Machine) -> None:
    comms = {row["comm"] for row in rows(dom0, '-c "xl pause other"') if row["class"] == "xpv.start"}
    assert comms == {"xl"}
    everything = rows(dom0, '--all -c "xl unpause other"')
    assert "xl" in {row["comm"] for row in everything if row["class"] == "xpv.start"}


def background(dom0: Machine, signal: str) -> list[Row]:
    start = f"{PCIFMA} trace run --json -n 'xpv:::' >/lab/live.json 2>/lab/live.err & echo $! >/lab/live.pid"
    ready = 'until [ -n "$(cat /sys/kernel/tracing/instances/pcifma_*/events/pcifma_*/enable 2>/dev/null | grep 1)" ]; do sleep 1; done'
    ended = "while kill -0 $(cat /lab/live.pid) 2>/dev/null; do sleep 1; done"
    dom0.check(f"{start}; {ready}; xl list >/dev/null; sleep 2; kill -{signal} $(cat /lab/live.pid); {ended}; true", seconds=SLOW)
    return [json.loads(line) for line in (dom0.share / "live.json").read_text().splitlines()]


@pytest.mark.parametrize("signal", ["INT", "TERM", "HUP"])
def test_signal_ends_it_with_a_trailer_and_leaves_nothing(dom0: Machine, signal: str) -> None:
    found = background(dom0, signal)
    assert (found[-1]["class"], found[-1]["lost"]) == ("trace.summary", 0)
    assert isinstance(found[-1]["calls"], int)
    assert found[-1]["calls"] > 0
    assert left(dom0) == ""


def test_next_run_removes_what_a_killed_one_left(dom0: Machine) -> None:
    background(dom0, "KILL")
    assert "pcifma_" in left(dom0)
    rows(dom0, '-c "xl list"')
    assert "removed what 1 killed tracer(s) left" in (dom0.share / "err").read_text()
    assert left(dom0) == ""
