"""The daemon's tracefs instance, taken away when the daemon has ended: without root it cannot do so itself.

Standard library only, as all of the keeper. Nothing but an instance that is named for that very process is touched.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

PLACES = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
_EVENT = "events/ras/aer_event/enable"
_TRIES, _PAUSE_S = 50, 0.1  # an instance is busy until its last reader is gone


def remove(pid: int, places: Sequence[Path] = PLACES, *, pause_s: float = _PAUSE_S) -> None:
    """Remove the instances of process *pid*; what is still busy after five seconds is left for the next daemon's start."""
    ours = re.compile(rf"pcifma-aer-{pid}-\d+\Z")
    for place in places:
        with suppress(OSError):
            for instance in (place / "instances").iterdir():
                if ours.match(instance.name):
                    _remove(instance, pause_s)


def _remove(instance: Path, pause_s: float) -> None:
    with suppress(OSError):
        (instance / _EVENT).write_text("0")
    for _ in range(_TRIES):
        try:
            instance.rmdir()
        except OSError:
            time.sleep(pause_s)
        else:
            return
