"""The shipped units under a real systemd, on a machine with real registers: their confinement blinds nothing, and does confine."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from lab.machine import Machine
from lab.service import DROP_INS, OPTIONS, SECONDS, install, journal, restart, status, until
from lab.topology import standard
from support.debian import build

pytestmark = [pytest.mark.lab_full, pytest.mark.lab_long]
# What root reads, outside and inside: the name and the hash of every Function's configuration space.
READ = "cd /sys/bus/pci/devices && sha256sum */config"
# The shipped unit's confinement around another program.
AS_SHIPPED = (
    "sed -e s,^Type=.*,Type=oneshot, -e s,^ExecStart=.*,ExecStart=/lab/probe, -e /^ExecReload/d -e /^Restart/d -e /^Watchdog/d "
    "-e 's,^LockPersonality=yes,&,' "
    "-e /^Runtime/d /usr/lib/systemd/system/pcifma.service >/run/systemd/system/probe.service && "
    "systemctl daemon-reload && systemctl start probe"
)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with systemd and the package installed; nobody owns AER."""
    package = build(tmp_path_factory.mktemp("deb"))
    with Machine(standard(), **OPTIONS) as machine:
        install(machine, package)
        yield machine


def show(machine: Machine, name: str) -> str:
    return machine.check(f"systemctl show --value -p {name} pcifma").strip()


def probe(machine: Machine, script: str, setting: str = "") -> str:
    """What *script* says inside the shipped unit's confinement, and *setting*, as root, where the keeper is."""
    (machine.share / "probe").write_text(f"#!/bin/sh\n({script}) >/var/lib/pcifma/probe 2>&1\n")
    (machine.share / "probe").chmod(0o755)
    machine.check(AS_SHIPPED.replace(",&,", f",{setting or '&'},"), SECONDS)
    return machine.check("cat /var/lib/pcifma/probe")


def test_units_are_taken_by_systemd(host: Machine) -> None:
    units = "/usr/lib/systemd/system/pcifma.service /usr/lib/systemd/system/pcifma-snapshot.service"
    done = host.run(f"systemd-analyze verify --man=no {units}", SECONDS)
    assert (done.status, [line for line in done.stderr.splitlines() if "pcifma" in line]) == (0, [])
    assert [show(host, name) for name in ("Type", "ActiveState", "SubState", "NRestarts")] == ["notify", "active", "running", "0"]
    assert "Functions" in show(host, "StatusText")


def test_what_is_read_inside_is_what_is_read_outside(host: Machine) -> None:
    outside = host.check(READ)
    assert outside.count("/config") >= 8
    assert probe(host, READ) == outside
    facts = "cd /sys/bus/pci/devices && stat -L -c %s */config | sort -u; grep -c . /proc/interrupts; cat /proc/cmdline"
    assert probe(host, facts) == host.check(facts)
    assert status(host)["unread"] == {}
    inside = probe(host, "/opt/pcifma/bin/pcifma sweep --json | grep -v sweep.summary | cut -d, -f1 | sort")
    assert inside == host.check("/opt/pcifma/bin/pcifma sweep --json | grep -v sweep.summary | cut -d, -f1 | sort", SECONDS)


def test_confinement_holds(host: Machine) -> None:
    tried = probe(
        host,
        "touch /usr/x /etc/x /home/x /root/x; printf x >>/proc/sys/kernel/hostname; mkdir /sys/kernel/tracing/instances/x; "
        "setpci -s 00:00.0 4.w=0; unshare -U true; cat /dev/kmsg; mount -t tmpfs x /mnt; echo end",
    )
    assert tried.count("Read-only file system") >= 4
    assert "Operation not permitted" in tried
    assert tried.endswith("end\n")
    main = show(host, "MainPID")
    fields = dict(line.split(":\t") for line in host.check(f"cat /proc/{main}/status").splitlines() if ":\t" in line)
    assert fields["Uid"].split()[0] == host.check("id -u pcifma").strip()
    assert (fields["CapEff"], fields["NoNewPrivs"], fields["Seccomp"]) == ("0" * 16, "1", "2")


def test_private_users_would_blind_it(host: Machine) -> None:
    # That the tests above can fail: systemd's documented way to confine further leaves 64 bytes, and no error.
    size = "cd /sys/bus/pci/devices && for file in */config; do head -c 4096 $file | wc -c; done | sort -u"
    assert probe(host, size, "PrivateUsers=yes") == "64\n"
    assert probe(host, size) == host.check(size) != "64\n"


def test_case_gets_to_the_journal_with_its_article(host: Machine) -> None:
    host.inject("ep1", "MALF_TLP", header=(0x40000001, 0xF, 0xFEE00000, 0xDEADBEEF))
    until(host, lambda: host.run("pcifma faulty --check").status == 1)
    until(host, lambda: journal(host, "PCIFMA_STATE=diagnosed"))
    entry = journal(host, "PCIFMA_STATE=diagnosed")[-1]
    assert host.address("ep1") in entry["PCIFMA_BDF"]  # of one suspect, or of several
    assert entry["SYSLOG_IDENTIFIER"] == "pcifma"
    assert entry["_SYSTEMD_UNIT"] == "pcifma.service"
    assert len(entry["MESSAGE_ID"]) == 32
    explained = host.check(f"journalctl --update-catalog; journalctl -x --no-pager MESSAGE_ID={entry['MESSAGE_ID']}")
    assert f"Subject: {entry['PCIFMA_CODE']}" in explained
    assert f"Case {entry['PCIFMA_UUID']} at " in explained
    restart(host)
    assert len(journal(host, "PCIFMA_STATE=diagnosed")) == 1


