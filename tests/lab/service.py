"""The package under a real systemd in a machine: installed, waited for, asked."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .command import Options
from .machine import Machine

SECONDS = 400.0
DROP_INS = "/etc/systemd/system/pcifma.service.d"
# Nobody owns AER, unless *cmdline* is another.
OPTIONS: Options = {
    "cmdline": "pci=nomsi lab.systemd systemd.unit=lab.target",
    "memory": 1536,
    "packages": ("systemd", "adduser", "init-system-helpers"),
}


def install(machine: Machine, package: Path) -> None:
    """Install *package* in *machine*, booted with OPTIONS, and wait for the daemon's first look."""
    shutil.copy(package, machine.share / "pcifma.deb")
    # An emulated machine on a crowded computer is slow; and this computer may forbid packages to start what they bring.
    machine.check(f"mkdir -p {DROP_INS}; printf '[Service]\\nTimeoutStartSec=600\\nWatchdogSec=300\\n' >{DROP_INS}/a-lab.conf")
    machine.check("rm -f /usr/sbin/policy-rc.d; dpkg --force-depends --no-triggers -i /lab/pcifma.deb", SECONDS)
    until(machine, lambda: status(machine)["looks"] > 0)


def restart(machine: Machine) -> None:
    """Restart the daemon, after the units or its configuration were changed, and wait for its look."""
    machine.check("systemctl daemon-reload; systemctl reset-failed pcifma; systemctl restart pcifma", SECONDS)
    until(machine, lambda: status(machine)["looks"] > 0)


def until(machine: Machine, condition: Callable[[], object]) -> None:
    """Wait until *condition* is true; AssertionError with what the unit says where it never is."""
    end_s = time.monotonic() + SECONDS
    while time.monotonic() < end_s:
        try:
            if condition():
                return
        except (ValueError, KeyError):
            pass  # there is no daemon yet
        time.sleep(1)
    said = machine.run("systemctl status pcifma; journalctl -u pcifma --no-pager | tail -30").stdout
    raise AssertionError(f"it did not happen:\n{said}")


def status(machine: Machine) -> Any:
    """What `pcifma status` says. ValueError where nobody answers."""
    return json.loads(machine.run("pcifma status --json").stdout)


def journal(machine: Machine, words: str) -> list[dict[str, Any]]:
    """The journal's entries that match *words*."""
    return [json.loads(line) for line in machine.check(f"journalctl -o json {words}").splitlines()]
