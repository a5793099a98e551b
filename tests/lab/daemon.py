"""The real daemon in a machine: `pcifma fmd` started, waited for, asked and stopped; and registers read and written from within.

with Daemon(machine, "  slow_interval: 2s\\n") as daemon:
    machine.inject("ep1", "POISON_TLP")
    daemon.looked(2)
    print(daemon.events())
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from typing import Any

from . import product
from .error import LabError
from .initramfs import GUEST
from .machine import Machine

CONFIG = "user: root\ngroup: root\npoll:\n  interval: 1s\n"
_PLACE = "/run/registers"
# The program that does the steps is started with the first ones, and then stays.
_STEPS = f"""
test -p {_PLACE}/answer || {{
    mkdir -p {_PLACE} && mkfifo {_PLACE}/steps {_PLACE}/answer
    python3 -I -S /lab/registers.py {_PLACE} </dev/null >/lab/registers.log 2>&1 &
}}
cat /lab/steps.json >{_PLACE}/steps && cat {_PLACE}/answer"""
_STOP = f"pkill -f 'registers.py {_PLACE}'; rm -rf {_PLACE}"
Step = list[Any]  # as guest/registers.py takes it: a verb, then words and numbers


def steps(machine: Machine, sequence: Sequence[Step]) -> dict[str, Any]:
    """Do *sequence* in *machine*, in order, and return {"read": what was read, "ended_ns": wall clock there}."""
    shutil.copy(GUEST / "registers.py", machine.share)
    (machine.share / "steps.json").write_text(json.dumps(sequence))
    try:
        answer = dict(json.loads(machine.check(_STEPS, product.SECONDS)))
    except LabError:
        machine.run(_STOP)
        raise
    if "error" in answer:
        raise LabError(answer["error"])
    return answer


class Daemon:
    """One daemon, with a root directory and a log of its own; *settings* are further lines of its configuration,
    which ends in its `poll` section.
    """

    def __init__(self, machine: Machine, settings: str = "", *, name: str = "fmd") -> None:
        self._machine = machine
        self.root = f"/root/{name}"
        self.log = machine.share / f"{name}.log"
        (machine.share / "pcifma.yaml").write_text(CONFIG + settings)
        place = f"{self.root}/etc/pcifma"
        machine.check(f"rm -rf {self.root}; mkdir -p {place}; cp /lab/pcifma.yaml {place}; chmod -R go-w {self.root}")
        machine.run(f"{product.PROGRAM} fmd --root {self.root} >/lab/{self.log.name} 2>&1 &")
        try:
            self.looked(1)
        except LabError as error:
            raise LabError(f"{error}\n{self.log.read_text(errors='replace')}") from error

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def socket(self) -> str:
        """Its control socket, in the machine."""
        return f"{self.root}/run/pcifma/fmd.sock"

    def looked(self, times: int) -> int:
        """Wait until it has looked *times* more; returns the machine's wall clock then, in ns."""
        return int(steps(self._machine, [["looks", self.socket, times]])["ended_ns"])

    def status(self) -> dict[str, Any]:
        """What `pcifma status` says."""
        return dict(json.loads(self._ask("status --json")))

    def events(self) -> list[dict[str, Any]]:
        """Its error log, as `pcifma dump` prints it."""
        return [json.loads(line) for line in self._ask("dump -e --json").splitlines()]

    def pids(self) -> list[int]:
        """The processes of the daemon: the loop, its keeper, and whatever else it has started."""
        line = f"awk -v p=$(cat {self.root}/run/pcifma/fmd.lock) '$1 == p || $4 == p {{print $1}}' /proc/[0-9]*/stat 2>/dev/null || true"
        return [int(word) for word in self._machine.check(line).split()]

    def stop(self) -> None:
        """End it, and wait until its socket has gone."""
        self._machine.check(f"kill $(cat {self.root}/run/pcifma/fmd.lock); while test -e {self.socket}; do sleep .2; done")

    def _ask(self, words: str) -> str:
        return self._machine.check(f"{product.PROGRAM} {words} --root {self.root}", product.SECONDS)
