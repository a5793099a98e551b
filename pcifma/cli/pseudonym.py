"""Names that identify (hosts, guests, serial numbers, boots) replaced by made-up ones: the same name by the same one, everywhere."""

from __future__ import annotations

import re
from collections.abc import Iterable

# A name as short as this may be part of any word: it is replaced only where it stands by itself.
_SHORT = 3


class Pseudonyms:
    """Made of what is known to identify; `text` replaces all of it. Ignores case. Without any, nothing is replaced."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None

    def add(self, kind: str, names: Iterable[str]) -> None:
        """From now on *names* are `kind-1`, `kind-2`, …"""
        for name in sorted({name.strip().lower() for name in names} - {"", "-", "localhost"}):
            self._names.setdefault(name, f"{kind}-{sum(made.startswith(f'{kind}-') for made in self._names.values()) + 1}")
        self._pattern = None

    def add_serial(self, serial: str) -> None:
        """A Device Serial Number, 16 hex digits: its upper 24 bits, which name the maker, stay (PCIe Base Spec 7.9.3)."""
        if re.fullmatch(r"[0-9a-fA-F]{16}", serial) and serial.lower() not in self._names:
            made = f"{serial[:6].lower()}{len([n for n in self._names if re.fullmatch('[0-9a-f]{16}', n)]) + 1:010x}"
            self._names[serial.lower()] = made
            self._names["-".join(serial[i : i + 2] for i in range(0, 16, 2)).lower()] = "-".join(made[i : i + 2] for i in range(0, 16, 2))
            self._pattern = None

    def serial(self, number: int) -> int:
        """The made-up one of a serial number."""
        return int(self._names.get(f"{number:016x}", f"{number:016x}"), 16)

    def text(self, text: str) -> str:
        """*text* with every name replaced."""
        if not self._names:
            return text
        if self._pattern is None:
            longest_first = sorted(self._names, key=lambda name: (-len(name), name))
            self._pattern = re.compile("|".join(map(_form, longest_first)), re.IGNORECASE)
        return self._pattern.sub(lambda match: self._names[match[0].lower()], text)


def _form(name: str) -> str:
    found = re.escape(name)
    return rf"(?<!\w){found}(?!\w)" if len(name) <= _SHORT else found
