"""The daemon's tracefs instances and its probes, taken away when the daemon has ended: without root it cannot do so itself.

Standard library only, as all of the keeper. Nothing but an instance that is named for that very process is touched.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PLACES = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))


class _Kind(NamedTuple):
    # How its instances are named, what switches their event off, and the probes of a group that is named as the instance, without hyphens.
    name: str
    enable: str
    probes: tuple[str, ...] = ()


# pcifma/access/event_trace.py by its tags, and pcifma/xpv/session.py.
_KINDS = (
    _Kind(r"pcifma-aer-{pid}-\d+", "events/ras/aer_event/enable"),
    _Kind(r"pcifma-mce-{pid}-\d+", "events/mce/mce_record/enable"),
    _Kind(r"pcifma-mca-{pid}-\d+", "events/{group}/record/enable", ("record",)),
    _Kind(r"pcifma_{pid}_\d+", "events/{group}/enable", ("enter", "exit")),
)
_TRIES, _PAUSE_S = 50, 0.1  # an instance is busy until its last reader is gone


def remove(pid: int, places: Sequence[Path] = PLACES, *, pause_s: float = _PAUSE_S) -> None:
    """Remove the instances of process *pid*; what is still busy after five seconds is left for the next daemon's start."""
    for place in places:
        with suppress(OSError):
            for instance in (place / "instances").iterdir():
                for kind in _KINDS:
                    if re.fullmatch(kind.name.replace("{pid}", str(pid)), instance.name):
                        _take_away(place, instance, kind, pause_s)


def _take_away(place: Path, instance: Path, kind: _Kind, pause_s: float) -> None:
    group = instance.name.replace("-", "_")
    _remove(instance, kind.enable.format(group=group), pause_s)
    for probe in kind.probes:
        _undefine(place / "kprobe_events", f"{group}/{probe}")


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
