"""Boots a machine for an experiment: `make lab-shell ARGS="--xen --cmdline pci=nomsi"`. See docs/lab.md.

A line is run by the guest's sh. A line that begins with an exclamation mark is for the machine:
!inject NAME ERROR [dword…], !hmp LINE (QEMU's monitor), !open, !close, !clear (reporting path and status registers), !console, !names.
"""

from __future__ import annotations

import argparse
import cmd
import sys

from . import reporting, toolstack
from .error import LabError, Unavailable
from .machine import Machine
from .topology import standard


class Shell(cmd.Cmd):
    """Reads lines and runs them, in the guest or on the machine, until end of file."""

    prompt = "lab> " if sys.stdin.isatty() else ""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self._machine = machine

    def onecmd(self, line: str) -> bool:
        """Run one line; True at the end."""
        if line in ("EOF", "exit"):
            return True
        try:
            self._run(line)
        except (LabError, KeyError) as error:
            print(error, file=sys.stderr)
        return False

    def _run(self, line: str) -> None:
        if line.startswith("!"):
            self._order(*line[1:].split())
        elif line.strip():
            result = self._machine.run(line, seconds=600)
            print(result.stdout + result.stderr, end="")
            if result.status:
                print(f"status {result.status}")

    def _order(self, order: str = "", *words: str) -> None:
        machine = self._machine
        if order == "inject" and len(words) > 1:
            machine.inject(words[0], words[1], header=[int(word, 16) for word in words[2:]])
        elif order == "hmp":
            print(machine.hmp(" ".join(words)))
        elif order in ("open", "close", "clear"):
            {"open": reporting.open_path, "close": reporting.close_path, "clear": reporting.clear}[order](machine)
        elif order == "names":
            print("\n".join(f"{address} {name}" for name, address in sorted(machine.addresses().items(), key=lambda row: row[1])))
        else:
            print(machine.console if order == "console" else __doc__)


def main() -> int:
    """Boot what the command line says and read lines; 2 if that is not possible."""
    parser = argparse.ArgumentParser(prog="lab", description="Boot a laboratory machine and run lines from standard input in it.")
    parser.add_argument("--xen", action="store_true", help="Xen with Linux as dom0, its toolstack started")
    parser.add_argument("--cmdline", default="", help="added to the kernel's command line")
    parser.add_argument("--hypervisor", default="", help="added to Xen's command line")
    parser.add_argument("--memory", type=int, default=1024, help="in MiB")
    parser.add_argument("--package", action="append", default=[], help="a further Debian package for the guest")
    parser.add_argument("--extra", default="", help="further arguments for QEMU")
    given = parser.parse_args()
    machine = Machine(
        standard(),
        cmdline=given.cmdline,
        xen=given.xen,
        hypervisor=given.hypervisor,
        memory=given.memory,
        packages=tuple(given.package),
        extra=tuple(given.extra.split()),
    )
    try:
        with machine:
            if given.xen:
                toolstack.start(machine)
            print(f"{machine.release}, {machine.accelerator}; shared directory {machine.share} is /lab there", file=sys.stderr)
            Shell(machine).cmdloop()
    except (Unavailable, LabError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
