"""The grammar of case.yaml: about, platform facts and steps, checked whole, every mistake as `file: $.steps[2].latch: what`.

docs/fixtures.md is its description. Nothing here touches a register: steps are facts, and fixture.py applies them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeVar

from pcifma.access.document import load_yaml
from pcifma.access.seam import Record
from pcifma.errors import FormatError
from pcifma.regs.bdf import Bdf
from pcifma.regs.catalogue import resolve
from pcifma.regs.table import Location

T = TypeVar("T")

POWER_STATES = ("D1", "D2", "D3hot", "D3cold")
ANSWERS = ("ok", "ones", "busy")
STREAMS = ("uevent", "aer_event", "mce_record", "hypercall", "irq")
PLATFORM = ("hypervisor", "role", "owner", "msi")
_PLATFORM_WORDS = {
    "role": ("host", "dom0", "domU", "guest", "unknown"),
    "owner": ("native", "firmware", "none", "guest", "hidden", "unknown"),
    "msi": ("on", "off", "intx", "absent", "broken"),
}
MISTAKE_LIMIT = 50  # a file with more is the wrong file

_LAST_YEARS = 100
_LAST_NS = _LAST_YEARS * 365 * 86_400 * 1_000_000_000  # simulated time starts in 2000, and a year has four digits
_TIME = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|min|h)")
_UNITS_NS = {"ms": 1_000_000, "s": 1_000_000_000, "min": 60_000_000_000, "h": 3_600_000_000_000}
_NEVER = -1  # the time of a step whose time is wrong
_QUOTE = "quote it, as \"0000:04:00.0\": YAML reads unquoted 0000:04:00.0 as the number 240.0"


@dataclass(frozen=True, slots=True)
class Change:
    """A register and the value it takes (store) or the bits it gets (latch)."""

    bdf: Bdf
    location: Location
    value: int


@dataclass(frozen=True, slots=True)
class OnRead:
    """What happens right after the next read of a register."""

    bdf: Bdf
    location: Location
    store: tuple[Change, ...] = ()
    latch: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """What happens at *at_ns* after the start, in the order of these members. *path* is where the step stands: `$.steps[2]`."""

    path: str
    at_ns: int
    remove: tuple[Bdf, ...] = ()
    add: tuple[Bdf, ...] = ()
    reset: tuple[Bdf, ...] = ()
    sleep: Mapping[Bdf, str] = field(default_factory=dict)
    wake: tuple[Bdf, ...] = ()
    answer: Mapping[Bdf, str] = field(default_factory=dict)
    store: tuple[Change, ...] = ()
    latch: tuple[Change, ...] = ()
    fact: Mapping[str, str] = field(default_factory=dict)
    irq: Mapping[str, int] = field(default_factory=dict)
    event: tuple[Record, ...] = ()
    on_read: tuple[OnRead, ...] = ()
    restart: bool = False

    def functions(self) -> Iterator[tuple[str, Bdf]]:
        """Each Function that the step names, with the key it stands under."""
        for key in ("remove", "add", "reset", "sleep", "wake", "answer"):
            yield from ((key, bdf) for bdf in getattr(self, key))
        yield from ((key, change.bdf) for key, change in self.changes())

    def changes(self) -> Iterator[tuple[str, Change]]:
        """Each register that the step names, with the key it stands under; a watched register counts as a change to 0."""
        yield from (("store", change) for change in self.store)
        yield from (("latch", change) for change in self.latch)
        for watch in self.on_read:
            yield "on_read", Change(watch.bdf, watch.location, 0)
            yield from (("on_read", change) for change in (*watch.store, *watch.latch))


@dataclass(frozen=True, slots=True)
class Script:
    """A whole case.yaml."""

    about: str
    platform: Mapping[str, str]
    steps: tuple[Step, ...]


class Mistakes:
    """Collects what is wrong with one file; `check` raises it all at once."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._lines: list[str] = []

    def add(self, path: str, what: str) -> None:
        """Note that *what* is wrong at *path* (`$.steps[2].latch`)."""
        self._lines.append(f"{self._file}: {path}: {what}")

    def check(self) -> None:
        """FormatError with a line for each mistake, if there was any."""
        if self._lines:
            more = len(self._lines) - MISTAKE_LIMIT
            shown = self._lines[:MISTAKE_LIMIT] + ([f"{self._file}: and {more} more"] if more > 0 else [])
            raise FormatError("\n".join(shown))


