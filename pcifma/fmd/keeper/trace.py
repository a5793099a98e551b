"""The daemon's tracefs instances and its probe, taken away when the daemon has ended: without root it cannot do so itself.

Standard library only, as all of the keeper. Nothing but an instance that is named for that very process is touched.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

PLACES = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
# The tags of pcifma/access/event_trace.py, each with its event; a probe's group is named as its instance is, and has no hyphens.
_EVENTS = {"aer": "events/ras/aer_event/enable", "mce": "events/mce/mce_record/enable", "mca": ""}
# pcifma/xpv/session.py: instance and group have one name, and these probes.
_PROBES = ("enter", "exit")
_TRIES, _PAUSE_S = 50, 0.1  # an instance is busy until its last reader is gone


def remove(pid: int, places: Sequence[Path] = PLACES, *, pause_s: float = _PAUSE_S) -> None:
    """Remove the instances of process *pid*; what is still busy after five seconds is left for the next daemon's start."""
    ours = re.compile(rf"pcifma-(aer|mce|mca)-{pid}-\d+\Z")
    for place in places:
        with suppress(OSError):
            for instance in (place / "instances").iterdir():
                if found := ours.match(instance.name):
                    group = instance.name.replace("-", "_")
                    _remove(instance, _EVENTS[found[1]] or f"events/{group}/record/enable", pause_s)
                    if not _EVENTS[found[1]]:
                        _undefine(place / "kprobe_events", f"{group}/record")
                elif re.fullmatch(rf"pcifma_{pid}_\d+", instance.name):
                    _remove(instance, f"events/{instance.name}/enable", pause_s)
                    for probe in _PROBES:
                        _undefine(place / "kprobe_events", f"{instance.name}/{probe}")


def _undefine(probes: Path, event: str) -> None:
    # One write is one command; without O_APPEND the kernel would take away everybody's probes first.
    with suppress(OSError):
        file = os.open(probes, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            os.write(file, f"-:{event}\n".encode())
        finally:
            os.close(file)


def _remove(instance: Path, enable: str, pause_s: float) -> None:
    with suppress(OSError):
        (instance / enable).write_text("0")
    for _ in range(_TRIES):
        try:
            instance.rmdir()
        except OSError:
            time.sleep(pause_s)
        else:
            return