def test_clearing_takes_its_drop_in(host: Machine) -> None:
    host.check("echo 'clear: true' >/etc/pcifma/conf.d/clear.yaml")
    host.inject("ep2", "BAD_TLP", correctable=True)
    restart(host)
    until(host, lambda: status(host)["writes_refused"] > 0)
    assert status(host)["writes"] == 0
    host.check(f"mkdir -p {DROP_INS}; cp /usr/share/pcifma/systemd/drop-in/clear.conf {DROP_INS}/")
    restart(host)
    host.inject("ep2", "BAD_DLLP", correctable=True)
    until(host, lambda: status(host)["writes"] > 0)
    until(host, lambda: host.setpci("ep2", "ECAP_AER+10.l") == "00000000")
    host.check(f"rm {DROP_INS}/clear.conf /etc/pcifma/conf.d/clear.yaml")
    restart(host)


def test_kernels_events_are_heard_with_their_drop_in(host: Machine) -> None:
    # What a daemon with a drop-in left is the next one's to remove, but not where it may not write.
    instances = "rmdir /sys/kernel/tracing/instances/pcifma*; systemctl restart pcifma; ls /sys/kernel/tracing/instances"
    assert "pcifma" not in host.check(instances, SECONDS)
    host.check(f"mkdir -p {DROP_INS}; cp /usr/share/pcifma/systemd/drop-in/trace.conf {DROP_INS}/")
    restart(host)
    assert "pcifma-aer" in host.check("ls /sys/kernel/tracing/instances")
    host.check(f"rm {DROP_INS}/trace.conf; systemctl daemon-reload; systemctl stop pcifma", SECONDS)
    assert "pcifma" not in host.check(instances, SECONDS)


def test_reload_checks_first(host: Machine) -> None:
    before = show(host, "MainPID")
    host.check("echo 'poll: {intervall: 1s}' >/etc/pcifma/conf.d/site.yaml")
    assert host.run("systemctl reload pcifma", SECONDS).status != 0
    host.check("echo 'poll: {interval: 2s}' >/etc/pcifma/conf.d/site.yaml; systemctl reload pcifma", SECONDS)
    until(host, lambda: "configuration read again: " in host.check("journalctl -u pcifma --no-pager"))
    assert (show(host, "MainPID"), show(host, "ActiveState")) == (before, "active")
    host.check("rm /etc/pcifma/conf.d/site.yaml; systemctl reload pcifma", SECONDS)


def test_daemon_that_does_not_look_is_restart(host: Machine) -> None:
    host.check(f"mkdir -p {DROP_INS}; printf '[Service]\\nWatchdogSec=15\\n' >{DROP_INS}/fast.conf")
    restart(host)
    host.check("kill -STOP $(systemctl show --value -p MainPID pcifma)")
    until(host, lambda: int(show(host, "NRestarts")) > 0)
    until(host, lambda: status(host)["looks"] > 0)
    host.check(f"rm {DROP_INS}/fast.conf")
    restart(host)


def test_snapshot_is_taken_once_a_boot_before_guests_start(host: Machine) -> None:
    boot = host.check("tr -d - </proc/sys/kernel/random/boot_id").strip()
    host.check("systemctl start pcifma-snapshot", SECONDS)
    assert "config.lspci" in host.check(f"ls /var/lib/pcifma-snapshot/{boot}")
    swept = host.run(f"/opt/pcifma/bin/pcifma sweep --json /var/lib/pcifma-snapshot/{boot}", SECONDS).stdout.splitlines()
    assert json.loads(swept[-1])["functions"] >= 8
    before = " ".join(line for line in host.check("systemctl cat pcifma-snapshot").splitlines() if line.startswith("Before="))
    assert all(unit in before for unit in ("libvirtd.service", "pve-guests.service", "xendomains.service", "xapi.service"))
    host.check("systemctl stop pcifma-snapshot; systemctl start pcifma-snapshot", SECONDS)
    assert host.check("systemctl show --value -p ConditionResult pcifma-snapshot").strip() == "no"


def test_stop_and_purge_leave_nothing(host: Machine) -> None:
    host.check("timeout 15 systemctl stop pcifma", SECONDS)
    assert show(host, "Result") == "success"
    host.check("dpkg --no-triggers -P pcifma", SECONDS)
    left = host.check(
        "ls -d /opt/pcifma /etc/pcifma /var/lib/pcifma /var/lib/pcifma-snapshot /run/pcifma /usr/lib/systemd/system/pcifma* "
        "/sys/kernel/tracing/instances/pcifma* "
        "2>/dev/null; getent passwd pcifma pcifma-plugin; pgrep -f pcifma.fmd; true"
    )
    assert left == ""