def parse_script(data: bytes, file: str) -> Script:
    """Read a case.yaml. *file* stands in messages. FormatError with every mistake."""
    mistakes = Mistakes(file)
    script = _Parser(mistakes).script(load_yaml(data, file))
    mistakes.check()
    return script


class _Parser:
    # One method a shape of value; each notes what is wrong and returns something usable, so that the rest is checked too.
    def __init__(self, mistakes: Mistakes) -> None:
        self._wrong = mistakes.add
        self._keys: dict[str, Callable[[object, str], object]] = {
            **dict.fromkeys(("remove", "add", "reset", "wake"), self.functions),
            "sleep": lambda value, path: self.states(value, path, POWER_STATES, "D3cold"),
            "answer": lambda value, path: self.states(value, path, ANSWERS, ""),
            "store": self.changes,
            "latch": self.changes,
            "fact": self.facts,
            "irq": self.counts,
            "event": self.records,
            "on_read": self.watches,
            "restart": self.flag,
        }

    def script(self, value: object) -> Script:
        top = self.mapping(value, "$", ("about", "platform", "steps"))
        about = top.get("about", "")
        if not isinstance(about, str) or not about.strip():
            self._wrong("$.about", "say in one line what this case shows")
        steps = [self.step(step, f"$.steps[{i}]") for i, step in enumerate(self.sequence(top.get("steps", []), "$.steps"))]
        for before, after in pairwise(steps):
            if 0 <= after.at_ns < before.at_ns:
                self._wrong(f"{after.path}.at", "earlier than the step before: put the steps in the order of time")
        return Script(str(about), self.platform(top.get("platform", {})), tuple(steps))

    def platform(self, value: object) -> dict[str, str]:
        facts = self.mapping(value, "$.platform", PLATFORM)
        for key, fact in facts.items():
            if not isinstance(fact, str):
                self._wrong(f"$.platform.{key}", f'{fact!r} is no text: quote it, as {key}: "off" (YAML reads unquoted off as false)')
            elif fact not in _PLATFORM_WORDS.get(key, (fact,)):
                self._wrong(f"$.platform.{key}", f"{fact!r} is none of {', '.join(_PLATFORM_WORDS[key])}")
        return {key: fact for key, fact in facts.items() if isinstance(fact, str)}

    def step(self, value: object, path: str) -> Step:
        words = self.mapping(value, path, ("at", *self._keys))
        if isinstance(value, dict) and "at" not in words:
            self._wrong(path, "no `at`: say when it happens, as at: 1s")
        at_ns = self.time(words.pop("at"), f"{path}.at") if "at" in words else _NEVER
        members: dict[str, Any] = {key: self._keys[key](word, f"{path}.{key}") for key, word in words.items()}
        return Step(path, at_ns, **members)

    def time(self, value: object, path: str) -> int:
        match = _TIME.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            self._wrong(path, f"{value!r} is no time: write a number with ms, s, min or h, as 1.5s")
            return _NEVER
        whole, _, part = match[1].partition(".")
        unit_ns = _UNITS_NS[match[2]]
        at_ns = int(whole) * unit_ns + int(part.ljust(9, "0")) * unit_ns // 1_000_000_000
        if at_ns > _LAST_NS:
            self._wrong(path, f"{value!r} is later than {_LAST_YEARS} years: no recording lasts as long")
            return _NEVER
        return at_ns

    def functions(self, value: object, path: str) -> tuple[Bdf, ...]:
        return self.kept(self.function(item, f"{path}[{i}]") for i, item in enumerate(self.sequence(value, path)))

    def states(self, value: object, path: str, words: tuple[str, ...], usual: str) -> dict[Bdf, str]:
        if usual and isinstance(value, list):
            return dict.fromkeys(self.functions(value, path), usual)
        found: dict[Bdf, str] = {}
        for key, word in self.mapping(value, path).items():
            bdf = self.function(key, path)
            if word not in words:
                self._wrong(f'{path}["{key}"]', f"{word!r} is none of {', '.join(words)}")
            elif bdf is not None:
                found[bdf] = str(word)
        return found

    def changes(self, value: object, path: str) -> tuple[Change, ...]:
        found = []
        for key, registers in self.mapping(value, path).items():
            bdf = self.function(key, path)
            for name, word in self.mapping(registers, f'{path}["{key}"]').items():
                where = f'{path}["{key}"]["{name}"]'
                found.append(self.change(bdf, self.location(name, where), word, where))
        return self.kept(found)

    def change(self, bdf: Bdf | None, location: Location | None, word: object, path: str) -> Change | None:
        if not isinstance(word, int) or isinstance(word, bool):
            self._wrong(path, f"{word!r} is no number: write it as 0x00040000")
        elif location is not None and not 0 <= word < 1 << 8 * location.width:
            self._wrong(path, f"{word:#x} does not fit: the register has {location.width} bytes")
        elif bdf is not None and location is not None:
            return Change(bdf, location, word)
        return None

    def watches(self, value: object, path: str) -> tuple[OnRead, ...]:
        found = []
        for key, registers in self.mapping(value, path).items():
            bdf = self.function(key, path)
            for name, what in self.mapping(registers, f'{path}["{key}"]').items():
                where = f'{path}["{key}"]["{name}"]'
                parts = {part: self.changes(v, f"{where}.{part}") for part, v in self.mapping(what, where, ("store", "latch")).items()}
                location = self.location(name, where)
                if bdf is not None and location is not None:
                    found.append(OnRead(bdf, location, **parts))
        return tuple(found)

    def facts(self, value: object, path: str) -> dict[str, str]:
        found = {str(key): self.text(text, f'{path}["{key}"]') for key, text in self.mapping(value, path).items()}
        for name in found:
            if not name.startswith("/"):
                self._wrong(f'{path}["{name}"]', "no path of the host: begin with /, as /sys/bus/pci/devices/0000:04:00.0/irq")
        return found

    def counts(self, value: object, path: str) -> dict[str, int]:
        found = {}
        for key, times in self.mapping(value, path).items():
            if not isinstance(times, int) or isinstance(times, bool) or times < 1:
                self._wrong(f"{path}.{key}", f"{times!r} is no count: say how many interrupts came, as {key}: 1")
            else:
                found[str(key)] = times
        return found

    def records(self, value: object, path: str) -> tuple[Record, ...]:
        found = []
        for stream, records in self.mapping(value, path, STREAMS).items():
            for i, fields in enumerate(records if isinstance(records, list) else [records]):
                where = f"{path}.{stream}[{i}]" if isinstance(records, list) else f"{path}.{stream}"
                found.append(Record(stream, {k: self.text(v, f"{where}.{k}") for k, v in self.mapping(fields, where).items()}, 0))
        return tuple(found)

    def text(self, value: object, path: str) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int):
            self._wrong(path, f"{value!r} is neither text nor a whole number: quote it")
        return str(value)

    def flag(self, value: object, path: str) -> bool:
        if value is not True:
            self._wrong(path, "write restart: true, or leave it out")
        return True

    def function(self, value: object, path: str) -> Bdf | None:
        if not isinstance(value, str):
            self._wrong(path, f"{value!r} is no Function address: {_QUOTE}")
            return None
        try:
            return Bdf.parse(value)
        except ValueError as err:
            self._wrong(path, str(err))
            return None

    def location(self, value: object, path: str) -> Location | None:
        try:
            return resolve(str(value))
        except ValueError as err:
            self._wrong(path, str(err))
            return None

    def mapping(self, value: object, path: str, known: tuple[str, ...] = ()) -> dict[str, object]:
        if not isinstance(value, dict):
            self._wrong(path, f"{_short(value)} is no mapping (`key: value`)" + (f" with keys {', '.join(known)}" if known else ""))
            return {}
        for key in value:
            if known and key not in known:
                self._wrong(path, f"{_short(key)} is no key here: these are {', '.join(known)}")
        return {key: item for key, item in value.items() if not known or key in known}

    def sequence(self, value: object, path: str) -> list[object]:
        if isinstance(value, list):
            return value
        self._wrong(path, f"{_short(value)} is no list (`[a, b]`)")
        return []

    @staticmethod
    def kept(items: Iterable[T | None]) -> tuple[T, ...]:
        return tuple(item for item in items if item is not None)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
