"""Waivers: Functions that may be deaf, each with a reason and a date after which it is asked again.

waivers:
  - {device: "0000:00:1f.6", reason: on-board and unused, until: 2027-01-01}
  - {id: "8086:15bb", reason: cannot report, until: 2027-01-01}
  - {cause: conventional, reason: legacy Functions of the chipset, until: 2027-06-30}
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pcifma.access.document import load_yaml
from pcifma.errors import ConfigError
from pcifma.fabric.function import Function
from pcifma.platform.reason import Reason

_KEYS = ("device", "id", "cause")


@dataclass(frozen=True, slots=True)
class Waiver:
    """*key* is `device`, `id` or `cause`, and *value* what it must be; in force up to and including *until*."""

    key: str
    value: str
    reason: str
    until: date

    def covers(self, function: Function, why: Iterable[Reason]) -> bool:
        """True if *function*, silent because of *why*, is meant."""
        if self.key == "device":
            return str(function.bdf) == self.value
        if self.key == "id":
            return f"{function.vendor:04x}:{function.device:04x}" == self.value
        closed = [r.kind for r in why if r.closed]
        return bool(closed) and set(closed) == {self.value}

    @property
    def text(self) -> str:
        """For people and for `waived` in JSON."""
        return f'until {self.until} "{self.reason}"'


def load(path: Path) -> list[Waiver]:
    """The waivers in the file at *path*; ConfigError with every mistake, a line each."""
    try:
        document = load_yaml(path.read_bytes(), str(path))
    except OSError as err:
        raise ConfigError(f"{path}: {err.strerror}: give a file of waivers") from None
    rows = document.get("waivers") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise ConfigError(f"{path}: $.waivers: a list of waivers is wanted")
    mistakes: list[str] = []
    found = [w for number, row in enumerate(rows) if (w := _waiver(row, f"{path}: $.waivers[{number}]", mistakes))]
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return found


def _waiver(row: object, where: str, mistakes: list[str]) -> Waiver | None:
    if not isinstance(row, dict):
        mistakes.append(f"{where}: device, id or cause, with reason and until, is wanted")
        return None
    keys = [k for k in _KEYS if k in row]
    reason, until = row.get("reason"), row.get("until")
    wrong = sorted(str(k) for k in row if k not in (*_KEYS, "reason", "until"))
    if wrong:
        mistakes.append(f"{where}.{wrong[0]}: no such key: there are {', '.join(_KEYS)}, reason, until")
    if len(keys) != 1 or not isinstance(row.get(keys[0]) if keys else None, str):
        mistakes.append(f"{where}: exactly one of device, id and cause is wanted, quoted")
    if not isinstance(reason, str) or not reason:
        mistakes.append(f"{where}.reason: say why it may be deaf")
    if type(until) is not date:
        mistakes.append(f"{where}.until: a date is wanted, as 2027-01-01")
    if wrong or len(keys) != 1 or not isinstance(reason, str) or type(until) is not date:
        return None
    return Waiver(keys[0], str(row[keys[0]]), reason, until)
