"""What changes on a machine while it is recorded, as steps of case.yaml.

The status registers of every Function are read at each look; where one changed, all named registers of its capability are.
Functions that sleep are not read; Functions that come or go, or read all ones for a while, become steps, and so does what the
kernel counts and says of errors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pcifma.access.image import ImageSpace
from pcifma.access.layout import Placed, placed_registers
from pcifma.access.recorded import COUNTERS
from pcifma.access.recording import DEVICES, flow, power_state, quoted, whole
from pcifma.access.seam import ConfigSpace, Machine
from pcifma.errors import ReadError
from pcifma.regs.bdf import Bdf
from pcifma.regs.table import Register

# Interrupts that port services count: the kernel's names of their handlers.
_SERVICES = re.compile(r"\b(aerdrv|pcie-dpc|PCIe PME|pciehp|PCIe bwctrl)\b")
INTERRUPTS = "/proc/interrupts"
STREAMS = ("aer_event", "uevent")


@dataclass(slots=True)
class _Known:
    # One Function as it was at the last look.
    image: ImageSpace
    registers: tuple[Placed, ...]
    words: dict[int, int] = field(default_factory=dict)
    answers: bool = True


class Sampler:
    """Watches *machine* from its state in *images* on. *seen* has the images of Functions that came since."""

    def __init__(self, machine: Machine, images: Mapping[Bdf, Mapping[int, bytes]]) -> None:
        self._machine = machine
        self._known = {bdf: _know(bdf, rows) for bdf, rows in images.items() if rows}
        self._there = set(machine.configs)
        self._power = {bdf: power_state(machine.host, bdf) for bdf in machine.configs}
        self._counts = self._interrupts()
        self._counters = self._aer_counters()
        self._heard()  # what was said before is no step
        self._start_ns = machine.clock.boot_ns()
        self.seen: dict[Bdf, Mapping[int, bytes]] = {}

    def look(self) -> str | None:
        """The step for what changed since the last look, as a line of case.yaml; None where nothing did."""
        rescan = getattr(self._machine.configs, "rescan", None)
        if callable(rescan):
            rescan()
        parts = (self._presence, self._sleep, self._answering, self._registers, self._facts, self._counted, self._heard)
        words = [word for part in parts for word in part()]
        if not words:
            return None
        return f"  - {{{', '.join([f'at: {seconds(self._machine.clock.boot_ns() - self._start_ns)}', *words])}}}\n"

    def _presence(self) -> Iterable[str]:
        now = set(self._machine.configs)
        left, came = sorted(self._there - now), sorted(now - self._there)
        self._there = now
        for bdf in came:
            self._power[bdf] = power_state(self._machine.host, bdf)
            if bdf in self._known:
                self._known[bdf].words.clear()  # it is as it was at the start, until a look says otherwise
            elif self._power[bdf] is None:
                self._meet(bdf)
        came = [bdf for bdf in came if bdf in self._known]
        return [f"{word}: [{_list(items)}]" for word, items in (("remove", left), ("add", came)) if items]

    def _meet(self, bdf: Bdf) -> None:
        rows = whole(self._machine.configs[bdf])
        if rows:
            self.seen[bdf] = rows
            self._known[bdf] = _know(bdf, rows)

    def _sleep(self) -> Iterable[str]:
        asleep: dict[Bdf, str] = {}
        awake: list[Bdf] = []
        for bdf in sorted(self._there):
            state, before = power_state(self._machine.host, bdf), self._power.get(bdf)
            self._power[bdf] = state
            if state is not None and state != before:
                asleep[bdf] = state
            elif state is None and before is not None:
                if bdf not in self._known:
                    self._meet(bdf)
                awake += [bdf] if bdf in self._known else []
        return [*([f"sleep: {flow(asleep)}"] if asleep else []), *([f"wake: [{_list(awake)}]"] if awake else [])]

    def _answering(self) -> Iterable[str]:
        turned: dict[Bdf, str] = {}
        for bdf in sorted(self._there & self._known.keys()):
            known = self._known[bdf]
            if self._power[bdf] is None and known.answers != (now := _answers(self._machine.configs[bdf])):
                known.answers = now
                turned[bdf] = "ok" if now else "ones"
        return [f"answer: {flow(turned)}"] if turned else []

    def _registers(self) -> Iterable[str]:
        store: dict[Bdf, dict[str, str]] = {}
        latch: dict[Bdf, dict[str, str]] = {}
        for bdf in sorted(self._there & self._known.keys()):
            readable = self._power[bdf] is None and self._known[bdf].answers
            for placed, old, new in _changes(self._known[bdf], self._machine.configs[bdf]) if readable else ():
                rose = _clearable(placed.register) and not old & ~new
                kind, value = (latch, new & ~old) if rose else (store, new)
                kind.setdefault(bdf, {})[str(placed.location)] = f"{value:#0{2 + 2 * placed.register.width}x}"
        for word, found in (("store", store), ("latch", latch)):
            if found:
                yield f"{word}: {flow({bdf: flow(parts) for bdf, parts in found.items()})}"

    def _facts(self) -> Iterable[str]:
        now, before = self._aer_counters(), self._counters
        self._counters = now
        moved = {path: json.dumps(text) for path, text in now.items() if text != before.get(path)}
        return [f"fact: {flow(moved)}"] if moved else []

    def _aer_counters(self) -> dict[str, str]:
        paths = (f"{DEVICES}/{bdf}/{name}" for bdf in sorted(self._there & self._known.keys()) for name in COUNTERS)
        return {path: data.decode("utf-8", "replace") for path in paths if (data := self._machine.host.read(path)) is not None}

    def _counted(self) -> Iterable[str]:
        now, before = self._interrupts(), self._counts
        self._counts = now
        rose = {row: str(count - before.get(row, 0)) for row, count in now.items() if count > before.get(row, 0)}
        return [f"irq: {flow(rose)}"] if rose else []

    def _heard(self) -> Iterable[str]:
        found: dict[str, str] = {}
        for stream in STREAMS:
            records = [one.fields for one in self._machine.host.stream(stream) if stream != "uevent" or "ERROR_EVENT" in one.fields]
            if records:
                found[stream] = f"[{', '.join(flow({key: quoted(text) for key, text in fields.items()}) for fields in records)}]"
        return [f"event: {flow(found)}"] if found else []

    def _interrupts(self) -> dict[str, int]:
        text = (self._machine.host.read(INTERRUPTS) or b"").decode("utf-8", "replace")
        rows = (line.partition(":") for line in text.splitlines() if _SERVICES.search(line))
        return {label.strip(): sum(int(word) for word in rest.split() if word.isdecimal()) for label, _, rest in rows}


def seconds(ns: int) -> str:
    """*ns* nanoseconds as case.yaml has it: `3s`, `1.25s`."""
    whole_s, rest = divmod(ns, 1_000_000_000)
    return f"{whole_s}.{rest:09d}".rstrip("0").rstrip(".") + "s"


def _know(bdf: Bdf, rows: Mapping[int, bytes]) -> _Known:
    image = ImageSpace(bdf, rows)
    return _Known(image, tuple(placed_registers(image.read, image.size)))


def _answers(config: ConfigSpace) -> bool:
    # Identity and Command with Status all ones: nobody is there, though the kernel has not said so.
    try:
        return config.read(0, 8) != b"\xff" * 8
    except ReadError:
        return True


def _changes(known: _Known, config: ConfigSpace) -> list[tuple[Placed, int, int]]:
    try:
        status = [p for p in known.registers if _is_status(p.register)]
        touched = {_capability(p) for p in status if _read(config, p) != _before(known, p)}
        found = [(p, _before(known, p), _read(config, p)) for p in known.registers if _capability(p) in touched]
    except ReadError:
        return []  # it went away in between: the next look says so
    changed = [(p, old, new) for p, old, new in found if old != new]
    if changed and not _answers(config):
        return []  # as above
    known.words |= {p.offset: new for p, _, new in changed}
    return changed


def _capability(placed: Placed) -> tuple[str, int]:
    return placed.location.capability, placed.location.number


def _before(known: _Known, placed: Placed) -> int:
    at, width = placed.offset, placed.register.width
    return known.words.get(at, int.from_bytes(known.image.data[at : at + width], "little"))


def _read(config: ConfigSpace, placed: Placed) -> int:
    return int.from_bytes(config.read(placed.offset, placed.register.width), "little")


def _is_status(register: Register) -> bool:
    return any(f.ereport and register.access_of(f).clearable for f in register.fields)


def _clearable(register: Register) -> bool:
    return any(register.access_of(f).clearable for f in register.fields)


def _list(items: Iterable[Bdf]) -> str:
    return ", ".join(f'"{bdf}"' for bdf in items)
