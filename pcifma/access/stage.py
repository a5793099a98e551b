"""A fixture's host: what was recorded, with what the steps changed since laid over it, and the records they sent."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from pcifma.access.seam import STATED, Host, Record
from pcifma.regs.bdf import Bdf

INTERRUPTS = "/proc/interrupts"
_POWER_FACTS = ("power_state", "power/runtime_status")


class StageHost:
    """*base* with changes; what is *stated* of the platform are facts too. Facts of a removed Function, and its entry in any directory,
    are gone. *sleepers* may sleep, where *base* does not say whether.
    """

    def __init__(self, base: Host, stated: Mapping[str, str] = MappingProxyType({}), sleepers: Iterable[Bdf] = ()) -> None:
        self._base = base
        self._facts = {f"{STATED}/{key}": text.encode() for key, text in stated.items()}
        self._may_sleep = {f"/sys/bus/pci/devices/{bdf}/power/control" for bdf in sleepers}
        self._removed: set[str] = set()
        self._power: dict[str, tuple[str, str]] = {}
        self._counts: dict[str, int] = {}
        self._streams: dict[str, deque[Record]] = {}

    def read(self, path: str) -> bytes | None:
        """The fact as it is now; None where it cannot be had (see *why*)."""
        if self._is_removed(path):
            return None
        if path in self._facts:
            return self._facts[path]
        if path == INTERRUPTS and self._counts:
            return count_interrupts((self._base.read(path) or b"").decode("utf-8", "replace"), self._counts).encode()
        for place, tail in enumerate(_POWER_FACTS):
            if path.endswith(f"/{tail}"):
                now = self._power.get(path[: -len(tail) - 1].rpartition("/")[2])
                return f"{now[place]}\n".encode() if now else self._base.read(path)
        found = self._base.read(path)
        return b"auto\n" if found is None and path in self._may_sleep else found

    def entries(self, path: str) -> tuple[str, ...]:
        """Sorted names in the directory, without removed Functions."""
        if self._is_removed(path):
            return ()
        return tuple(name for name in self._base.entries(path) if not self._is_removed(name))

    def link(self, path: str) -> str | None:
        """The text of the symbolic link, or None."""
        return None if self._is_removed(path) else self._base.link(path)

    def why(self, path: str) -> str:
        """Why *read* gives None."""
        if self.read(path) is not None:
            return "readable"
        return "absent" if self._is_removed(path) else self._base.why(path)

    def stream(self, name: str) -> Iterator[Record]:
        """Records sent since the last call, oldest first; each is delivered once."""
        waiting = self._streams.get(name, deque())
        while waiting:
            yield waiting.popleft()

    def send(self, stream: str, fields: Mapping[str, str], boot_ns: int) -> None:
        """A record for whoever listens to *stream*."""
        self._streams.setdefault(stream, deque()).append(Record(stream, dict(fields), boot_ns))

    def put(self, path: str, text: str) -> None:
        """The fact at *path* is *text* from now on."""
        self._facts[path] = text.encode()

    def remove(self, bdf: Bdf) -> None:
        """The Function leaves sysfs."""
        self._removed.add(str(bdf))

    def add(self, bdf: Bdf) -> None:
        """The Function is (back) in sysfs, awake."""
        self._removed.discard(str(bdf))
        self._power.pop(str(bdf), None)

    def power(self, bdf: Bdf, state: str) -> None:
        """Set the power state: D0, D1, D2, D3hot or D3cold, and the runtime status that goes with it."""
        self._power[str(bdf)] = (state, "active" if state == "D0" else "suspended")

    def interrupt(self, row: str, times: int) -> None:
        """Count *times* more on the row of /proc/interrupts with that number or action."""
        self._counts[row] = self._counts.get(row, 0) + times

    def _is_removed(self, path: str) -> bool:
        # A port service is called after its port: 0000:00:1c.0:pcie002.
        return bool(self._removed) and any(part[: _name_end(part)] in self._removed for part in path.split("/"))


def _name_end(part: str) -> int:
    dot = part.rfind(".")
    return dot + 2 if dot >= 0 else len(part)


def count_interrupts(text: str, counts: Mapping[str, int]) -> str:
    """/proc/interrupts *text* with *counts* added to the first CPU of the rows with that number or action; a row that is not
    there is made.
    """
    lines = text.splitlines() or ["            CPU0"]
    cpus = max(1, lines[0].count("CPU"))
    for row, times in counts.items():
        place = next((i for i, line in enumerate(lines) if i and _is_row(line, row)), None)
        if place is None:
            lines.append(f"{row:>4}: {times:>10}{'          0' * (cpus - 1)}   {row}")
        else:
            lines[place] = _counted(lines[place], times)
    return "\n".join(lines) + "\n"


def _counted(line: str, times: int) -> str:
    label, _, rest = line.partition(":")
    count = rest.split(maxsplit=1)[0]
    return f"{label}:{rest.replace(count, str(int(count) + times), 1)}" if count.isdecimal() else line


def _is_row(line: str, row: str) -> bool:
    label, _, rest = line.partition(":")
    if not rest.strip():
        return False
    return label.strip() == row or row in (action.strip() for action in re.split(r",|\s{2,}|\s(?=\S+$)", rest))
